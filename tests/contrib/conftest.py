"""One fixture for all servers: the two processes of a page, met."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contrib.pages import Served, started
from tests.support.material import Authority


@pytest.fixture
def served(request: pytest.FixtureRequest, folder: Path, authority: Authority) -> Iterator[Served]:
    """Indirect: ``@pytest.mark.parametrize("served", ["uvicorn"], indirect=True)``."""
    yield from started(request.param, folder, authority)
