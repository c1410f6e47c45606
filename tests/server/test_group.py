"""Servers of several workers: real processes behind one address, asked and told as one."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest
from meshcache_server import worker_place
from meshcache_server.group import NOT_YET, Group
from meshcache_server.report import failed_reload
from meshcache_server.worker_place import WorkerPlace
from OpenSSL import SSL

from meshcache.admin import group as admin_group
from meshcache.admin.client import AdminClient, answers
from meshcache.admin.group import AdminGroup
from meshcache.errors import MeshcacheError, PolicyError
from tests.server.deployment import READY_S_MAX, Deployment, deploy
from tests.server.test_app import body
from tests.support.material import free_ports
from tests.support.processes import Process, Processes, run
from tests.support.waiting import wait_until, wait_until_async

TWO = "[server]\nworkers = 2\ndrain_s = 20\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One group for the tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("group")
    with Processes(folder) as processes:
        shop = deploy(folder, processes)
        (http,) = free_ports(1)
        shop.write(f'{TWO}[admin]\nhttp = "127.0.0.1:{http}"\n', "tickets = 1\n")
        start(shop)
        yield shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        made = deploy(tmp_path, processes)
        made.write(TWO)
        yield made


def start(shop: Deployment) -> Process:
    process = shop.process = shop.processes.start([sys.executable, "-m", "meshcache", "serve", str(shop.file)])
    wait_until(lambda: " ready: edge-1@ams1 workers=2 " in process.output or not process.running, READY_S_MAX)
    ready = re.search(r" ready: edge-1@ams1 workers=2 shop=127\.0\.0\.1:(\d+)$", process.output, re.MULTILINE)
    assert ready, process.output
    shop.port = int(ready[1])
    return process


def admin(shop: Deployment) -> AdminClient:
    return AdminClient(shop.folder / "state/edge-1/admin.sock")


def workers(shop: Deployment) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin(shop).stats()["node"]["workers"]
    return found


def process_ids(shop: Deployment) -> list[int]:
    assert shop.process is not None
    parent = shop.process.popen.pid
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def visit(shop: Deployment, session: ssl.SSLSession | None, clients: ssl.SSLContext) -> tuple[Any, dict[str, Any]]:
    kept, answer = shop.visit(session, clients)
    return kept, body(answer)


def crossed(shop: Deployment, version: ssl.TLSVersion) -> set[tuple[str, str]]:
    """Pairs of worker and outcome of clients that came back once."""
    clients, found = shop.certificates.client(version), set()
    for _ in range(4):
        session, first = visit(shop, None, clients)
        _, again = visit(shop, session, clients)
        kind = "same" if first["server"] == again["server"] else "other"
        assert (again["session"], kind) in (("local", "same"), ("remote", "other"), ("pulled", "other")), (first, again)
        found.add((first["server"], again["session"]))
    return found


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_meet_both_workers_and_resume_on_whichever_they_come_back_to(
    running: Deployment, version: ssl.TLSVersion
) -> None:
    found: set[tuple[str, str]] = set()

    def both() -> bool:
        found.update(crossed(running, version))
        return {outcome for _, outcome in found} >= {"local", "remote"} and len({name for name, _ in found}) == 2

    wait_until(both, what="both workers are met, and crossed")


def test_one_address_answers_for_all(running: Deployment) -> None:
    before = admin(running).stats()
    clients = running.certificates.client(ssl.TLSVersion.TLSv1_3)
    for _ in range(6):
        visit(running, None, clients)

    def summed() -> bool:
        after = admin(running).stats()
        of_workers = sum(sum(each["handshakes"].values()) for each in after["node"]["workers"])
        full = after["vips"]["shop"]["handshakes"]
        made = full["full"] - before["vips"]["shop"]["handshakes"]["full"]
        return made >= 6 and of_workers == sum(full.values())  # one of before may have been counted since

    wait_until(summed, what="the sum is of all workers")
    stats = admin(running).stats()
    assert (stats["node"]["name"], stats["peers"], admin(running).peers()) == ("edge-1", [], [])
    assert [each["ready"] for each in stats["node"]["workers"]] == [True, True]
    assert len(stats["front"]["certificates"]) == 1
    assert stats["front"]["connections"]["max"] == 20_000
    assert [policy["vip"] for policy in admin(running).policy()] == ["shop"]
    joined = [event for event in admin(running).events() if event["kind"] == "PeerJoined"]
    assert {event["worker"] for event in joined} == {each["name"] for each in stats["node"]["workers"]}
    last = admin(running).events()[-1]["seq"]
    assert [event for event in admin(running).events(last) if event in joined] == []


def test_metrics_dashboard_and_commands_show_one_server(running: Deployment) -> None:
    http = re.search(r'http = "(127\.0\.0\.1:\d+)"', running.file.read_text())
    assert http
    with urllib.request.urlopen(f"http://{http[1]}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    assert "meshcache_node_info{" in page
    assert 'node="edge-1"' in page or 'name="edge-1"' in page
    with urllib.request.urlopen(f"http://{http[1]}/readyz", timeout=30) as answer:
        assert json.load(answer) == {"ready": True}
    command = [sys.executable, "-m", "meshcache", "stats", "--socket", str(admin(running).path)]
    shown = run(command).stdout
    assert "workers 2/2 serve" in shown
    assert "node edge-1" in shown


def test_a_policy_and_a_withdrawal_are_obeyed_by_all(running: Deployment) -> None:
    client = admin(running)
    client.set_policy("shop", {"lifetime_s": "1800"})
    try:
        for number in (0, 1):
            own = AdminClient(running.folder / f"state/edge-1/worker-{number}/admin.sock")
            wait_until(lambda own=own: own.policy()[0]["lifetime_s"] == 1800, what="it holds there too")  # type: ignore[misc]
        with pytest.raises(PolicyError, match=r"nowhere"):
            client.set_policy("nowhere", {"lifetime_s": "1800"})
        visit(running, None, running.certificates.client(ssl.TLSVersion.TLSv1_3))
        client.withdraw(vip="shop")
        wait_until(lambda: client.stats()["vips"]["shop"]["entries"] == 0, what="all have forgotten")
        client.set_policy("shop", {"lifetime_s": "900"}, node_only=True)
        assert [
            AdminClient(running.folder / f"state/edge-1/worker-{number}/admin.sock").policy()[0]["lifetime_s"]
            for number in (0, 1)
        ] == [900, 900]
    finally:
        client.unset_policy("shop", [], node_only=True)
        client.unset_policy("shop", [])


def test_a_reload_is_obeyed_by_all_and_a_bad_file_by_none(running: Deployment) -> None:
    client, before = admin(running), running.file.read_text()
    assert running.process is not None
    try:
        running.file.write_text(before.replace("tickets = 1", "tickets = 3"))
        assert client.reload() | {"age_s": 0} == {
            "ok": True, "changed": ["vip.shop.tickets"], "restart": [], "hidden": [], "faults": [], "age_s": 0,
        }  # fmt: skip
        assert running.process.output.count("] reloaded: ") == 2
        running.file.write_text(before.replace("workers = 2", "workers = 3"))
        assert client.reload()["restart"] == ["server.workers"]
        running.file.write_text(before.replace("tickets = 1", "tickets = 9"))
        running.process.send(signal.SIGHUP)
        wait_until(lambda: "not reloaded: vip[0].tickets" in running.process.output, what="it says why")  # type: ignore[union-attr]
        assert client.stats()["front"]["reload"]["ok"] is False
        (other,) = free_ports(1)
        running.file.write_text(before.replace('listen = "127.0.0.1:0"\ncert', f'listen = "127.0.0.1:{other}"\ncert'))
        refused = client.reload()
        assert refused["faults"] == ["vip.listen: with server.workers addresses change only with a restart"]
        assert len(workers(running)) == 2
    finally:
        running.file.write_text(before)
        assert client.reload()["ok"]


def test_a_worker_that_froze_makes_nobody_wait_but_the_first_who_asks(running: Deployment) -> None:
    http = re.search(r'http = "(127\.0\.0\.1:\d+)"', running.file.read_text())
    assert http
    url, victim = f"http://{http[1]}", process_ids(running)[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        first = threading.Thread(target=lambda: admin(running).stats())
        first.start()
        began_at = time.monotonic()
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
            assert json.load(answer) == {"ok": True}
        assert time.monotonic() - began_at < 10.0, "it took 20 s where it stood in line"
        first.join()
        wait_until(lambda: sorted(each["answers"] for each in workers(running)) == [False, True], what="one answers")
        began_at = time.monotonic()
        for path in ("/v1/stats", "/v1/policy", "/v1/events", "/metrics", "/readyz"):
            wait_until(lambda path=path: urllib.request.urlopen(f"{url}{path}", timeout=30).close() or True, what=path)
        assert time.monotonic() - began_at < 20.0, "5 s each where each waits for it"
    finally:
        os.kill(victim, signal.SIGCONT)
    wait_until(lambda: [each["answers"] for each in workers(running)] == [True, True])


def test_it_is_not_taken_over_nor_started_twice(running: Deployment) -> None:
    serve = [sys.executable, "-m", "meshcache", "serve", str(running.file)]
    for more, said in (
        ((), 'node "edge-1" is running already'),
        (("--take-over",), "several workers can't take another's"),
    ):
        done = run([*serve, *more])
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    with pytest.raises(PolicyError, match="several workers can't be taken over"):
        admin(running).take_over(running.folder / "successor")


class Visitor:
    """A client that comes again and again; what it met instead of an answer is kept."""

    def __init__(self, shop: Deployment, clients: ssl.SSLContext) -> None:
        self.failures: list[BaseException] = []
        self._shop, self._clients, self._over = shop, clients, threading.Event()
        self._thread = threading.Thread(target=self._come)

    def _come(self) -> None:
        while not self._over.is_set():
            try:
                visit(self._shop, None, self._clients)
            except ValueError:
                continue  # closed in order, before its request had come: an idle connection of one that leaves
            except OSError as error:
                self.failures.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_no_client_notices(shop: Deployment) -> None:
    """And a first process that is killed leaves nobody behind."""
    process = start(shop)
    clients = shop.certificates.client(ssl.TLSVersion.TLSv1_3)
    kept = [visit(shop, None, clients)[0] for _ in range(6)]
    wait_until(lambda: admin(shop).stats()["vips"]["shop"]["sessions"]["received"] >= 6, what="both have all")
    first = {each["name"]: each["uptime_s"] for each in workers(shop)}
    with Visitor(shop, clients) as visitor:
        leaver = process_ids(shop)[1]
        os.kill(leaver, signal.SIGTERM)
        wait_until(lambda: f"worker process {leaver} ended with 0; another starts" in process.output)
        wait_until(lambda: process.output.count("] ready: edge-1.") == 3, what="another serves")
        assert visitor.failures == [], "who leaves resets nobody"
        victim = process_ids(shop)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: f"worker process {victim} was ended by signal 9; another starts" in process.output)
        wait_until(lambda: process.output.count("] ready: edge-1.") == 4, what="another serves")
    assert len(visitor.failures) <= 1, "what the one who was killed had accepted"
    assert all(isinstance(error, (ConnectionError, ssl.SSLError)) for error in visitor.failures)
    wait_until(lambda: {each["name"] for each in workers(shop)} == set(first), what="names are those of before")
    assert {visit(shop, session, clients)[1]["session"] for session in kept} <= {"local", "remote", "pulled"}
    children = process_ids(shop)
    process.kill()
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), what="its workers end, too")


def own(shop: Deployment, number: int) -> AdminClient:
    """The admin interface of one worker."""
    return AdminClient(shop.folder / f"state/edge-1/worker-{number}/admin.sock")


def reaches(shop: Deployment) -> list[Any]:
    return [own(shop, number).policy()[0]["reach"] for number in (0, 1)]


def replace(shop: Deployment, number: int) -> None:
    """Kill a worker, and wait until another serves in its place."""
    process, victim = shop.process, own(shop, number).process_id()
    assert process is not None
    assert victim is not None
    ready = f"[w{number}] ready: edge-1."
    before = process.output.count(ready)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: process.output.count(ready) == before + 1, READY_S_MAX, "another serves")


def sharing(reach: str) -> str:
    return f'[vip.sharing]\nreach = "{reach}"\n'


@pytest.mark.slow
def test_a_worker_that_takes_another_s_place_has_what_its_siblings_have_whatever_is_in_the_file(
    shop: Deployment,
) -> None:
    shop.write(TWO, sharing("everywhere"))
    process = start(shop)
    before = shop.file.read_text()
    reloaded = before.replace('colo = "ams1"', 'colo = "ams2"').replace(sharing("everywhere"), sharing("colo"))
    shop.file.write_text(reloaded)
    result = admin(shop).reload()
    assert (result["changed"], result["restart"]) == (["vip.shop.sharing.reach"], ["node.colo"])
    for number, never_reloaded in ((0, reloaded.replace(sharing("colo"), sharing("server"))), (1, "no TOML")):
        shop.file.write_text(never_reloaded)
        replace(shop, number)
        assert own(shop, number).stats()["node"]["colo"] == "ams1"
        assert reaches(shop) == ["colo", "colo"]
    wait_until(lambda: [each["ready"] for each in workers(shop)] == [True, True])
    assert "not reloaded" not in process.output


@pytest.mark.slow
def test_a_worker_that_is_told_to_reload_by_itself_goes_back_to_what_its_siblings_have(shop: Deployment) -> None:
    shop.write(TWO, sharing("everywhere"))
    process = start(shop)
    shop.file.write_text(shop.file.read_text().replace(sharing("everywhere"), sharing("server")))
    assert "vip.shop.sharing.reach" in own(shop, 0).reload()["changed"]
    wait_until(lambda: process.output.count("[w0] reloaded: ") == 2, what="there and back")
    victim = own(shop, 1).process_id()
    assert victim is not None
    os.kill(victim, signal.SIGHUP)
    wait_until(lambda: process.output.count("[w1] reloaded: ") == 2, what="there and back")
    assert reaches(shop) == ["everywhere", "everywhere"]
    assert admin(shop).reload()["ok"]
    assert reaches(shop) == ["server", "server"]


GATE = """
import fcntl
import os
from pathlib import Path

