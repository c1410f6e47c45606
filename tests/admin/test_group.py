"""One admin interface over several: each worker here is a generated node that answers at a socket of its own."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshcache.admin import group as group_module
from meshcache.admin import worker_questions
from meshcache.admin.client import AdminClient
from meshcache.admin.group import AdminGroup
from meshcache.admin.metrics import registry_of
from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings, Settings
from meshcache.errors import AdminError, MeshcacheError, PolicyError
from meshcache.runtime.front import Front
from tests.admin.snapshots import GeneratedNode
from tests.support.waiting import wait_until


class Policies:
    """Writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.vip, self.breaks = "shop", False

    def set_policy(self, vip: str, values: dict[str, str], *, node_only: bool = False) -> dict[str, Any]:
        if vip != self.vip:
            raise PolicyError(f"there is no VIP {vip}")
        self.asked.append(("set", vip, values, node_only))
        if self.breaks:
            raise RuntimeError("after the change")
        return {"version": len(self.asked)}

    def unset_policy(self, vip: str, keys: list[str], *, node_only: bool = False) -> dict[str, Any]:
        self.asked.append(("unset", vip, keys, node_only))
        return {}

    def withdraw(self, **what: Any) -> dict[str, Any]:
        self.asked.append(("withdraw", what))
        return {"sessions": 3}

    def explain_way(self, source: str, target: str) -> dict[str, Any]:
        return {"way": [source, target]}

    def explain_session(self, session: str) -> dict[str, Any]:
        return {"session": session}

    def ticket_rings(self) -> list[dict[str, Any]]:
        return [{"vip": "shop"}]

    def rotate_tickets(self, vip: str) -> int:
        self.asked.append(("rotate", vip))
        return 7

    def clocks(self) -> dict[str, float]:
        return {"far": 0.5}

    def figures(self) -> dict[str, Any]:
        return {"nodes": []}


