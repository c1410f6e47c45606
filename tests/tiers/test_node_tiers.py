"""A node with tiers: what lies there when it ends, what the next life finds, and what it makes of others'."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode
from meshcache.core.values.session import Outcome
from meshcache.edges.keyfile import load_keyring, save_keyring
from meshcache.hooks import Tier
from meshcache.tiers.runner import TierRunner
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tiers.tiers import BreaksOff, Evicted, Full, Kept, OpensLater
from tests.tls.world import client_context, server_context, visit

DISK = {"disk": {"max_bytes": "16MiB"}}

Start = Callable[..., MeshNode]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a node with these tiers, whose VIP is served; the one before is closed first."""
    nodes: list[MeshNode] = []

    def begin(*tiers: Tier, name: str = "edge-1", closes: bool = True, **changes: Any) -> MeshNode:
        for node in nodes if closes else ():
            node.close()
        node = MeshNode(settings(tmp_path, name, **changes), hooks=tiers).start()
        nodes.append(node)
        if "vip" not in changes:
            node.attach(server_context("stdlib", None), vip="shop")
        return node

    yield begin
    for node in nodes:
        node.close()


def make(node: MeshNode, count: int, vip: str = "shop") -> list[bytes]:
    """Let a node make sessions, as handshakes do; returns their ids."""
    pump = node.internals.pump
    ids = [os.urandom(32) for _ in range(count)]
    for session_id in ids:
        with pump.lock:
            pump.core.session_created(vip, session_id, b"\x30" + session_id + b"\xab" * 90, pump.clock())
    return ids


def found(node: MeshNode, ids: list[bytes]) -> list[Outcome | None]:
    pump = node.internals.pump
    with pump.lock:
        return [pump.core.lookup("shop", session_id, pump.clock()).outcome for session_id in ids]


def counts(node: MeshNode) -> dict[str, int]:
    told: dict[str, int] = node.stats()["tiers"][0]["counts"]
    return told


def withdraws(node: MeshNode) -> int:
    return len(node.internals.pump.core.withdraws)


def restored(node: MeshNode) -> int:
    number: int = node.stats()["vips"]["shop"]["sessions"]["restored"]
    return number


def test_without_tiers_there_is_nothing(start: Start) -> None:
    node = start()
    make(node, 10)
    assert node.stats()["tiers"] == []
    assert node.internals.pump.core.tiering.waiting == 0


@pytest.mark.usefixtures("hot_path")
def test_a_node_that_is_alone_has_its_sessions_after_a_restart(start: Start) -> None:
    ids = make(start(tier=DISK), 500)
    node = start(tier=DISK)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {Outcome.LOCAL}
    assert restored(node) == 500
    assert counts(node)["loaded"] == 500


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_resumes_after_the_restart(start: Start, version: str) -> None:
    node = start(tier=DISK, vip=[{"name": "shop", "tickets": 1}])
    client = client_context(version)
    session = visit(node.attach(server_context("stdlib", None), vip="shop"), client).session
    node = start(tier=DISK, vip=[{"name": "shop", "tickets": 1}])
    server = node.attach(server_context("stdlib", None), vip="shop")
    assert node.wait_warm(60)
    assert visit(server, client, session=session).resumed


def test_sessions_of_peers_come_back_as_theirs(start: Start) -> None:
    maker = start()
    seeds = {"seeds": [maker.address]}
    node = start(tier=DISK, name="edge-2", mesh=seeds, closes=False)
    wait_until(lambda: any(peer["state"] == "alive" for peer in node.peers()), what="they meet")
    ids = make(maker, 50)
    wait_until(lambda: node.stats()["vips"]["shop"]["entries"] == 50, what="they came")
    node = start(tier=DISK, name="edge-2")
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {Outcome.REMOTE}


