"""Tests of `server.adopted`. What becomes of a connection that is given over is tested in `test_front`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from meshcache_server.connections import acceptor
from meshcache_server.connections.adopted import How
from meshcache_server.tls.stream import StreamError
from OpenSSL import SSL

from tests.server.harness import Certificates, Dialogue, serving
from tests.support.waiting import wait_until_async

SOURCE = Path(__file__).parents[3] / "server" / "lines.h"


def test_both_sides_have_the_same_numbers() -> None:
    source = SOURCE.read_text()
    assert f"enum how {{ {', '.join(how.name for how in How)} }};" in source
    assert [int(how) for how in How] == list(range(len(How)))
    assert f"SOME_ARE_SILENT = {acceptor.SOME_ARE_SILENT}, NO_DESCRIPTOR = {acceptor.NO_DESCRIPTOR}," in source
    assert f" UNWATCHED = {acceptor.UNWATCHED} " in source


@pytest.mark.parametrize("error", [StreamError("no protocol in common"), ZeroDivisionError()], ids=["theirs", "ours"])
async def test_what_a_callback_raises_costs_its_connection_alone(
    certificates: Certificates, context: SSL.Context, error: Exception
) -> None:
    """Of a client of a known address, as of any other (see `test_streams`)."""

    def choose(_connection: SSL.Connection, _offered: list[bytes]) -> bytes:
        raise error

    def refused() -> None:
        with pytest.raises((SSL.Error, ConnectionError)):
            Dialogue(server.port, certificates, alpn=[b"h2"])

    context.set_alpn_select_callback(choose)
    async with serving(context) as server:
        server.table.silent.spoke("127.0.0.1")
        await asyncio.to_thread(refused)
        await wait_until_async(lambda: len(server.table) == 0)
        ours = isinstance(error, ZeroDivisionError)
        assert server.faults.total["our own fault" if ours else "tls: no protocol in common"] == 1
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        dialogue.close()
