"""Live policies on real nodes: set on one, in force on all, kept over restarts, taken back where they don't allow."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from meshcache import AttachError, MeshNode, PolicyError
from meshcache.core.control.live_policies import ENTRIES_MAX, VIP
from meshcache.core.values.topology import VIPS_MAX
from meshcache.core.wire.messages import LIVE_NUMBER_MAX, LiveEntry
from meshcache.live_policy import debouncer
from meshcache.live_policy.kept import Kept
from meshcache.live_policy.policy_file import PolicyFile
from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.runtime.contexts.attaching import InForce
from tests.nodes import Place, places, settings
from tests.support.waiting import wait_until
from tests.tls.world import ask_clients, client_context, server_context, visit

EVERYWHERE = {"reach": "everywhere"}


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def policy(node: MeshNode, vip: str = "shop") -> dict[str, Any]:
    return next(each for each in node.policy() if each["vip"] == vip)


def entries(node: MeshNode, vip: str = "shop") -> int:
    return int(node.stats()["vips"][vip]["entries"])


def holds(node: MeshNode, key: str, value: Any) -> bool:
    return bool(policy(node)[key] == value)


def wait_for(node: MeshNode, key: str, value: Any) -> None:
    wait_until(partial(holds, node, key, value), what=f"{node.name} has {key} = {value}: {policy(node)}")


def make_sessions(node: MeshNode, context: Any, count: int, *others: MeshNode) -> None:
    """So many full handshakes on one node, until all their sessions are on the others as well."""
    before = [entries(other) for other in others]
    for _ in range(count):
        visit(context, client_context("1.2"))
    for other, had in zip(others, before, strict=True):
        wait_until(lambda o=other, n=had: entries(o) == n + count, what=f"{other.name} has {count} more")


def shared(one: Any, other: Any) -> bool:
    """Whether a session just made on one context resumes on the other. For a second after a withdraw none does: births
    are known to the second only."""
    client = client_context()
    return bool(visit(other, client, session=visit(one, client).session).resumed)


class TestSet:
    def test_a_value_set_on_one_node_holds_on_all_that_serve_the_vip_in_any_colo(self, place: Place) -> None:
        colos = {"edge-1": "ams1", "edge-2": "ams1", "edge-3": "fra1", "edge-4": "fra1"}
        nodes = [place.node(name, colo=colo) for name, colo in colos.items()]
        for node in nodes:
            place.server(node)
        place.wait_until_met()
        done = nodes[3].policies.set_policy("shop", {"reach": "everywhere", "lifetime_s": "600"})
        assert (done["version"], done["nodes"]["have"], done["nodes"]["expected"]) == (1, 4, 4)
        for node in nodes:
            assert policy(node)["reach"] == "everywhere"
            assert policy(node)["lifetime_s"] == 600
            assert policy(node)["sources"]["reach"] == {"from": "live"}
            wait_until(lambda n=node: policy(n)["nodes"]["have"] == 4, what=f"{node.name} knows who has it")
            assert policy(node)["author"] == "edge-4"

    def test_what_was_not_shared_is_after_a_wider_reach(self, place: Place) -> None:
        near, far = place.node("edge-1"), place.node("edge-2", colo="fra1")
        context, other = place.server(near), place.server(far)
        place.wait_until_met()
        client = client_context()
        assert not visit(other, client, session=visit(context, client).session).resumed
        far.policies.set_policy("shop", EVERYWHERE)
        session = visit(context, client).session
        wait_until(lambda: entries(far) >= 2)
        assert visit(other, client, session=session).resumed

    def test_the_last_of_two_changes_holds_and_versions_go_up(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        assert first.policies.set_policy("shop", {"lineage_s": "7200"})["version"] == 1
        assert second.policies.set_policy("shop", {"lineage_s": "9000"})["version"] == 2
        wait_for(first, "lineage_s", 9000)
        assert second.policies.set_policy("shop", {"lineage_s": "9000"})["version"] == 2, "nothing to change"

    def test_whose_change_lost_against_one_of_the_same_number_is_told_what_won(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        core, done = second.internals.pump.core, []
        setting = Thread(target=lambda: done.append(first.policies.set_policy("shop", {"lineage_s": "7200"})))
        with second.internals.pump.lock:  # it takes nothing in until it has set a value of its own
            setting.start()
            wait_until(lambda: first.internals.pump.core.live.version(VIP, "shop").number == 1)
            core.live.set(VIP, "shop", {"lineage_s": "9000"}, second.internals.pump.clock())
        setting.join()
        assert done[0]["superseded"] == {"lineage_s": {"value": "9000", "author": "edge-2"}}
        assert (done[0]["nodes"]["have"], done[0]["nodes"]["missing"]) == (2, [])
        assert [policy(node)["lineage_s"] for node in (first, second)] == [9000, 9000]

    def test_a_node_with_a_value_of_its_own_is_named(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        second.policies.set_policy("shop", {"reach": "server"}, node_only=True)
        done = first.policies.set_policy("shop", {"reach": "everywhere", "lineage_s": "90000"})
        assert done["nodes"]["differ"] == [{"name": "edge-2", "holds": ["reach=server (set on that node alone)"]}]
        assert first.policies.set_policy("shop", {"lineage_s": "90001"})["nodes"]["have"] == 2, "another key"

    def test_a_node_that_joins_later_gets_it(self, place: Place) -> None:
        first = place.node("edge-1")
        place.server(first)
        first.policies.set_policy("shop", EVERYWHERE)
        late = place.node("edge-2")
        place.server(late)
        wait_for(late, "reach", "everywhere")

    def test_for_one_node_only_it_is_told_to_nobody(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        first.policies.set_policy("shop", {"reach": "server"}, node_only=True)
        first.policies.set_policy("shop", {"lineage_s": "4000"})
        wait_for(second, "lineage_s", 4000)
        assert policy(second)["reach"] == "colo"
        assert policy(first)["reach"] == "server"
        assert policy(first)["sources"]["reach"] == {"from": "node"}
        first.policies.unset_policy("shop", [], node_only=True)
        assert policy(first)["reach"] == "colo"
        assert policy(first)["lineage_s"] == 4000

    def test_unset_returns_each_node_to_its_own_file(self, place: Place) -> None:
        first = place.node("edge-1", sharing={"reach": "everywhere", "lifetime_s": 1000})
        second = place.node("edge-2")
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        first.policies.set_policy("shop", {"reach": "server", "lifetime_s": "60"})
        wait_for(second, "lifetime_s", 60)
        first.policies.unset_policy("shop", ["lifetime_s"])
        assert (policy(first)["lifetime_s"], policy(first)["reach"]) == (1000, "server")
        wait_for(second, "lifetime_s", 3600)
        second.policies.unset_policy("shop", [])
        wait_for(first, "reach", "everywhere")
        assert policy(first)["sources"]["reach"] == {"from": "file"}
        assert policy(second)["sources"]["reach"] == {"from": "default"}

    def test_copies_change_on_every_node_for_what_is_made_from_then_on_and_all_get_all_again(
        self, place: Place
    ) -> None:
        nodes = [place.node(name) for name in ("edge-1", "edge-2", "edge-3")]
        contexts = [place.server(node) for node in nodes]
        place.wait_until_met()
        done = nodes[1].policies.set_policy("shop", {"copies": "1"})
        assert (done["nodes"]["have"], done["nodes"]["differ"]) == (3, [])
        for node in nodes:
            assert (policy(node)["copies"], policy(node)["sources"]["copies"]) == (1, {"from": "live"})
        wait_until(lambda: all(not policy(node)["other_copies"] for node in nodes), what="all told each other")
        for _ in range(5):
            visit(contexts[0], client_context("1.2"))
        wait_until(lambda: entries(nodes[0]) == 5, what="they are filed")
        assert nodes[0].stats()["vips"]["shop"]["copies"] == 1
        nodes[2].policies.set_policy("shop", {"copies": "2"})
        wait_until(lambda: entries(nodes[1]) + entries(nodes[2]) == 5, within_s=30, what="each has a second copy")
        assert nodes[0].policies.unset_policy("shop", [])["changed"] == {"copies": ""}
        wait_until(lambda: [entries(node) for node in nodes] == [5, 5, 5], within_s=30, what="all have all")

    def test_a_reload_keeps_what_was_set(self, place: Place, folder: Path) -> None:
        node = place.node("edge-1")
        place.server(node)
        node.policies.set_policy("shop", {"reach": "server"})
        node.reload(settings(folder, sharing={"reach": "everywhere", "lifetime_s": 100}))
        assert policy(node)["reach"] == "server"
        assert policy(node)["lifetime_s"] == 100
        node.policies.unset_policy("shop", [])
        assert policy(node)["reach"] == "everywhere"

    def test_a_lifetime_is_what_new_sessions_get(self, place: Place) -> None:
        node = place.node("edge-1")
        context = place.server(node)
        node.policies.set_policy("shop", {"lifetime_s": "120"})
        assert visit(context, client_context("1.3")).session.ticket_lifetime_hint == 120


class TestRestart:
    def test_it_is_kept_for_its_owner_alone_and_holds_after_a_restart_without_peers(self, folder: Path) -> None:
        made = settings(folder)
        with MeshNode(made) as node:
            node.attach(server_context("stdlib"), vip="shop")
            node.policies.set_policy("shop", EVERYWHERE)
            node.policies.set_policy("shop", {"lifetime_s": "60"}, node_only=True)
            node.policies.withdraw(group="shop", new_epoch=True)
        path = made.node.state_dir / "policy.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with MeshNode(made) as node:
            context = server_context("stdlib")
            node.attach(context, vip="shop")
            told = policy(node)
            assert (told["reach"], told["lifetime_s"], told["epoch"], told["version"]) == ("everywhere", 60, 1, 1)
            assert told["sources"]["lifetime_s"] == {"from": "node"}

    def test_nothing_is_written_where_nothing_was_set(self, folder: Path) -> None:
        made = settings(folder)
        with MeshNode(made) as node:
            node.attach(server_context("stdlib"), vip="shop")
        assert not (made.node.state_dir / "policy.json").exists()

    def test_a_node_that_was_away_catches_up(self, place: Place, folder: Path) -> None:
        first = place.node("edge-1")
        place.server(first)
        seeds = {"seeds": [first.address]}
        with MeshNode(settings(folder, "edge-2", mesh=seeds)) as second:
            second.attach(server_context("stdlib"), vip="shop")
            wait_until(lambda: second.peers() and first.peers())
            second.policies.set_policy("shop", {"lineage_s": "5000"})
            wait_for(first, "lineage_s", 5000)
        first.policies.set_policy("shop", {"lineage_s": "6000"})
        with MeshNode(settings(folder, "edge-2", mesh=seeds)) as second:
            second.attach(server_context("stdlib"), vip="shop")
            wait_for(second, "lineage_s", 6000)

    def test_a_broken_file_is_set_aside_and_the_node_runs(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        made = settings(folder)
        made.node.state_dir.mkdir()
        (made.node.state_dir / "policy.json").write_text("{")
        with caplog.at_level(logging.ERROR), MeshNode(made) as node:
            node.attach(server_context("stdlib"), vip="shop")
            assert policy(node)["version"] == 0
        assert "set aside as policy.broken" in caplog.text

    def test_a_state_folder_that_can_not_be_written_is_told(self, place: Place, folder: Path) -> None:
        node = place.node("edge-1")
        place.server(node)
        (folder / "edge-1" / "policy.json").mkdir()  # root, as whom tests may run, can write to any folder
        done = node.policies.set_policy("shop", {"reach": "server"})
        assert not done["kept"]
        assert policy(node)["reach"] == "server"


class TestRecall:
    def test_a_tighter_reach_takes_every_copy_back_and_counts_them(self, place: Place) -> None:
        nodes = [place.node("edge-1", sharing=EVERYWHERE)]
        nodes += [place.node(f"edge-{i}", colo="fra1", sharing=EVERYWHERE) for i in (2, 3)]
        contexts = [place.server(node) for node in nodes]
        place.wait_until_met()
        make_sessions(nodes[0], contexts[0], 5, *nodes[1:])
        done = nodes[0].policies.set_policy("shop", {"reach": "colo"})
        assert done["recalled"] == {"here": 0, "mesh": 10}
        assert [entries(node) for node in nodes] == [5, 0, 0]
        nothing = {"here": 0, "mesh": 0}
        assert nodes[0].policies.set_policy("shop", {"reach": "colo"})["recalled"] == nothing, "it was so before"
        assert nodes[0].policies.unset_policy("shop", [])["recalled"] == nothing, "and that was the command before it"

    def test_a_shorter_lifetime_removes_what_is_older(self, place: Place) -> None:
        node = place.node("edge-1", sharing={"lifetime_s": 20_000})
        context = place.server(node)
        make_sessions(node, context, 3)
        assert node.policies.set_policy("shop", {"lifetime_s": "10000"})["recalled"]["mesh"] == 0
        clock = node.internals.pump.clock
        node.internals.pump.clock = lambda: clock() + 4001
        assert node.policies.set_policy("shop", {"lifetime_s": "4000"})["recalled"]["mesh"] == 3
        assert entries(node) == 0


class TestVeto:
    def test_a_file_that_keeps_sessions_at_home_is_not_widened_from_elsewhere(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2", sharing={"reach": "server"})
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        done = first.policies.set_policy("shop", {"reach": "everywhere"})
        assert (done["nodes"]["have"], done["nodes"]["missing"], done["superseded"]) == (1, [], {})
        assert done["nodes"]["differ"] == [
            {"name": "edge-2", "holds": ['reach=server (its file allows no more: live = "tighten")']}
        ]
        assert policy(second)["reach"] == "server"
        assert policy(second)["sources"]["reach"]["wanted"] == "everywhere"
        with pytest.raises(PolicyError, match='live = "tighten" and reach = server, and this would be wider'):
            second.policies.set_policy("shop", {"reach": "colo"}, node_only=True)

    def test_a_file_may_take_no_live_values_at_all(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2", sharing={"live": "none"})
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        done = first.policies.set_policy("shop", {"reach": "server"})
        assert done["nodes"]["differ"] == [
            {"name": "edge-2", "holds": ['reach=colo (its file allows no more: live = "none")']}
        ]
        assert policy(second)["reach"] == "colo"
        assert policy(second)["sources"]["reach"] == {
            "from": "default",
            "wanted": "server",
            "why": 'its file allows no more: live = "none"',
        }
        with pytest.raises(PolicyError, match='it has live = "none"'):
            second.policies.set_policy("shop", {"reach": "server"})

    def test_no_member_can_let_sessions_with_client_certificates_travel(self, place: Place) -> None:
        first = place.node("edge-1", sharing={"client_certificates": "revalidate"})
        second = place.node("edge-2")
        for node in (first, second):
            place.server(node)
        place.wait_until_met()
        with pytest.raises(PolicyError, match="only the file can let sessions with client certificates travel"):
            second.policies.set_policy("shop", {"client_certificates": "revalidate"})
        first.policies.set_policy("shop", {"client_certificates": "revalidate"})
        assert policy(second)["client_certificates"] == "never"
        second.policies.set_policy("shop", {"client_certificates": "never"})
        wait_for(first, "client_certificates", "never")


class TestRefusals:
    @pytest.fixture
    def node(self, place: Place) -> MeshNode:
        node = place.node("edge-1", vip=[{"name": "shop"}, {"name": "pay", "sharing": {"quota": "60%"}}])
        other = place.node("edge-2", colo="fra1", vip=[{"name": "checkout"}])
        for vip in ("shop", "pay"):
            place.server(node, vip=vip)
        place.server(other, vip="checkout")
        place.wait_until_met()
        return node

    @pytest.mark.parametrize(
        "vip, values, reason",
        [
            ("shpo", {"reach": "colo"}, r'no VIP "shpo"; did you mean "shop"\?'),
            ("checkout", {"reach": "colo"}, r'does not serve VIP "checkout"; set it on one that does: edge-2 \(fra1\)'),
            ("shop", {"raech": "colo"}, r'no key "raech" to set; did you mean "reach"\?'),
            ("shop", {"group": "pay"}, "group is not set live: .* Change it in the file"),
            ("shop", {"reach": "fra2"}, r'no colo "fra2"; did you mean "fra1"\?'),
            ("shop", {"reach": "evrywhere"}, r'no colo "evrywhere"; did you mean "everywhere"\?'),
            ("shop", {"reach": "ams1,nowhere-at-all"}, "there is ams1, colo, everywhere, fra1, server"),
            ("shop", {"lifetime_s": "soon"}, 'a time is a number of seconds such as 3600, not "soon"'),
            ("shop", {"lifetime_s": "86401"}, "at most 86400"),
            ("shop", {"lineage_s": "60"}, r"lineage_s \(60\) must be at least lifetime_s \(3600\)"),
            ("shop", {"lineage_s": "nan"}, "a number of seconds"),
            ("shop", {"quota": "50%"}, "all quotas together leave nothing"),
            ("shop", {"client_certificates": "always"}, '"never" or "revalidate"'),
            ("shop", {"copies": "0"}, r'copies: copies is "all" or a number from 1 to 64'),
            ("shop", {"push": "none"}, "set how many copies in the same command"),
            ("shop", {"fetch": "off"}, "each node has it from its file"),
            ("shop", {}, "nothing to set"),
            ("shop", {"reach": "ams1," * 400}, "at most 1024"),
        ],
    )
    def test_what_is_wrong_is_refused_with_the_reason_and_changes_nothing(
        self, node: MeshNode, folder: Path, vip: str, values: dict[str, str], reason: str
    ) -> None:
        before = json.dumps(node.policy())
        with pytest.raises(PolicyError, match=reason):
            node.policies.set_policy(vip, {**values, "lineage_s": "90000"} if "reach" in values else values)
        assert json.dumps(node.policy()) == before
        assert not (folder / "edge-1" / "policy.json").exists()

    def test_unset_of_an_unknown_vip_or_key_is_refused(self, node: MeshNode) -> None:
        with pytest.raises(PolicyError, match="did you mean"):
            node.policies.unset_policy("shpo", [])
        with pytest.raises(PolicyError, match='no key "reech"'):
            node.policies.unset_policy("shop", ["reech"])

    @pytest.mark.parametrize(
        "what, reason",
        [
            ({}, "say what to withdraw"),
            ({"vip": "shop", "group": "shop"}, "say what to withdraw"),
            ({"vip": "shpo"}, 'no VIP "shpo" in this mesh; did you mean "shop"'),
            ({"group": "shoop"}, 'no share group "shoop"'),
            ({"origin": "edge-9"}, 'no node "edge-9"'),
            ({"origin": "edge-2", "new_epoch": True}, "--new-epoch goes with"),
        ],
    )
    def test_a_withdraw_of_what_does_not_exist_is_refused(
        self, node: MeshNode, what: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(PolicyError, match=reason):
            node.policies.withdraw(**what)


class TestWithdraw:
    def test_it_says_how_many_went_here_and_everywhere(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        one, _ = place.server(first), place.server(second)
        place.wait_until_met()
        make_sessions(first, one, 4, second)
        done = second.policies.withdraw(vip="shop")
        assert done["withdrawn"] == {"here": 4, "mesh": 8}
        assert (done["nodes"]["have"], done["nodes"]["missing"]) == (2, [])
        assert entries(first) == entries(second) == 0

    def test_of_one_origin_only_its_own_go(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        one, two = place.server(first), place.server(second)
        place.wait_until_met()
        make_sessions(first, one, 2, second)
        make_sessions(second, two, 3, first)
        assert first.policies.withdraw(origin="edge-2")["withdrawn"] == {"here": 3, "mesh": 6}
        assert entries(first) == entries(second) == 2

    def test_with_a_new_epoch_no_older_session_resumes_anywhere_and_new_ones_do(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        one, two = place.server(first), place.server(second)
        place.wait_until_met()
        client = client_context()
        old = visit(one, client).session
        wait_until(lambda: entries(second) == 1)
        assert first.policies.withdraw(group="shop", new_epoch=True)["epochs"] == {"shop": 1}
        wait_for(second, "epoch", 1)
        assert not visit(one, client, session=old).resumed
        assert not visit(two, client, session=old).resumed

        wait_until(partial(shared, one, two), what="sessions of the new epoch are shared")

    def test_a_node_that_returns_in_an_old_epoch_is_an_island_until_it_has_caught_up(
        self, place: Place, folder: Path
    ) -> None:
        first = place.node("edge-1")
        one = place.server(first)
        first.policies.withdraw(everything=True, new_epoch=True)
        late = place.node("edge-2")
        two = place.server(late)
        wait_for(late, "epoch", 1)
        wait_until(lambda: late.peers() and not late.peers()[0]["islands"])
        assert first.policies.withdraw(vip="shop", new_epoch=True)["epochs"] == {"shop": 2}
        wait_for(late, "epoch", 2)
        wait_until(partial(shared, one, two), what="sessions of the second epoch are shared")

    def test_without_room_for_every_epoch_nothing_is_withdrawn(self, place: Place, folder: Path) -> None:
        many = [LiveEntry(VIP, f"vip-{number}", "reach", 9, "edge-9", "colo") for number in range(ENTRIES_MAX)]
        PolicyFile(folder / "edge-1", "test").save(Kept(many, {}))
        first, second = place.node("edge-1"), place.node("edge-2", vip=[{"name": "shop"}, {"name": "pay"}])
        one, _, _ = place.server(first), place.server(second), place.server(second, vip="pay")
        place.wait_until_met()
        make_sessions(first, one, 2, second)
        with pytest.raises(PolicyError, match=r"no room for a new epoch of pay, shop: .* Without --new-epoch"):
            first.policies.withdraw(everything=True, new_epoch=True)
        assert (entries(first), entries(second)) == (2, 2)
        assert first.policies.withdraw(group="shop", new_epoch=True)["epochs"] == {"shop": 1}
        assert entries(first) == 0
        with first.internals.pump.lock:
            assert len(first.internals.pump.core.live) == ENTRIES_MAX

    def test_contexts_that_join_later_are_in_the_epoch_too(self, place: Place) -> None:
        node = place.node("edge-1")
        one = place.server(node)
        node.policies.withdraw(group="shop", new_epoch=True)
        other = node.attach(server_context("pyopenssl"), vip="shop")
        wait_until(partial(shared, one, other), what="both contexts are in one epoch")


class TestExplain:
    def test_the_setting_that_differs_is_named(self, place: Place) -> None:
        first, second = place.node("edge-1"), place.node("edge-2")
        place.server(first)
        context = server_context("stdlib")
        ask_clients(context, required=False)
        second.attach(context, vip="shop")
        place.wait_until_met()
        wait_until(lambda: first.peers()[0]["islands"])
        told = first.policies.explain_way("shop@ams1", "shop@ams1")
        assert told["allowed"] == "none"
        assert {way["verdict"] for way in told["ways"]} == {"settings_differ"}
        assert "how clients are asked for certificates" in told["ways"][0]["differs"]
        (island,) = first.peers()[0]["islands"]
        assert "how clients are asked for certificates" in island["differs"]

    def test_a_session_is_followed_by_its_hash(self, place: Place) -> None:
        from meshcache.core.values.session import session_hash

        near, far = place.node("edge-1"), place.node("edge-2", colo="fra1")
        context = place.server(near)
        place.server(far)
        place.wait_until_met()
        visit(context, client_context())
        (session_id,) = near.internals.pump.core.session_ids("shop")
        told = near.policies.explain_session(session_hash(session_id))
        assert (told["found"], told["vip"], told["origin"], told["made_here"]) == (True, "shop", "edge-1", True)
        assert [way["verdict"] for way in told["here"]] == ["allowed"]
        assert [(way["verdict"], way["nodes"]) for way in told["elsewhere"]] == [("sender_reach", ["edge-2"])]
        pump = near.internals.pump
        with pump.lock:
            pump.core.duties.name_outbid(pump.core.duties.local.identity.incarnation + 9, "a test", pump.clock())
        assert near.policies.explain_session(session_hash(session_id))["made_here"], "also in a later life"
        assert not far.policies.explain_session(session_hash(session_id))["found"]
        for wrong in ("", "xyz", "0" * 13):
            with pytest.raises(PolicyError, match="12 hexadecimal digits"):
                near.policies.explain_session(wrong)

    def test_unknown_places_are_refused(self, place: Place) -> None:
        node = place.node("edge-1")
        place.server(node)
        with pytest.raises(PolicyError, match='nobody serves "shop@ams2"; did you mean "shop@ams1"'):
            node.policies.explain_way("shop@ams2", "shop@ams1")
        with pytest.raises(PolicyError, match="a place is VIP@COLO"):
            node.policies.explain_way("shop", "shop@ams1")


def test_a_reload_that_can_not_be_taken_over_changes_nothing(place: Place, folder: Path) -> None:
    node = place.node("edge-1")
    context = place.server(node)
    node.policies.set_policy("shop", {"reach": "server"})
    with pytest.raises(AttachError):
        node.reload(settings(folder, vip=[{"name": "shop", "names": ["elsewhere.test"]}]))
    node.policies.set_policy("shop", {"lineage_s": "5000"})
    assert (policy(node)["reach"], policy(node)["lineage_s"]) == ("server", 5000)
    assert visit(context, client_context()).session is not None


def test_a_reach_within_all_files_is_in_force_everywhere_whatever_its_colos_are_called(place: Place) -> None:
    sharing = {"live": "tighten", "reach": ["1", "fra1", "sin1"]}
    nodes = [place.node(f"edge-{colo}", colo=colo, sharing=sharing) for colo in ("1", "fra1", "sin1")]
    contexts = [place.server(node) for node in nodes]
    place.wait_until_met()
    for reach, holds in (
        ("1,fra1", ["1", "fra1"]),
        ('["1"]', ["1"]),
        ("1", ["1"]),
        ("1,fra1,sin1", ["1", "fra1", "sin1"]),
    ):
        done = nodes[0].policies.set_policy("shop", {"reach": reach})
        assert (done["nodes"]["have"], done["nodes"]["differ"]) == (3, []), reach
        assert [policy(node)["reach"] for node in nodes] == [holds] * 3
    with pytest.raises(PolicyError, match="this would be wider"):
        nodes[0].policies.set_policy("shop", {"reach": "everywhere"})
    del contexts


def test_a_quota_that_no_longer_fits_after_a_reload_is_told_once(
    place: Place, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vips = [{"name": "shop"}, {"name": "pay"}]
    node = place.node("edge-1", vip=vips)
    place.server(node)
    node.policies.set_policy("shop", {"quota": "80%"})
    fuller = settings(folder, "edge-1", vip=[vips[0], {**vips[1], "sharing": {"quota": "60%"}}])
    with caplog.at_level(logging.WARNING, "meshcache.policy"):
        put_back = node.reload(fuller)
        node.policies.set_policy("shop", {"lifetime_s": "60"})
        node.reload(fuller)
        told = [record.message for record in caplog.records if "don't fit" in record.message]
        assert told == [
            "the quotas set live don't fit into this node's cache together with its others; the file's hold"
        ]
        put_back()
        node.reload(settings(folder, "edge-1", vip=vips))
        node.reload(fuller)
        assert [record.message for record in caplog.records if "don't fit" in record.message] == told * 2, "it is news"


def test_what_could_not_be_taken_over_is_not_shown_as_in_force_and_is_kept_and_tried_again(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = place.node("edge-1", sharing={"lifetime_s": 3600})
    place.server(node)
    apply, fails = AttachedVips.apply, [True]

    def apply_unless_it_fails(self: AttachedVips, in_force: InForce) -> None:
        if fails:
            raise RuntimeError
        apply(self, in_force)

    monkeypatch.setattr(debouncer, "AGAIN_S", 0.05)
    monkeypatch.setattr(AttachedVips, "apply", apply_unless_it_fails)
    with pytest.raises(RuntimeError):
        node.policies.set_policy("shop", {"lifetime_s": "600"})
    wait_until(lambda: "it is tried again" in caplog.text)
    assert holds(node, "lifetime_s", 3600)
    kept = json.loads((folder / "edge-1" / "policy.json").read_text())
    assert "600" in json.dumps(kept)
    fails.clear()
    wait_for(node, "lifetime_s", 600)


def test_a_reload_says_what_of_the_file_is_hidden_by_what_was_set_live(
    place: Place, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = place.node("edge-1", sharing={"lifetime_s": 3600})
    place.server(node)
    node.policies.set_policy("shop", {"lifetime_s": "600"})
    changed = settings(folder, "edge-1", sharing={"lifetime_s": 1200, "lineage_s": 7200})
    with caplog.at_level(logging.WARNING, "meshcache.policy"):
        node.reload(changed)
    assert node.policies.hidden == ["shop.lifetime_s"]
    assert "VIP shop: the file's new lifetime_s isn't in force" in caplog.text
    assert (policy(node)["lifetime_s"], policy(node)["lineage_s"]) == (600, 7200)
    node.reload(changed)
    assert node.policies.hidden == [], "it is said once"


def test_of_more_than_there_is_room_for_what_concerns_its_vips_is_taken_over(place: Place, folder: Path) -> None:
    many = [LiveEntry(VIP, f"vip-{number}", "reach", 9, "edge-9", "colo") for number in range(ENTRIES_MAX)]
    PolicyFile(folder / "edge-1", "test").save(Kept(many, {}))
    own = [LiveEntry(VIP, "shop", "reach", 1, "edge-9", "server")]
    PolicyFile(folder / "edge-1" / "worker-0", "test").save(Kept(own, {}))
    node = place.node("edge-1")
    place.server(node)
    assert policy(node)["reach"] == "server"


class TestManyVipsOverTheYears:
    """More VIPs than a file may have, one after the other, with values for one node only."""

    def names(self, count: int) -> list[str]:
        return [f"vip-{number}" for number in range(count)]

    def test_what_was_taken_back_for_vips_that_are_gone_costs_no_value(self, place: Place, folder: Path) -> None:
        taken_back = {name: {"reach": 9} for name in self.names(VIPS_MAX)}
        PolicyFile(folder / "edge-1", "test").save(Kept([], {}, taken_back))
        node = place.node("edge-1", vip=[{"name": "shop"}, {"name": "pay"}])
        assert node.policies.set_policy("shop", {"reach": "server"}, node_only=True)["kept"]
        assert node.policies.set_policy("pay", {"reach": "server"}, node_only=True)["kept"]
        assert node.policies.unset_policy("pay", [], node_only=True)["kept"]
        kept = PolicyFile(folder / "edge-1", "test").load()
        assert kept.node == {"shop": {"reach": "server"}}
        assert kept.numbers == {"pay": {"reach": 12}, "shop": {"reach": 10}} | dict(sorted(taken_back.items())[2:])

    def test_with_values_of_as_many_a_change_is_refused_until_one_is_taken_back(
        self, place: Place, folder: Path
    ) -> None:
        values = {name: {"reach": "server"} for name in self.names(VIPS_MAX)}
        PolicyFile(folder / "edge-1", "test").save(Kept([], values, {}))
        node = place.node("edge-1")
        with pytest.raises(PolicyError, match=r"of 64 VIPs.* has as many.* `meshcache policy unset vip-0 --node-only`"):
            node.policies.set_policy("shop", {"reach": "server"}, node_only=True)
        assert PolicyFile(folder / "edge-1", "test").load().node == values
        with pytest.raises(PolicyError, match="no VIP"):
            node.policies.unset_policy("vip-0", [])
        node.policies.unset_policy("vip-0", [], node_only=True)
        with pytest.raises(PolicyError, match="no VIP"):
            node.policies.unset_policy("vip-0", [], node_only=True)
        assert node.policies.set_policy("shop", {"reach": "server"}, node_only=True)["kept"]
        assert PolicyFile(folder / "edge-1", "test").load().node["shop"] == {"reach": "server"}

    def test_no_number_is_higher_than_a_file_may_have(self, place: Place, folder: Path) -> None:
        PolicyFile(folder / "edge-1", "test").save(Kept([], {}, {"shop": {"reach": LIVE_NUMBER_MAX}}))
        node = place.node("edge-1")
        assert node.policies.set_policy("shop", {"reach": "server"}, node_only=True)["kept"]
        assert PolicyFile(folder / "edge-1", "test").load().node == {"shop": {"reach": "server"}}