def test_a_vip_that_is_attached_later_finds_its_sessions_then(start: Start) -> None:
    vips = [{"name": "shop", "tickets": 1}, {"name": "pay", "tickets": 1}]
    tier = Kept()
    node = start(tier, vip=vips)
    node.attach(server_context("stdlib", None), vip="shop")
    ids = make(node, 20)
    node = start(tier, vip=vips)
    node.attach(server_context("stdlib", None), vip="pay")
    wait_until(lambda: node.warm, what="pay is loaded")
    assert len(tier.kept) == 20
    node.attach(server_context("stdlib", None), vip="shop")
    wait_until(lambda: set(found(node, ids)) == {Outcome.LOCAL}, what="shop is loaded")


@pytest.mark.usefixtures("hot_path")
def test_a_withdraw_holds_after_a_restart_of_a_node_that_is_alone(start: Start) -> None:
    tier = Kept()
    node = start(tier)
    ids = make(node, 20)
    wait_until(lambda: len(tier.kept) == 20, what="they are written")
    before = dict(tier.kept)
    node.policies.withdraw(vip="shop")
    node.close()
    tier.kept |= before  # a tier that forgot to forget
    node = start(tier)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}
    assert node.stats()["vips"]["shop"]["sessions"]["refused"] == {"withdrawn": 20}


def test_a_withdraw_that_couldnt_be_written_is_kept_once_it_can_be(start: Start) -> None:
    tier = Full()
    node = start(tier)
    ids = make(node, 20)
    wait_until(lambda: len(tier.kept) == 20, what="they are written")
    before, tier.full = dict(tier.kept), True
    node.policies.withdraw(vip="shop")
    wait_until(lambda: counts(node).get("raised"), what="it can't be written")
    tier.full = False
    wait_until(lambda: tier.kept.keys() - before.keys(), what="it is kept, while the node runs")
    node.close()
    tier.kept |= before
    node = start(tier)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}


def test_a_withdraw_that_a_former_life_couldnt_write_is_kept_by_the_next_one(start: Start) -> None:
    tier = Full()
    node = start(tier)
    make(node, 20)
    wait_until(lambda: len(tier.kept) == 20, what="they are written")
    before, tier.full = dict(tier.kept), True
    node.policies.withdraw(vip="shop")
    about, early = node.bequest.about(), list(node.bequest.frames())
    node.close(goodbye=False)
    late = list(node.bequest.frames(last=True))
    tier.full = False
    assert tier.kept.keys() <= before.keys()
    node = start(tier)
    node.bequest.take(about, early + late)
    wait_until(lambda: tier.kept.keys() - before.keys(), what="it is kept")


def test_a_withdraw_takes_no_place_of_one_in_a_tier_that_opens_after_it(start: Start) -> None:
    first = OpensLater()
    first.tries = 1
    start(first).policies.withdraw(group="shop")
    tier = OpensLater()
    node = start(tier)
    tier.kept = first.kept
    node.policies.withdraw(origin="edge-1")
    assert withdraws(node) == 1
    wait_until(lambda: withdraws(node) == 2, 60, what="it is open")
    node = start(tier)
    assert node.wait_warm(60)
    assert withdraws(node) == 2


@pytest.mark.usefixtures("hot_path")
def test_a_new_epoch_leaves_nothing(start: Start) -> None:
    tier = Kept()
    node = start(tier)
    ids = make(node, 20)
    wait_until(lambda: len(tier.kept) == 20, what="they are written")
    node.policies.withdraw(group="shop", new_epoch=True)
    node = start(tier)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}


def test_another_group_leaves_nothing(start: Start) -> None:
    tier = Kept()
    ids = make(start(tier), 20)
    node = start(tier, sharing={"group": "other"})
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}


def test_a_shorter_lifetime_and_a_smaller_cache_hold_at_the_load(start: Start) -> None:
    tier = Kept()
    make(start(tier), 300)
    node = start(tier, cache={"max_sessions": 100})
    assert node.wait_warm(60)
    assert node.stats()["vips"]["shop"]["entries"] == 100


