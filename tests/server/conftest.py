"""Every test of the server that is a coroutine runs on both loops: asyncio's own, and uvloop where people have it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from meshcache_server.tls import streams
from OpenSSL import SSL

from tests.server.harness import Certificates, make_certificates, server_context


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def context(certificates: Certificates) -> SSL.Context:
    return server_context(certificates)


@pytest.fixture(params=["c", "python"])
def stream_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Services that are made in this test have such streams."""
    name: str = request.param
    if name == "c" and streams.compiled is None:
        pytest.skip("the server's streams aren't compiled here")
    monkeypatch.setattr(streams, "compiled", streams.compiled if name == "c" else None)
    return name
