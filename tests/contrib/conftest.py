"""One town for all servers, and in it the two processes of a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.contrib.pages import Served, Town, over_pyopenssl
from tests.support.material import Authority
from tests.support.processes import Processes

ON_PYOPENSSL = {"daphne", "pyftpdlib", "twisted", "cheroot over pyOpenSSL"}
"""Pages whose server is on pyOpenSSL; the others are on Python's ``ssl``."""


@pytest.fixture(scope="session")
def town(authority: Authority) -> Iterator[Town]:
    with TemporaryDirectory(prefix="mc-") as name, Processes(Path(name)) as processes:
        yield Town.founded(Path(name), authority, processes)


@pytest.fixture
def served(request: pytest.FixtureRequest, town: Town) -> Iterator[Served]:
    """Indirect: ``@pytest.mark.parametrize("served", ["uvicorn"], indirect=True)``. Both processes of a page, met."""
    page, _, over = request.param.partition(" ")
    with closing(town.page(page, beside="http_server" if request.param in ON_PYOPENSSL else "twisted")) as served:
        served.start_all(over_pyopenssl if over else lambda program: program)
        yield served