class Worker(GeneratedNode):
    """A generated node with a name of its own, policies, and a front that may be reloaded."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__(seed)
        self.name, self.policies, self.admin_front = f"edge-1.aa.w{seed}", Policies(), Front()
        self.reloads: list[bool] = []
        self.asked, self.slow, self.go_on = 0, 0, threading.Event()
        self.path = folder / f"w{seed}.sock"
        self.server = AdminServer(self, AdminSettings(socket=self.path))

    def stats(self) -> dict[str, Any]:
        """The first `slow` that ask wait until they may `go_on`."""
        self.asked += 1
        if self.asked <= self.slow:
            assert self.go_on.wait(60)
        stats = super().stats()
        stats["node"]["name"] = self.name
        return stats


@pytest.fixture
def workers(folder: Path) -> Iterator[list[Worker]]:
    made = [Worker(seed, folder) for seed in (0, 1)]
    for worker in made:
        worker.advance(5)
        worker.server.start()
    yield made
    for worker in made:
        worker.server.close()


@pytest.fixture
def group(workers: list[Worker], folder: Path) -> Iterator[AdminGroup]:
    made = group_of(workers, AdminSettings(socket=folder / "group.sock"))
    made.start()
    yield made
    made.close()


def group_of(workers: list[Worker], settings: AdminSettings) -> AdminGroup:
    return AdminGroup(Settings(admin=settings), lambda: [worker.path for worker in workers], _about)


@pytest.fixture
def watched(workers: list[Worker]) -> Iterator[AdminGroup]:
    """One with a dashboard, which reads now and then by itself."""
    made = group_of(workers, AdminSettings(http="127.0.0.1:0")).start()
    yield made
    made.close()


def _about() -> dict[str, Any]:
    return {"name": "edge-1", "colo": "ams1", "uptime_s": 100.0}


@pytest.fixture
def client(group: AdminGroup, folder: Path) -> AdminClient:
    del group
    return AdminClient(folder / "group.sock")


def test_it_answers_with_the_sum(client: AdminClient, workers: list[Worker]) -> None:
    stats = client.stats()
    assert stats["node"]["name"] == "edge-1"
    full = [worker.stats()["vips"]["shop"]["handshakes"]["full"] for worker in workers]
    assert stats["vips"]["shop"]["handshakes"]["full"] == sum(full)
    assert {peer["name"] for peer in client.peers()} == {peer["name"] for peer in workers[0].peers()}
    assert client.policy() == workers[0].policy()


def test_ticket_keys_are_given_by_a_worker_whose_socket_is_named(client: AdminClient, workers: list[Worker]) -> None:
    with pytest.raises(PolicyError, match=rf"gives ticket keys at a worker's own socket: --socket {workers[0].path}$"):
        client.export_tickets("shop", "nginx", Path("/run/keys"))


def test_events_of_all_are_told_once_in_order_with_their_worker(client: AdminClient, workers: list[Worker]) -> None:
    workers[0].happen("PeerJoined", "info", "far", "ams1", "far joined")
    workers[1].happen("PeerJoined", "info", "far", "ams1", "far joined")
    first = client.events()
    assert [event["seq"] for event in first] == [1, 2]
    assert {event["worker"] for event in first} == {"edge-1.aa.w0", "edge-1.aa.w1"}
    assert all(event["at_s"] == pytest.approx(100.0, abs=0.1) for event in first), "by the group's clock"
    assert client.events(2) == []
    workers[1].happen("PeerLost", "warning", "far", "ams1", "far lost")
    (fresh,) = client.events(2)
    assert (fresh["seq"], fresh["worker"], fresh["kind"]) == (3, "edge-1.aa.w1", "PeerLost")
    assert len(client.events()) == 3


def test_events_are_told_once_where_a_workers_process_can_not_be_had_for_a_moment(
    client: AdminClient, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers[0].happen("PeerJoined", "info", "far", "ams1", "far joined")
    assert len(client.events()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(AdminClient, "process_id", lambda _: None)
        workers[0].happen("PeerLost", "warning", "far", "ams1", "far lost")
        workers[1].happen("PeerLost", "warning", "far", "ams1", "far lost")
        assert len(client.events()) == 3
    assert [event["kind"] for event in client.events() if event["worker"] == "edge-1.aa.w0"] == [
        "PeerJoined",
        "PeerLost",
    ]


def test_what_the_mesh_spreads_goes_to_one_and_what_is_a_nodes_own_to_each(
    client: AdminClient, workers: list[Worker]
) -> None:
    assert client.set_policy("shop", {"reach": "colo"}) == {"version": 1}
    assert [len(worker.policies.asked) for worker in workers] == [1, 0]
    client.unset_policy("shop", ["reach"], node_only=True)
    assert [worker.policies.asked[-1] for worker in workers] == [("unset", "shop", ["reach"], True)] * 2
    assert client.withdraw(all=True) == {"sessions": 3}
    assert workers[0].policies.asked[-1][1]["everything"] is True
    assert client.rotate_tickets("shop")["generation"] == 7
    with pytest.raises(PolicyError, match="there is no VIP nowhere"):
        client.set_policy("nowhere", {"reach": "colo"})
    with pytest.raises(PolicyError, match="there is no VIP nowhere"):
        client.set_policy("nowhere", {"reach": "colo"}, node_only=True)
    assert client.explain(**{"from": "a@x", "to": "b@y"}) == {"way": ["a@x", "b@y"]}
    assert client.explain(session="3fa9") == {"session": "3fa9"}
    assert client.tickets() == [{"vip": "shop"}]
    assert client.mesh() == {"nodes": []}
    assert client.get("/v1/clocks") == {"ahead_s": {"far": 0.5}}


def test_one_that_has_just_gone_is_left_out_and_with_none_the_answer_says_so(
    client: AdminClient, workers: list[Worker], group: AdminGroup
) -> None:
    workers[0].server.close()
    assert [each["name"] for each in client.stats()["node"]["workers"]] == ["edge-1.aa.w1"]
    assert client.set_policy("shop", {"reach": "colo"}) == {"version": 1}
    workers[1].server.close()
    wait_until(lambda: _refuses(client), what="numbers of a moment ago are forgotten")
    asks: list[Callable[[], Any]] = [
        *(client.stats, client.peers, client.policy, client.events, client.tickets, client.mesh, client.clocks),
        lambda: client.explain(session="3fa9"),
        lambda: client.set_policy("shop", {"reach": "colo"}),
        lambda: client.unset_policy("shop", [], node_only=True),
        lambda: client.withdraw(all=True),
        lambda: client.rotate_tickets("shop"),
    ]
    for ask in asks:  # exit code 1, and 2 is for what was refused
        with pytest.raises(AdminError, match="answered 503: no worker answers"):
            ask()
    with pytest.raises(MeshcacheError, match="no worker answers"):
        group.reload_each({os.getpid()})


def test_a_worker_that_fails_in_a_change_does_not_say_that_nothing_changed(
    client: AdminClient, workers: list[Worker]
) -> None:
    workers[0].policies.breaks = True
    with pytest.raises(AdminError, match=rf"answered 503: the node at {workers[0].path} answered 500: the node could"):
        client.set_policy("shop", {"reach": "colo"})
    assert [len(worker.policies.asked) for worker in workers] == [1, 0]


def test_of_a_change_to_each_those_are_named_that_perhaps_lack_it(
    client: AdminClient, workers: list[Worker], folder: Path
) -> None:
    def narrow() -> dict[str, Any]:
        return client.set_policy("shop", {"reach": "server"}, node_only=True)

    workers[1].policies.breaks = True
    one = rf"done on 1 of 2 workers, and perhaps not on {folder.name}: "
    with pytest.raises(AdminError, match=rf"answered 503: {one}the node at {workers[1].path} answered 500: the node"):
        narrow()
    assert [len(worker.policies.asked) for worker in workers] == [1, 1]
    workers[0].policies.vip = "elsewhere"
    with pytest.raises(AdminError, match=rf"done on 0 of 2 workers, .*: there is no VIP shop; .*{workers[1].path}"):
        narrow()
    workers[1].policies.breaks = False
    with pytest.raises(AdminError, match=rf"{one}there is no VIP shop$"):
        narrow()
    workers[1].policies.vip = "elsewhere"
    with pytest.raises(PolicyError, match=r"^there is no VIP shop$"):
        narrow()
    workers[1].policies.vip = "shop"
    workers[0].server.close()
    assert narrow() == {"version": 4}


def _refuses(client: AdminClient) -> bool:
    try:
        client.stats()
    except AdminError:
        return True
    return False


def test_numbers_are_a_moment_old_at_most_but_never_older_than_a_change_or_a_reload(
    client: AdminClient, workers: list[Worker], group: AdminGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "STATS_AGE_S", 1e6)
    last: dict[str, Any] = {"ok": True}
    group.front.tells(lambda: {"reload": last})

    def names() -> list[str]:
        return [each["name"] for each in client.stats()["node"]["workers"]]

    assert names() == ["edge-1.aa.w0", "edge-1.aa.w1"]
    assert client.stats()["front"]["reload"] == {"ok": True}
    changes: list[Callable[[], Any]] = [
        lambda: client.set_policy("shop", {"reach": "colo"}),
        lambda: client.unset_policy("shop", ["reach"], node_only=True),
        lambda: client.withdraw(all=True),
        lambda: client.rotate_tickets("shop"),
        lambda: reload_fails(group),
    ]
    for number, change in enumerate(changes):
        before = names()
        workers[0].name = f"renamed-{number}"
        client.explain(session="3fa9")
        assert names() == before, "reading changes nothing"
        change()
        assert names() == [f"renamed-{number}", "edge-1.aa.w1"]
    workers[0].name = "edge-1.aa.w0"
    last = {"ok": False}
    assert client.stats()["front"]["reload"] == {"ok": False}, "the group's own, also of a SIGHUP"
    assert names() == ["renamed-4", "edge-1.aa.w1"]


def reload_fails(group: AdminGroup) -> None:
    with pytest.raises(MeshcacheError, match="answered 500"):  # generated nodes have nothing to reload
        group.reload_each({os.getpid()})


def test_a_reload_asks_those_that_serve_and_ends_with_the_first_that_refuses(
    group: AdminGroup, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    faults: dict[int, list[str]] = {0: [], 1: []}

    def reload(number: int) -> dict[str, Any]:
        asked.append(number)
        return {"ok": not faults[number], "faults": faults[number], "changed": [f"by {number}"]}

    for number, worker in enumerate(workers):
        front = Front()
        front.tells(dict, partial(reload, number))
        monkeypatch.setattr(worker, "front", front)
    ours = os.getpid()
    assert group.reload_each({ours}) == ({"ok": True, "faults": [], "changed": ["by 0"]}, {ours})
    assert asked == [0, 1]
    with pytest.raises(MeshcacheError, match="no worker answers"):
        group.reload_each({os.getppid()})
    assert asked == [0, 1], "one that starts isn't asked"
    faults[1] = ["mesh.key_file: is gone"]
    assert group.reload_each({ours}) == ({"ok": False, "faults": faults[1], "changed": ["by 1"]}, {ours})
    faults[0] = ["mesh.key_file: is gone"]
    assert group.reload_each({ours}) == ({"ok": False, "faults": faults[0], "changed": ["by 0"]}, set())
    assert asked == [0, 1, 0, 1, 0], "who refuses ends it"


def test_many_who_ask_at_once_get_the_same_numbers(client: AdminClient) -> None:
    found: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(client.stats())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({each["vips"]["shop"]["handshakes"]["full"] for each in found}) == 1


class Clock:
    """What the group reads as the time: counts how often, and stands still between tests' steps."""

    def __init__(self) -> None:
        self.now, self.reads = 1000.0, 0

    def monotonic(self) -> float:
        self.reads += 1
        return self.now