def test_what_another_key_sealed_is_refused_counted_and_removed(start: Start, tmp_path: Path) -> None:
    tier = Kept()
    ids = make(start(tier), 20)
    node = start(tier, key="other.key")
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}
    wait_until(lambda: not tier.kept, what="they are removed")
    assert counts(node)["refused_key"] == 20


@pytest.mark.usefixtures("hot_path")
def test_values_that_were_swapped_are_refused_counted_and_removed(start: Start) -> None:
    tier = Kept()
    node = start(tier)
    ids = make(node, 20)
    node.close()
    (one, mine), (two, yours), *_ = tier.kept.items()
    tier.kept |= {one: yours, two: mine}
    node = start(tier)
    assert node.wait_warm(60)
    assert found(node, ids).count(Outcome.LOCAL) == 18
    wait_until(lambda: len(tier.kept) == 18, what="they are removed")
    assert counts(node)["refused_forged"] == 2


def test_values_of_a_newer_version_are_refused_counted_and_removed(start: Start) -> None:
    tier = Kept()
    ids = make(start(tier), 20)
    start().close()
    tier.kept = {key: bytes((value[0] + 1,)) + value[1:] for key, value in tier.kept.items()}
    node = start(tier)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}
    wait_until(lambda: not tier.kept, what="they are removed")
    assert counts(node)["refused_version"] == 20


def test_noise_is_refused_counted_and_removed(start: Start) -> None:
    tier = Kept()
    node = start(tier)
    make(node, 5)
    node.close()
    noise = {os.urandom(16): os.urandom(length) for length in (0, 1, 40, 300)}
    cut = {key: value[: len(value) // 2] for key, value in list(tier.kept.items())[:2]}
    tier.kept |= noise | cut
    node = start(tier)
    assert node.wait_warm(60)
    assert restored(node) == 3
    wait_until(lambda: len(tier.kept) == 3, what="they are removed")


def test_the_disk_of_another_mesh_begins_empty(start: Start, tmp_path: Path) -> None:
    ids = make(start(tier=DISK), 20)
    node = start(tier=DISK, mesh={"name": "other"})
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}
    assert node.stats()["tiers"][0]["counts"]["begun_anew"] == 1


@pytest.mark.usefixtures("hot_path")
def test_the_disk_under_another_key_leaves_nothing(start: Start) -> None:
    ids = make(start(tier=DISK), 20)
    node = start(tier=DISK, key="other.key")
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}
    wait_until(lambda: node.stats()["tiers"][0]["entries"] == 0, what="they are removed")


@pytest.mark.usefixtures("hot_path")
def test_a_key_in_memory_only_leaves_nothing_behind(start: Start) -> None:
    disk = {"disk": {"max_bytes": "16MiB", "key": "memory"}}
    ids = make(start(tier=disk), 20)
    node = start(tier=disk)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}
    assert node.stats()["tiers"][0]["entries"] == 0


@pytest.mark.usefixtures("hot_path")
def test_a_stolen_disk_has_no_id_no_der_and_no_name(start: Start, tmp_path: Path) -> None:
    node = start(tier=DISK)
    ids = make(node, 20)
    node.close()
    content = (tmp_path / "edge-1" / "sessions" / "data.mdb").read_bytes()
    assert not [session_id for session_id in ids if session_id[:6] in content]
    assert b"\xab" * 8 not in content
    assert b"edge-1" not in content


def test_a_damaged_file_is_told_and_the_node_goes_on(start: Start, tmp_path: Path) -> None:
    ids = make(start(tier=DISK), 200)
    start().close()
    os.truncate(tmp_path / "edge-1" / "sessions" / "data.mdb", 9 * 4096)
    node = start(tier=DISK)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {None}
    events = wait_until(lambda: [e for e in node.events() if e["kind"] == "HookFaulted"], what="it is told")
    assert "begins empty" in events[0]["text"]
    again = make(node, 5)
    wait_until(lambda: counts(node).get("written") == 5, what="it is written again")
    assert set(found(node, again)) == {Outcome.LOCAL}


