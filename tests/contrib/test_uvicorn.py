"""uvicorn as its page starts it."""

from __future__ import annotations

import pytest

from tests.contrib.pages import Served, check


@pytest.mark.parametrize("served", ["uvicorn"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served)