def test_those_who_come_while_a_worker_is_slow_share_one_answer(
    group: AdminGroup, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(group_module, "time", clock)
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 60.0)
    workers[0].slow = 1
    threads = [threading.Thread(target=group.stats)]
    threads[0].start()
    wait_until(lambda: workers[0].asked == 1)
    clock.now += 10
    for number in range(5):
        threads.append(threading.Thread(target=group.stats))
        threads[-1].start()
        wait_until(lambda reads=number + 3: clock.reads == reads)  # it has come
    clock.now += 10
    workers[0].go_on.set()
    for thread in threads:
        thread.join(60)
    assert workers[0].asked == 2, "not one each, one after the other"


def test_whoever_asks_for_events_waits_for_nobody_who_asks_for_numbers(
    group: AdminGroup, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers[1].happen("PeerLost", "warning", "far", "ams1", "far lost")
    workers[0].slow = 1
    asking = threading.Thread(target=group.stats)
    asking.start()
    wait_until(lambda: workers[0].asked == 1)
    monkeypatch.setattr(workers[0], "path", workers[0].path.with_name("nobody"))
    assert [event["kind"] for event in group.events()] == ["PeerLost"]
    assert asking.is_alive()
    workers[0].go_on.set()
    asking.join(60)


def test_a_worker_that_does_not_answer_once_tells_nothing_twice(
    group: AdminGroup, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers[0].happen("PeerLost", "warning", "far", "ams1", "far lost")
    assert len(group.events()) == 1
    with monkeypatch.context() as patched:
        patched.setattr(workers[0], "path", workers[0].path.with_name("nobody"))
        assert group.events(1) == []
    assert len(group.events()) == 1


def test_health_of_a_group_asks_nobody_and_is_told_while_a_worker_is_waited_for(
    watched: AdminGroup, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 60.0)
    monkeypatch.setattr(group_module, "STATS_AGE_S", 0.0)  # what the dashboard read a moment ago is nobody's answer
    monkeypatch.setattr(AdminClient.ask, "__defaults__", (None, 60.0))  # nobody gives up meanwhile
    workers[0].slow = 10**6
    waiting = [threading.Thread(target=fetched, args=(watched, path)) for path in ("/metrics", "/v1/stats", "/readyz")]
    for thread in waiting:
        thread.start()
    wait_until(lambda: workers[0].asked)
    began_at = time.monotonic()
    assert fetched(watched, "/healthz") == {"ok": True}
    assert time.monotonic() - began_at < 30.0
    assert all(thread.is_alive() for thread in waiting)
    workers[0].go_on.set()
    for thread in waiting:
        thread.join(60)


def fetched(group: AdminGroup, path: str) -> Any:
    with urllib.request.urlopen(f"http://{group.http_address}{path}", timeout=60) as answer:
        return json.load(answer) if path != "/metrics" else answer.read()


def test_a_stuck_worker_is_waited_for_once_and_named_until_it_answers_again(
    client: AdminClient, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 4.0)
    monkeypatch.setattr(worker_questions, "REST_S", 0.0)
    monkeypatch.setattr(group_module, "STATS_AGE_S", 0.0)
    assert [each["answers"] for each in client.stats()["node"]["workers"]] == [True, True]
    workers[0].slow = 10**6
    full = sum(worker.vips["shop"]["handshakes"]["full"] for worker in workers)
    stats = client.stats()
    assert [(each["name"], each["answers"]) for each in stats["node"]["workers"]] == [
        ("edge-1.aa.w1", True),
        ("edge-1.aa.w0", False),
    ]
    assert stats["node"]["workers"][1]["ready"] is False
    assert stats["vips"]["shop"]["handshakes"]["full"] == full, "what it has counted stays"
    assert stats["front"]["connections"]["open"] == 214, "what is open there isn't known"
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 60.0)
    for ask in (client.stats, client.peers, client.policy, client.events, client.tickets):
        assert ask() is not None, "nobody waits for it again"
    workers[0].go_on.set()
    wait_until(lambda: [each["answers"] for each in client.stats()["node"]["workers"]] == [True, True])


def test_a_change_that_waits_for_stuck_workers_keeps_no_question_from_being_asked(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "ASKING_MAX", 2)
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 20.0)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def stuck(_worker: AdminClient) -> dict[str, Any]:
        begun.release()
        assert go_on.wait(60)
        return {"version": 1}

    group = group_of(workers, AdminSettings(socket=None))
    changing = threading.Thread(target=group.change_each, args=(stuck,))
    changing.start()
    try:
        assert all(begun.acquire(timeout=60) for _ in workers)
        assert [each["answers"] for each in group.stats()["node"]["workers"]] == [True, True]
        assert group.peers()
    finally:
        go_on.set()
        changing.join(60)
        group.close()


