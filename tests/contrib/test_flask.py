"""Flask as its page starts it, and with the reloader, whose first process only watches files."""

from __future__ import annotations

import ssl
from contextlib import closing
from pathlib import Path

import pytest

from meshcache.contrib import flask
from tests.contrib.pages import Served, Town, check, check_reloader


@pytest.mark.parametrize("served", ["flask"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served)


def test_with_its_reloader_there_is_one_node(town: Town) -> None:
    def change(program: str) -> str:
        joining, running = 'vip="shop")', "ssl_context=context)"
        assert joining in program
        assert running in program
        program = program.replace(joining, 'vip="shop", use_reloader=True)')
        return program.replace(running, "ssl_context=context, use_reloader=True)")

    with closing(town.page("flask", beside="twisted")) as served:
        check_reloader(served, change)


@pytest.mark.parametrize("debug, main, joins", [("1", "", False), ("1", "true", True), ("0", "", True), ("", "", True)])
def test_with_the_reloader_only_the_process_that_serves_joins(
    debug: str, main: str, joins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[object] = []

    class Mesh:
        def __init__(self, file: str | Path, **_more: object) -> None:
            pass

        def join(self, context: ssl.SSLContext) -> ssl.SSLContext:
            joined.append(context)
            return context

    monkeypatch.setattr(flask, "Mesh", Mesh)
    monkeypatch.setenv("FLASK_DEBUG", debug)
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", main)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert flask.join(context, "meshcache.toml") is context
    assert bool(joined) is joins
    assert flask.join(context, "meshcache.toml", use_reloader=False) is joined[-1]
