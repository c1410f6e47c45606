"""uvicorn as its page starts it."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.contrib.pages import Served, Town, check, check_reloader


@pytest.mark.parametrize("served", ["uvicorn"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served)


def test_with_its_reloader_there_is_one_node(town: Town) -> None:
    with closing(town.page("uvicorn", beside="twisted")) as served:
        check_reloader(served, lambda program: program.replace("port=", "reload=True, port="))