from meshcache.hooks import Observer

FOLDER = Path(__file__).parent


class Gate(Observer):
    def __init__(self) -> None:
        (FOLDER / f"came-{os.getpid()}").touch()
        try:
            (FOLDER / "first").touch(exist_ok=False)
        except FileExistsError:
            with (FOLDER / "gate").open() as gate:
                fcntl.flock(gate, fcntl.LOCK_SH)
"""


class Gate:
    """Where all workers but the first wait while it is shut: they have their settings, and no socket yet."""

    hooks = '[hooks]\nobservers = ["shop_gate:Gate"]\n'

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "shop_gate.py").write_text(GATE)
        self._file = (folder / "gate").open("w")

    def shut(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def let_in(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    @property
    def came(self) -> int:
        return len(list(self._folder.glob("came-*")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()


@pytest.mark.slow
def test_a_worker_that_starts_while_the_others_reload_takes_that_too(shop: Deployment) -> None:
    with Gate(shop.folder) as gate:
        shop.write(TWO + Gate.hooks, sharing("everywhere"))
        start(shop)
        gate.shut()
        victim = own(shop, 1).process_id()
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: gate.came == 3, READY_S_MAX, "another starts")
        everywhere = shop.file.read_text()
        shop.file.write_text(everywhere.replace(sharing("everywhere"), sharing("colo")))
        assert admin(shop).reload()["ok"]
        shop.file.write_text(everywhere.replace(sharing("everywhere"), sharing("server")))
        gate.let_in()
        wait_until(lambda: reaches(shop) == ["colo", "colo"], READY_S_MAX, "what was reloaded, and nothing since")


@pytest.mark.slow
def test_a_reload_that_is_asked_for_before_all_serve_is_answered_at_once_and_obeyed_then(shop: Deployment) -> None:
    with Gate(shop.folder) as gate, ThreadPoolExecutor(8) as operators:
        shop.write(TWO + Gate.hooks, sharing("everywhere"))
        gate.shut()
        process = shop.processes.start([sys.executable, "-m", "meshcache", "serve", str(shop.file)])
        wait_until(lambda: gate.came == 2 and "] ready: edge-1." in process.output, READY_S_MAX, "one serves")
        shop.file.write_text(shop.file.read_text().replace(sharing("everywhere"), sharing("colo")))
        asked = [operators.submit(admin(shop).reload) for _ in range(8)]
        try:
            assert workers(shop), "whoever asks for numbers waits for none of them"
            results = [each.result(30.0) for each in asked]
        finally:
            gate.let_in()
        assert [(each["ok"], each["faults"]) for each in results] == [(False, [NOT_YET])] * 8
        wait_until(lambda: " reloaded: 2 workers have taken " in process.output, READY_S_MAX)
        assert reaches(shop) == ["colo", "colo"]
        process.send(signal.SIGTERM)
        assert process.wait() == 0
        assert process.output.count(" reloaded: 2 workers have taken ") == 1


async def test_a_worker_that_took_what_another_did_not_goes_back(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshcache.server")
    monkeypatch.setattr(admin_group, "RELOAD_S", 5.0)
    shop.write(TWO, sharing("everywhere"))
    group = Group(shop.file, ())
    serving = asyncio.create_task(group.serve())
    await wait_until_async(lambda: "ready: edge-1@ams1 workers=2" in caplog.text, READY_S_MAX)
    frozen = own(shop, 1).process_id()
    assert frozen is not None
    shop.file.write_text(shop.file.read_text().replace(sharing("everywhere"), sharing("colo")))
    os.kill(frozen, signal.SIGSTOP)
    try:
        result = await asyncio.to_thread(admin(shop).reload)
        assert not result["ok"]
        assert "worker-1" in result["faults"][0]
        await asyncio.to_thread(wait_until, lambda: own(shop, 0).policy()[0]["reach"] == "everywhere")
        assert own(shop, 0).stats()["front"]["reload"]["changed"] == ["vip.shop.sharing.reach"], "it had taken it"
    finally:
        os.kill(frozen, signal.SIGCONT)
    await asyncio.to_thread(wait_until, lambda: reaches(shop) == ["everywhere", "everywhere"])
    group.stop()
    await serving


async def test_what_a_worker_was_told_before_a_reload_and_obeys_in_it_does_not_last(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshcache.server")
    shop.write(TWO, sharing("everywhere"))
    begun = shop.file.read_text()
    spawner, group = Spawner(monkeypatch), Group(shop.file, ())
    loop, reload_each, has = asyncio.get_running_loop(), AdminGroup.reload_each, WorkerPlace.has
    heard: list[int | None] = []

    def hear(place: WorkerPlace, settings: int | None) -> None:
        has(place, settings)
        heard.append(settings)

    def reload_and_obey(admins: AdminGroup, those: set[int]) -> tuple[dict[str, Any], set[int]]:
        done = reload_each(admins, those)
        first = own(shop, 0).process_id()
        (stdin,) = (each.stdin for each in spawner.started if each is not None and each.pid == first)
        assert stdin is not None
        heard.clear()
        told = json.dumps({"taken": begun, "number": 0}).encode()
        loop.call_soon_threadsafe(stdin.write, b"take " + told + b"\n")
        wait_until(lambda: 0 in heard, what="the group hears that it has these again")
        assert own(shop, 0).policy()[0]["reach"] == "everywhere"
        return done

    monkeypatch.setattr(WorkerPlace, "has", hear)
    monkeypatch.setattr(AdminGroup, "reload_each", reload_and_obey)
    serving = asyncio.create_task(group.serve())
    await wait_until_async(lambda: "ready: edge-1@ams1 workers=2" in caplog.text, READY_S_MAX)
    shop.file.write_text(begun.replace(sharing("everywhere"), sharing("colo")))
    assert (await asyncio.to_thread(admin(shop).reload))["ok"]
    await asyncio.to_thread(wait_until, lambda: reaches(shop) == ["colo", "colo"])
    group.stop()
    await serving


async def test_a_worker_goes_back_after_a_refusal_though_its_word_was_lost(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshcache.server")
    shop.write(TWO, sharing("everywhere"))
    group = Group(shop.file, ())
    reload_each, has = AdminGroup.reload_each, WorkerPlace.has
    lost: list[WorkerPlace] = []

    def hear(place: WorkerPlace, settings: int | None) -> None:
        if settings is None and not lost:
            lost.append(place)
        else:
            has(place, settings)

    def refuse(admins: AdminGroup, those: set[int]) -> tuple[dict[str, Any], set[int]]:
        first = own(shop, 0).process_id()
        _, taken = reload_each(admins, [each for each in those if each == first])
        wait_until(lambda: len(lost) == 1, what="it is lost")
        return failed_reload(["worker-1 refuses"]), taken

    monkeypatch.setattr(WorkerPlace, "has", hear)
    monkeypatch.setattr(AdminGroup, "reload_each", refuse)
    serving = asyncio.create_task(group.serve())
    await wait_until_async(lambda: "ready: edge-1@ams1 workers=2" in caplog.text, READY_S_MAX)
    shop.file.write_text(shop.file.read_text().replace(sharing("everywhere"), sharing("colo")))
    assert not (await asyncio.to_thread(admin(shop).reload))["ok"]
    await asyncio.to_thread(wait_until, lambda: reaches(shop) == ["everywhere", "everywhere"])
    group.stop()
    await serving


async def test_where_no_worker_serves_those_that_start_take_the_file_as_it_is_then(
    shop: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    """What was in the file before may be why none can."""
    caplog.set_level("INFO", "meshcache.server")
    shop.write(TWO, sharing("everywhere"))
    group = Group(shop.file, ())
    serving = asyncio.create_task(group.serve())
    await wait_until_async(lambda: "ready: edge-1@ams1 workers=2" in caplog.text, READY_S_MAX)
    (shop.folder / "mesh.key").rename(shop.folder / "elsewhere.key")
    victims = [own(shop, number).process_id() for number in (0, 1)]
    for victim in victims:
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
    await wait_until_async(lambda: caplog.text.count("another starts") >= 2)
    moved = shop.file.read_text().replace("[mesh]\n", '[mesh]\nkey_file = "elsewhere.key"\n')
    shop.file.write_text(moved)
    result = await asyncio.to_thread(admin(shop).reload)
    assert result["faults"] == ["no worker serves; those that start take what is in the file now"]
    await asyncio.to_thread(wait_until, lambda: [each["ready"] for each in workers(shop)] == [True, True], READY_S_MAX)
    assert (await asyncio.to_thread(admin(shop).reload))["ok"]
    group.stop()
    await serving


class Spawner:
    """Starts processes as asyncio does, but for those whose turn, counted from 0, is among `fails`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *fails: int) -> None:
        self.started: list[asyncio.subprocess.Process | None] = []
        self._fails = fails
        self._starts = asyncio.create_subprocess_exec
        monkeypatch.setattr("asyncio.create_subprocess_exec", self.start)

    async def start(self, *command: Any, **more: Any) -> asyncio.subprocess.Process:
        self.started.append(None)
        turn = len(self.started) - 1
        if turn in self._fails:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        process = self.started[turn] = await self._starts(*command, **more)
        return process


