"""Tests of `server.succession`: real processes that take each other's place under load."""

from __future__ import annotations

import asyncio
import errno
import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from meshcache_server.state_folder import StateFolder
from meshcache_server.takeover import succession
from meshcache_server.takeover.link import Link, LinkError
from meshcache_server.takeover.succession import Succession

from meshcache import Settings
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


def get_everything(shop: Deployment) -> Link:
    """Be the successor up to where it would serve."""
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
    return link


def take_over_in_vain(shop: Deployment) -> None:
    """Be the successor: one that gets everything and hangs up instead of serving."""
    get_everything(shop).close()
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


def test_a_successor_that_fails_and_takes_its_time_to_end_leaves_a_server_that_goes_on_then(shop: Deployment) -> None:
    """It has the state folder still, which was an end of all: no client was answered any more, and nobody was told."""
    first = shop.start()
    clients = shop.certificates.client(ssl.TLSVersion.TLSv1_3)
    kept, _ = shop.visit(None, clients)
    link, folder = get_everything(shop), StateFolder(shop.folder / "state/edge-1")
    folder.hold()
    link.close()
    wait_until(lambda: "can't go on yet: node.state_dir" in first.output)
    folder.release()
    _, answer = shop.visit(kept, clients)
    assert body(answer)["session"] == "local"
    first.send(signal.SIGTERM)
    assert first.wait() == 0


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


class Successor:
    """The other end of a link: it is ready, and hangs up when it is told that all is its own."""

    process_id = 4711

    def say(self, given: Any = None, **word: Any) -> None:
        if "yours" in word:
            raise LinkError("the other process is gone")

    def hear_word(self) -> tuple[dict[str, Any], None]:
        return {"ready": True}, None

    def close(self) -> None:
        pass


class Stub:
    """A server, its node and its table: what a hand-over asks of them, and nothing behind."""

    def __init__(self) -> None:
        self.node = self.bequest = self.table = self
        self.settings = Settings()
        self.state_folder = StateFolder(None)
        self.reload_turn = asyncio.Lock()
        self.listeners: dict[str, Any] = {}
        self.closed = self.forgot = False
        self.stops = 0

    @property
    def stopping(self) -> bool:
        return self.stops > 0

    def close(self, goodbye: bool = False) -> None:
        self.closed = True

    def about(self) -> dict[str, Any]:
        return {}

    def frames(self, last: bool) -> list[bytes]:
        return []

    def all_frames(self) -> list[bytes]:
        return []

    def forget(self) -> None:
        self.forgot = True

    def handshakes(self) -> bool:
        return False

    def stop(self) -> None:
        self.stops += 1


class Gate:
    """A listener that can't be paused, as where no descriptor is left, and can't serve at once."""

    listening = None
    routes = "routes"

    def __init__(self) -> None:
        self.served: list[str] = []

    def pause(self) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    async def serve(self, routes: str) -> None:
        self.served.append(routes)
        if len(self.served) == 1:
            raise OSError(errno.EMFILE, "too many open files")


async def in_vain(app: Stub, monkeypatch: pytest.MonkeyPatch) -> Succession:
    """Hand over to a successor that hangs up, until all that follows on that is done."""
    monkeypatch.setattr(succession.Link, "to", lambda _: Successor())
    giving = Succession(cast(Any, app))
    async with app.reload_turn:
        giving.hand_over(asyncio.get_running_loop(), "s")
        for _ in range(3):
            await asyncio.sleep(0)  # it waits for its turn by then, which is before ours
    async with app.reload_turn:
        return giving


async def test_where_clients_can_not_be_held_back_they_are_let_in_again_and_the_mesh_is_not_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(succession, "AGAIN_S", 0.01)
    app, gate = Stub(), Gate()
    app.listeners["shop"] = gate
    giving = await in_vain(app, monkeypatch)
    assert gate.served == ["routes", "routes"]
    assert (giving.given, giving.failed, app.stopping, app.forgot) == (False, False, False, False)
    assert "can't go on yet: [Errno 24]" in caplog.text


async def test_a_server_that_can_not_go_on_by_a_fault_of_its_own_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(succession, "MeshNode", broken)
    app = Stub()
    giving = await in_vain(app, monkeypatch)
    assert (giving.given, giving.failed, app.stopping, app.forgot) == (False, True, True, True)
    assert "unforeseen" in caplog.text


async def test_a_server_that_is_ending_already_is_not_hurried_by_a_fault_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second stop ends connections that are being served."""
    app = Stub()

    def broken(*_: object) -> None:
        app.stop()  # as a signal does meanwhile
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(succession, "MeshNode", broken)
    giving = await in_vain(app, monkeypatch)
    assert (giving.failed, app.stops) == (True, 1)
