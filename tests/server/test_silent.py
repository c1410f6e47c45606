"""Tests of `server.silent` and of what connections make of it; haproxy is Debian's."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meshcache_server.silent import ADDRESSES_MAX, REMEMBERED_S, SilentAddresses
from OpenSSL import SSL

from meshcache.admin.client import AdminClient
from meshcache.config.vip import TICKETS
from tests.server.deployment import ASK, Deployment, deploy
from tests.server.harness import Certificates, Dialogue, reset, serving
from tests.server.test_app import body
from tests.support.fronts import free_port, run_haproxy
from tests.support.processes import Processes
from tests.support.waiting import wait_until, wait_until_async


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def test_an_address_is_remembered_for_a_while_and_with_few_others() -> None:
    silent = SilentAddresses()
    silent.note("10.0.0.1", 0.0)
    silent.note("10.0.0.2", 5.0)
    silent.expire(REMEMBERED_S + 1)
    assert "10.0.0.1" not in silent
    assert "10.0.0.2" in silent
    for number in range(ADDRESSES_MAX):
        silent.note(str(number), 10.0)
    assert len(silent) == ADDRESSES_MAX
    assert "10.0.0.2" not in silent


@pytest.mark.slow
@pytest.mark.parametrize(("haproxys", "version"), [("12", ssl.TLSVersion.TLSv1_2), ("13", ssl.TLSVersion.TLSv1_3)])
def test_haproxys_tls_checks_leave_no_sessions_and_its_clients_do(
    shop: Deployment, tmp_path: Path, haproxys: str, version: ssl.TLSVersion
) -> None:
    shop.start()
    admin = AdminClient(shop.folder / "state/edge-1/admin.sock")

    def checks() -> int:
        return int(admin.stats()["front"]["ended_badly"].get("ended right after the handshake", 0))

    def sessions() -> dict[str, Any]:
        return dict(admin.stats()["vips"]["shop"])

    port = free_port()
    server = f"server one 127.0.0.1:{shop.port} check check-ssl verify none force-tlsv{haproxys} inter 20ms fall 9999"
    run_haproxy(shop.processes, tmp_path, f"listen tls\n  bind 127.0.0.1:{port}\n  {server}\n", port)
    wait_until(lambda: checks() >= 20)
    made = TICKETS if haproxys == "13" else 1
    assert sessions()["entries"] < made, "of the first check, by which its address is known, but the last session"
    assert sessions()["sessions"]["made"] <= made
    shop.port = port
    clients = shop.certificates.client(version)
    session, answer = shop.visit(None, clients)
    _, answer = shop.visit(session, clients)
    assert body(answer)["session"] == "local"
    assert shop.process is not None
    assert "ended right" not in shop.process.output


async def test_a_client_in_doubt_is_kept_at_its_first_byte_and_a_silent_one_forgotten(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context) as server:
        for expected in (["forget"], ["forget", "hold", "hold", "forget"]):  # TLS 1.3 takes two flights
            silent = await asyncio.to_thread(shaken, server.port, certificates)
            reset(silent)
            await wait_until_async(lambda expected=expected: server.tally.withheld.told == expected)
        server.tally.withheld.told.clear()
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        await asyncio.to_thread(dialogue.ask, ASK)
        dialogue.close()
        assert server.tally.withheld.told == ["hold", "hold", "keep"]
    assert server.faults.total["ended right after the handshake"] == 2


def shaken(port: int, certificates: Certificates) -> socket.socket:
    """A connection whose handshake is over, and that has said nothing."""
    dialogue = Dialogue(port, certificates)
    return dialogue.raw
