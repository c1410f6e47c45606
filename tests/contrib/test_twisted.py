"""twisted as its page starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contrib.pages import Served, check, prepared
from tests.support.material import Authority
from tests.support.processes import Processes


@pytest.mark.parametrize("served", ["twisted"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served)


def test_it_shares_with_a_server_on_the_other_tls_library(
    folder: Path, authority: Authority, processes: Processes
) -> None:
    served = prepared("twisted", folder, authority, processes)
    served.start(served.ports[0])
    served.start(served.ports[1], page="http_server")
    served.wait_until_met()
    check(served)