async def test_a_worker_that_can_not_be_started_once_is_started_later(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshcache.server")
    monkeypatch.setattr(worker_place, "STEADY_S", 600.0)  # a busy machine may take long until both are ready
    spawner, group = Spawner(monkeypatch, 2, 3), Group(shop.file, ())
    serving = asyncio.create_task(group.serve())
    await wait_until_async(lambda: "ready: edge-1@ams1 workers=2" in caplog.text, READY_S_MAX)
    assert spawner.started[0] is not None
    spawner.started[0].kill()
    await wait_until_async(lambda: len(spawner.started) == 5, what="another is started at last")
    said = "a worker process can't be started: [Errno 11] Resource temporarily unavailable; another starts in "
    assert [line for line in caplog.messages if "can't be started" in line] == [f"{said}1 s", f"{said}2 s"]
    await asyncio.to_thread(wait_until, lambda: [each["ready"] for each in workers(shop)] == [True, True])
    group.stop()
    await serving


async def test_where_a_first_worker_can_not_be_started_the_server_ends_and_says_why(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spawner = Spawner(monkeypatch, 1)
    with pytest.raises(MeshcacheError, match="a worker could not start"):
        await Group(shop.file, ()).serve()
    assert "a worker process can't be started: [Errno 11]" in caplog.text
    assert all(process is None or process.returncode is not None for process in spawner.started)


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_sigterm_lets_connections_end_and_all_processes_with_them(shop: Deployment) -> None:
    process = start(shop)
    children = process_ids(shop)
    dialogue = shop.dial()
    process.send(signal.SIGTERM)
    wait_until(lambda: process.output.count("] stopping: ") == 2, what="both drain")
    wait_until(lambda: refuses(shop.port), what="nobody listens any more")
    with pytest.raises(SSL.ZeroReturnError):
        dialogue.tls.recv(1)
    dialogue.close()
    assert process.wait() == 0, process.output
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not admin(shop).path.exists()


@pytest.mark.slow
def test_a_second_signal_ends_at_once(shop: Deployment) -> None:
    process = start(shop)
    dialogue = shop.dial()
    dialogue.tls.sendall(b"GET / HTTP/1.1\r\n")
    process.send(signal.SIGINT)
    wait_until(lambda: process.output.count("] stopping: ") == 2, what="both drain")
    process.send(signal.SIGINT)
    assert process.wait() == 0, process.output


@pytest.mark.slow
def test_systemd_gives_sockets_and_hears_once_all_serve(shop: Deployment, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, socket.create_server(("127.0.0.1", 0)) as given:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(READY_S_MAX)
        shop.port = given.getsockname()[1]
        shop.write(TWO)
        program = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
            "os.execv(sys.executable, [sys.executable, '-m', 'meshcache', 'serve', sys.argv[2]])"
        )
        env = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "LISTEN_FDS": "1"}
        command = [sys.executable, "-c", program, str(given.fileno()), str(shop.file)]
        process = shop.process = shop.processes.start(command, env=env, pass_fds=(given.fileno(),))
        wait_until(lambda: answers(admin(shop).path), READY_S_MAX)
        process.send(signal.SIGHUP)  # while the workers start
        told: list[str] = []
        while not told or "READY=1" not in told[-1]:
            told.append(systemd.recv(4096).decode())
        assert told[-1] == "READY=1\nSTATUS=2 of 2 workers serve"
        assert all("EXTEND_TIMEOUT_USEC" in each for each in told[:-1])
        assert systemd.recv(4096).decode().startswith("RELOADING=1"), "it is obeyed then"
        assert systemd.recv(4096).decode() == "READY=1\nSTATUS=2 of 2 workers serve"
        assert " reloaded: 2 workers have taken " in process.output
        assert "not reloaded" not in process.output
        visit(shop, None, shop.certificates.client(ssl.TLSVersion.TLSv1_3))
        process.send(signal.SIGHUP)
        assert systemd.recv(4096).decode().startswith("RELOADING=1")
        assert systemd.recv(4096).decode() == "READY=1\nSTATUS=2 of 2 workers serve"
        process.send(signal.SIGTERM)
        assert systemd.recv(4096) == b"STOPPING=1"
        assert process.wait() == 0
        socket.create_connection(given.getsockname(), timeout=5).close()


@pytest.mark.slow
def test_systemd_hears_of_a_worker_that_ends_before_all_serve_and_of_the_one_after_it(
    shop: Deployment, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, Gate(shop.folder) as gate:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(READY_S_MAX)

        def told_until(status: str) -> list[str]:
            told: list[str] = []
            while not told or not told[-1].endswith(f"STATUS={status} of 2 workers serve"):
                told.append(systemd.recv(4096).decode())
            return told

        shop.write(TWO + Gate.hooks)
        gate.shut()
        command = [sys.executable, "-m", "meshcache", "serve", str(shop.file)]
        shop.processes.start(command, env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        told_until("1")
        first = next(each for each in (own(shop, 0), own(shop, 1)) if answers(each.path)).process_id()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert not any("READY=1" in each for each in told_until("0"))
        gate.let_in()
        assert told_until("2")[-1].startswith("READY=1")
        victim = own(shop, 0).process_id()
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        assert [told_until(serving)[-1] for serving in "12"] == [
            f"READY=1\nSTATUS={serving} of 2 workers serve" for serving in "12"
        ]


def test_workers_that_cannot_start_end_the_server_and_say_why(shop: Deployment) -> None:
    (shop.folder / "mesh.key").write_text("no key\n")
    process = shop.processes.start([sys.executable, "-m", "meshcache_server", str(shop.file)])
    assert process.wait(READY_S_MAX) in (1, 2)
    assert "a worker could not start; what it says is above" in process.output
    assert "mesh.key" in process.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (TWO + "[admin]\nsocket = false\n", "admin.socket: server.workers needs one"),
        (TWO + '[tier.disk]\npath = "elsewhere"\n', "tier.disk.path: each of server.workers has a folder of its own"),
        ("[server]\nworkers = 0\n", "server.workers: 0: give 1 to 64 processes"),
        ('[server]\nworkers = "many"\n', "server.workers: "),
    ],
)
def test_what_workers_cannot_do_is_a_fault_of_the_file(shop: Deployment, more: str, said: str) -> None:
    shop.write(more)
    command = [sys.executable, "-m", "meshcache", "check", str(shop.file)]
    done = run(command)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout


def test_check_says_what_a_reach_of_one_server_means_then(shop: Deployment) -> None:
    shop.port = free_ports(1)[0]
    shop.write(TWO, vip='[vip.sharing]\nreach = "server"\n')
    command = [sys.executable, "-m", "meshcache", "check", str(shop.file)]
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert "only one return in 2 resumes" in done.stdout + done.stderr


def test_without_a_running_worker_the_group_says_so(tmp_path: Path) -> None:
    from meshcache import AdminGroup, Settings

    group = AdminGroup(Settings(), list, dict)
    with pytest.raises(MeshcacheError, match="no worker answers"):
        group.stats()