def test_a_folder_that_cant_be_had_is_told_once_and_the_node_goes_on(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = start(tier={"disk": {"path": str(tmp_path / "file" / "t")}})
    ids = make(node, 5)
    wait_until(lambda: counts(node).get("raised", 0) >= 2, what="it is tried again")
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {Outcome.LOCAL}
    assert len([event for event in node.events() if event["kind"] == "HookFaulted"]) == 1


def kept_before(start: Start, count: int) -> tuple[dict[bytes, bytes], list[bytes]]:
    """What a former life has left in a tier, and the ids."""
    tier = Kept()
    node = start(tier)
    ids = make(node, count)
    node.close()
    assert len(tier.kept) == count
    return tier.kept, ids


def test_what_a_tier_has_that_opens_late_comes_back_then_and_nobody_waits_for_it(start: Start) -> None:
    kept, ids = kept_before(start, 20)
    tier, well = OpensLater(), Kept()
    tier.tries, tier.kept = -2, dict(kept)
    node = start(well, tier)
    assert node.wait_warm(60)
    assert restored(node) == 0, "it rests"
    wait_until(lambda: set(found(node, ids)) == {Outcome.LOCAL}, 60, what="it is open")
    assert restored(node) == 20
    wait_until(lambda: node.warm, what="it is loaded")


def test_what_comes_back_late_takes_nobodys_place(start: Start) -> None:
    kept, ids = kept_before(start, 20)
    tier = OpensLater()
    tier.tries, tier.kept = -1, dict(kept)
    node = start(tier, cache={"max_sessions": 30})
    new = make(node, 25)
    wait_until(lambda: "loaded" in counts(node), 60, what="it is open")
    wait_until(lambda: node.warm, what="it is loaded")
    assert set(found(node, new)) == {Outcome.LOCAL}
    assert found(node, ids).count(Outcome.LOCAL) <= 5


@pytest.mark.parametrize(("times", "back"), [(1, 20), (2, 20), (3, 10)])
def test_a_tier_that_breaks_off_as_it_is_read_is_read_again_so_often(start: Start, times: int, back: int) -> None:
    kept, ids = kept_before(start, 20)
    tier = BreaksOff(times)
    tier.kept = dict(kept)
    node = start(tier)
    assert node.wait_warm(60)
    assert found(node, ids).count(Outcome.LOCAL) == back
    assert tier.reads == min(times + 1, 3)
    assert counts(node)["raised"] == times
    assert counts(node)["loaded"] == back, "what came before it broke off is counted once"


def test_what_couldnt_be_looked_at_again_costs_no_later_load_its_tries(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshcache.tiers.node_tiers.SETTLED_S", 0.1)
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.1)
    kept, ids = kept_before(start, 20)
    loads = [20]

    class OfBoth(Kept):
        def newest(self, entries_max: int) -> Iterator[tuple[bytes, bytes]]:
            looks, rows = entries_max == 1 << 62, list(kept.items())
            last = 0 if looks else loads.pop(0)
            yield from rows[:last]
            if last < 20:
                raise OSError("input/output error")

    node = start(OfBoth(), vip=[{"name": "other"}, {"name": "shop"}])
    node.attach(server_context("stdlib", None), vip="other")
    wait_until(lambda: counts(node).get("raised", 0) >= 2, what="looking at all has failed twice")
    loads += [10, 20]
    node.attach(server_context("stdlib", None), vip="shop")
    wait_until(lambda: found(node, ids).count(Outcome.LOCAL) == 20, what="all is loaded at the second try")


def test_what_is_to_be_sealed_again_is_looked_at_again_where_the_tier_breaks_off(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshcache.tiers.node_tiers.SETTLED_S", 0.1)
    tier = BreaksOff(0)
    make(start(tier), 20)
    wait_until(lambda: len(tier.kept) == 20, what="they are written")
    tier.reads, tier.times = -1, 1  # the load of the next life goes well
    start(tier, sharing={"group": "other"})
    wait_until(lambda: not tier.kept, what="what is for nobody is taken out")


def test_of_looks_that_wait_for_a_slow_tier_there_is_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.tiers.node_tiers.SETTLED_S", 0.01)
    looks: list[threading.Event] = []
    asked: list[bool] = []
    queued: list[bool] = []
    run, has_one = TierRunner.run, TierRunner.writes_errands.fget  # type: ignore[attr-defined]

    def noted(runner: TierRunner, errand: Iterator[None], *, reads: bool = False) -> None:
        queued.extend([] if reads else [has_one(runner)])
        run(runner, errand, reads=reads)

    def is_asked(runner: TierRunner) -> bool:
        asked.append(has_one(runner))
        return asked[-1]

    class Slow(Kept):
        def newest(self, entries_max: int) -> Iterator[tuple[bytes, bytes]]:
            if entries_max == 1 << 62:
                looks.append(threading.Event())
                looks[-1].wait(60)
            yield from ()

    monkeypatch.setattr(TierRunner, "run", noted)
    monkeypatch.setattr(TierRunner, "writes_errands", property(is_asked))
    node = start(Slow())
    wait_until(lambda: looks, what="it looks at all there is")
    for lifetime_s in (1000, 1001):
        asked.clear()
        node.policies.set_policy("shop", {"lifetime_s": str(lifetime_s)})
        wait_until(lambda: any(asked), what="another look is due while there is one")
    looks[0].set()
    wait_until(lambda: len(looks) == 2, what="the tier is looked at once more")
    looks[1].set()
    assert not any(queued), "none was put in line behind another"


def test_what_couldnt_be_taken_out_doesnt_come_back_as_a_tier_is_read(start: Start) -> None:
    kept, ids = kept_before(start, 20)
    tier = OpensLater()
    tier.tries, tier.kept = -1, dict(kept)
    tier.remove = lambda _keys: 1 / 0  # type: ignore[assignment, method-assign]
    node = start(tier)
    pump = node.internals.pump
    with pump.lock:
        pump.core.session_removed("shop", ids[0])
    wait_until(lambda: counts(node).get("loaded"), 60, what="it is open")
    assert found(node, ids) == [None] + 19 * [Outcome.LOCAL]
    assert len(tier.kept) == 20


def test_what_had_to_go_and_found_no_room_is_counted_at_each_tier_and_told(start: Start) -> None:
    node = start(Kept())
    pump = node.internals.pump
    with pump.lock:
        pump.core.tiering.removals_lost += 7
    wait_until(lambda: counts(node).get("removals_lost") == 7, what="it is counted")
    events = wait_until(lambda: [e for e in node.events() if e["kind"] == "HookFaulted"], what="it is told")
    assert "may resume" in events[0]["text"]


def test_a_second_node_cant_have_the_folder_of_the_first(start: Start, tmp_path: Path) -> None:
    disk = {"disk": {"path": str(tmp_path / "shared")}}
    start(tier=disk)
    second = start(tier=disk, name="edge-2", closes=False)
    wait_until(lambda: counts(second).get("raised"), what="it is refused")
    assert "another node's" in second.stats()["tiers"][0]["last_fault"]


@pytest.mark.usefixtures("hot_path")
def test_only_what_memory_evicts_goes_to_a_tier_that_wants_no_more(start: Start) -> None:
    tier = Evicted()
    node = start(tier, cache={"max_sessions": 100})
    make(node, 250)
    wait_until(lambda: len(tier.kept) == 150, what="the evicted are written")


@pytest.mark.usefixtures("hot_path")
def test_what_stays_on_its_server_goes_to_no_tier_that_others_read(start: Start) -> None:
    ours, theirs = Kept(), Evicted()
    everything = Evicted()
    everything.everything = True
    node = start(theirs, ours, everything, cache={"max_sessions": 10}, sharing={"reach": "server"})
    make(node, 25)
    wait_until(lambda: len(ours.kept) == 25, what="what nobody else reads has them")
    node.close()
    assert (theirs.kept, everything.kept) == ({}, {})


@pytest.mark.parametrize(("before", "now"), [("server", "colo"), ("colo", "server"), ("server", "server")])
def test_what_may_not_lie_in_a_tier_that_others_read_and_was_written_before_is_taken_out(
    start: Start, monkeypatch: pytest.MonkeyPatch, before: str, now: str
) -> None:
    """By a version that did so, or before its reach was narrowed."""
    monkeypatch.setattr("meshcache.tiers.node_tiers.SETTLED_S", 0.1)
    ours, theirs = Kept(), Evicted()
    ids = make(start(ours, sharing={"reach": before}), 20)
    node = start(sharing={"reach": before})
    theirs.kept = dict(ours.kept)
    assert len(theirs.kept) == 20
    node = start(ours, theirs, sharing={"reach": now})
    wait_until(lambda: not theirs.kept, what="they are taken out")
    assert len(ours.kept) == 20, "what nobody else reads keeps them"
    assert set(found(node, ids)) == {Outcome.LOCAL}


def test_what_others_may_read_is_left_where_they_do(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.tiers.node_tiers.SETTLED_S", 0.1)
    looked: list[int] = []

    class Looked(Evicted):
        def newest(self, entries_max: int) -> Iterator[tuple[bytes, bytes]]:
            yield from super().newest(entries_max)
            looked.append(entries_max)

    ours, theirs = Kept(), Looked()
    make(start(ours), 20)
    start()
    theirs.kept = dict(ours.kept)
    node = start(theirs)
    wait_until(lambda: looked, what="it was looked at")
    node.close()
    assert len(theirs.kept) == 20


def test_after_a_key_was_promoted_what_is_kept_is_sealed_again(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshcache.tiers.node_tiers.SETTLED_S", 0.1)
    tier = Kept()
    node = start(tier)
    ids = make(node, 30)
    wait_until(lambda: len(tier.kept) == 30, what="they are written")
    file = tmp_path / "mesh.key"
    old = load_keyring(file)
    promoted = old.add().promote()
    before = dict(tier.kept)
    save_keyring(file, promoted)
    node.reload(node.internals.settings)
    wait_until(
        lambda: all(value != before.get(key) for key, value in list(tier.kept.items())), what="all are sealed again"
    )
    save_keyring(file, promoted.retire())
    node = start(tier)
    assert node.wait_warm(60)
    assert set(found(node, ids)) == {Outcome.LOCAL}


def test_what_is_for_nobody_here_any_more_is_taken_out_in_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.tiers.node_tiers.SETTLED_S", 0.1)
    tier = Kept()
    make(start(tier), 20)
    node = start(tier, sharing={"group": "other"})
    wait_until(lambda: not tier.kept, what="they are taken out")
    assert counts(node)["refused_border"] == 20


def test_a_copied_disk_is_another_nodes_only_within_reach(start: Start, tmp_path: Path) -> None:
    """Somebody gives one node's folder to another: own sessions of `server` reach stay where they were made."""
    make(start(tier=DISK, sharing={"reach": "server"}), 20)
    start(sharing={"reach": "server"})
    shutil.copytree(tmp_path / "edge-1" / "sessions", tmp_path / "edge-2" / "sessions")
    node = start(tier=DISK, name="edge-2", sharing={"reach": "server"})
    assert node.wait_warm(60)
    assert restored(node) == 0
    assert node.stats()["vips"]["shop"]["sessions"]["refused"] == {"sender_reach": 20}
