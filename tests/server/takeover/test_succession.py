"""Tests of `server.succession`: real processes that take each other's place under load."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from meshcache_server.takeover.link import Link

from meshcache.admin.client import AdminClient
from tests.server.deployment import ASK, Deployment, deploy
from tests.server.test_app import body
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

NEVER_LEAVES = '[vip.sharing]\nreach = "server"'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


class Visitors:
    """Clients that come one after the other, each back with its session, until `end`; what they met is kept."""

    def __init__(self, shop: Deployment, version: ssl.TLSVersion, count: int = 2) -> None:
        self.sessions: list[str] = []
        self.failures: list[BaseException] = []
        self._shop = shop
        self._clients = shop.certificates.client(version)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _visit(self) -> None:
        session: ssl.SSLSession | None = None
        while not self._over.is_set():
            try:
                session, answer = self._shop.visit(session, self._clients)
                self.sessions.append(str(body(answer)["session"]))
            except (OSError, ValueError) as error:
                self.failures.append(error)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def take_over(shop: Deployment, *more: str) -> Process:
    return shop.processes.start([sys.executable, "-m", "meshcache", "serve", str(shop.file), "--take-over", *more])


def admin(shop: Deployment) -> AdminClient:
    return AdminClient(shop.folder / "state/edge-1/admin.sock")


def take_over_in_vain(shop: Deployment) -> None:
    """Be the successor: one that gets everything and hangs up instead of serving."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(shop.folder / "s"))
        listener.listen()
        admin(shop).take_over(shop.folder / "s")
        link = Link(listener.accept()[0])
    word, _ = link.hear_word()
    _, given = link.hear_word()
    assert word["about"]["node"] == "edge-1"
    assert given is not None
    given.close()
    link.say(ready=True)
    heard, frames = link.hear()[0], 0
    while isinstance(heard, bytes):
        heard, frames = link.hear()[0], frames + 1
    assert heard["yours"]
    assert frames
    link.close()
    wait_until(lambda: shop.process is not None and "this one goes on" in shop.process.output)
    wait_until(lambda: admin(shop).stats()["front"]["ready"])


@pytest.mark.slow
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_connection_fails_and_no_session_is_lost(shop: Deployment, version: ssl.TLSVersion) -> None:
    """Sessions that must not leave their server either: the new process is that server."""
    shop.write(vip=NEVER_LEAVES)
    first = shop.start()
    clients = shop.certificates.client(version)
    kept, _ = shop.visit(None, clients)
    still_open = shop.dial()
    still_open.tls.sendall(ASK[:10])
    visitors = Visitors(shop, version)
    try:
        wait_until(lambda: len(visitors.sessions) > 20)
        second = take_over(shop)
        wait_until(lambda: " ready: " in second.output or not second.running)
        so_far = len(visitors.sessions)
        wait_until(lambda: len(visitors.sessions) > so_far + 20)
    finally:
        visitors.end()
    assert visitors.failures == []
    assert visitors.sessions.count("full") == 2
    assert re.search(r" \d+ sessions taken over from process \d+", second.output)
    assert still_open.ask(ASK[10:]).startswith(b"HTTP/1.1 200")
    still_open.close()
    assert first.wait() == 0
    _, answer = shop.visit(kept, clients)
    assert body(answer)["session"] == "local"
    assert admin(shop).process_id() == second.popen.pid
    second.send(signal.SIGTERM)
    assert second.wait() == 0


def test_where_none_runs_it_is_an_ordinary_start(shop: Deployment) -> None:
    process = take_over(shop)
    wait_until(lambda: " ready: " in process.output or not process.running)
    process.send(signal.SIGTERM)
    assert process.wait() == 0


def test_a_successor_with_a_bad_file_changes_nothing(shop: Deployment) -> None:
    first = shop.start()
    again = take_over(shop, "--set", "vip.shop.certificate=absent.pem")
    assert again.wait() == 2
    assert "vip[0].certificate" in again.output
    again = take_over(shop, "--set", "node.colo=fra1")
    assert again.wait() == 2
    assert "change only with a restart" in again.output
    assert shop.ask().startswith(b"HTTP/1.1 200")
    assert admin(shop).process_id() == first.popen.pid


def test_a_successor_that_fails_late_leaves_a_server_that_goes_on_with_its_sessions(shop: Deployment) -> None:
    shop.write(vip=NEVER_LEAVES)
    first = shop.start()
    clients = shop.certificates.client(ssl.TLSVersion.TLSv1_3)
    kept, _ = shop.visit(None, clients)
    take_over_in_vain(shop)
    _, answer = shop.visit(kept, clients)
    assert body(answer)["session"] == "local"
    second = take_over(shop)
    wait_until(lambda: " ready: " in second.output or not second.running)
    assert first.wait() == 0
    _, answer = shop.visit(kept, clients)
    assert body(answer)["session"] == "local"


def test_a_server_that_goes_on_is_as_before_whatever_waits_for_a_restart_in_its_file(shop: Deployment) -> None:
    """Another colo would move the border of its sessions, and another state folder lack what was narrowed live."""
    shop.start()
    shop.visit(None, shop.certificates.client(ssl.TLSVersion.TLSv1_3))
    admin(shop).set_policy("shop", {"reach": "server"}, node_only=True)
    said = shop.file.read_text()
    shop.file.write_text(said.replace('colo = "ams1"', 'colo = "fra1"\nstate_dir = "elsewhere"'))
    shop.reload()
    take_over_in_vain(shop)
    assert admin(shop).stats()["node"]["colo"] == "ams1"
    assert admin(shop).policy()[0]["reach"] == "server"
    assert not (shop.folder / "elsewhere").exists()


@pytest.mark.slow
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_from_before_resumes_at_the_successor_of_a_node_alone(
    shop: Deployment, version: ssl.TLSVersion
) -> None:
    """Nobody else has its keys: without them every client would shake hands in full."""
    shop.write(vip=f'resumption = "tickets"\n{NEVER_LEAVES}')
    first = shop.start()
    clients = shop.certificates.client(version)
    wait_until(lambda: admin(shop).tickets()[0]["keys"])
    session, answer = shop.visit(None, clients)
    assert body(answer)["session"] == "full"
    second = take_over(shop)
    wait_until(lambda: " ready: " in second.output or not second.running)
    assert first.wait() == 0, first.output
    _, answer = shop.visit(session, clients)
    assert body(answer)["session"] == "local", second.output