def test_a_worker_that_answers_with_an_error_is_named_as_one_that_does_not_answer(
    client: AdminClient, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("a fault of its own")

    monkeypatch.setattr(group_module, "STATS_AGE_S", 0.0)
    full = client.stats()["vips"]["shop"]["handshakes"]["full"]
    with monkeypatch.context() as patch:
        patch.setattr(workers[0], "stats", broken)
        stats = client.stats()
    assert {each["name"]: each["answers"] for each in stats["node"]["workers"]} == {
        "edge-1.aa.w0": False,
        "edge-1.aa.w1": True,
    }
    assert stats["vips"]["shop"]["handshakes"]["full"] == full
    assert [each["answers"] for each in client.stats()["node"]["workers"]] == [True, True], "it wasn't late"


def test_counters_never_go_down_when_a_worker_goes_and_comes_back_as_another(
    group: AdminGroup, workers: list[Worker], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "STATS_AGE_S", 0.0)
    workers[0].front = deepcopy(workers[0].front) | {"ended_badly": {"its own": 9}}
    before = counted(group)
    workers[0].server.close()
    assert falling(before, counted(group)) == {}
    workers[0] = Worker(0, folder)
    workers[0].advance(1)
    with workers[0].server:
        again = counted(group)
        assert falling(before, again) == {}
        assert again["meshcache_handshakes_total", "shop full"] > before["meshcache_handshakes_total", "shop full"]
        stats = group.stats()
        full = stats["vips"]["shop"]["handshakes"]["full"]
        assert again["meshcache_handshakes_total", "shop full"] == full, "all views say the same"
        assert [each["name"] for each in stats["node"]["workers"]] == ["edge-1.aa.w0", "edge-1.aa.w1"]


def counted(group: AdminGroup) -> dict[tuple[str, str], float]:
    return {
        (sample.name, " ".join(map(str, sample.labels.values()))): sample.value
        for metric in registry_of(group.stats).collect()
        if metric.type in ("counter", "histogram") and metric.name.startswith("meshcache_")
        for sample in metric.samples
    }


def falling(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {key: value for key, value in before.items() if after.get(key, -1.0) < value}


def test_a_worker_that_is_being_replaced_is_no_peer_of_its_server(
    client: AdminClient, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "STATS_AGE_S", 0.0)
    workers[1].peers_plain = [*workers[1].peers_plain, {**workers[1].peers_plain[0], "name": workers[0].name}]
    outside = [peer["name"] for peer in client.stats()["peers"]]
    workers[0].server.close()
    assert [peer["name"] for peer in client.stats()["peers"]] == outside
    assert [peer["name"] for peer in client.peers()] == outside
    assert workers[0].name not in outside
