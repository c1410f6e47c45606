"""Whole nodes in one process, with real handshakes between a client and the contexts of each."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import meshcache
from meshcache import AttachError, KeyringError, MeshcacheError, MeshNode, Outcome, TransportError
from meshcache.doctor.finding import FindingState
from meshcache.doctor.mesh import mesh_findings
from meshcache.edges.keyfile import create_keyring, load_keyring, save_keyring
from meshcache.hooks import Discovery, Observer
from tests.nodes import NAMES, Place, alive, places, settings
from tests.support.waiting import wait_until
from tests.tls.world import (
    KINDS,
    VERSIONS,
    Visit,
    ask_clients,
    client_certificate,
    client_context,
    server_context,
    visit,
)


def _sees_an_island(node: MeshNode) -> bool:
    return bool(node.peers()[0].get("islands"))


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def received(node: MeshNode, vip: str = "shop") -> int:
    return int(node.stats()["vips"][vip]["sessions"]["received"])


def _has_more(node: MeshNode, vip: str, than: int) -> bool:
    return received(node, vip) > than


def first_visit(context: Any, client: ssl.SSLContext, *others: MeshNode, vip: str = "shop", **more: Any) -> Visit:
    """A full handshake, up to the moment when its session has reached the other nodes."""
    before = [received(node, vip) for node in others]
    full = visit(context, client, **more)
    assert not full.resumed
    for node, count in zip(others, before, strict=True):
        wait_until(partial(_has_more, node, vip, count), what=f"{node.name} gets the session")
    return full


class TestASessionOnAnotherNode:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("there", KINDS)
    @pytest.mark.parametrize("here", KINDS)
    def test_resumes_whatever_kind_of_context_either_has(
        self, place: Place, here: str, there: str, version: str
    ) -> None:
        one, other = place.node("edge-1"), place.node("edge-2")
        made, found = place.server(one, kind=here), place.server(other, kind=there)
        place.wait_until_met()
        client = client_context(version)
        full = first_visit(made, client, other)
        assert one.resumption(full.server.tls).outcome is Outcome.FULL
        back = visit(found, client, session=full.session)
        assert back.resumed
        resumption = other.resumption(back.server.tls)
        assert (resumption.outcome, resumption.origin) == (Outcome.REMOTE, "edge-1")

    @pytest.mark.parametrize("version", VERSIONS)
    def test_resumes_at_home_as_local(self, place: Place, version: str) -> None:
        one = place.node("edge-1")
        context, client = place.server(one), client_context(version)
        back = visit(context, client, session=visit(context, client).session)
        resumption = one.resumption(back.server.tls)
        assert (resumption.outcome, resumption.origin) == (Outcome.LOCAL, "edge-1")

    def test_stays_within_its_colo_when_the_reach_says_so(self, place: Place) -> None:
        ams, fra, ams2 = place.node("edge-1"), place.node("edge-2", colo="fra1"), place.node("edge-3")
        made, abroad, near = place.server(ams), place.server(fra), place.server(ams2)
        place.wait_until_met()
        client = client_context()
        session = first_visit(made, client, ams2).session
        assert visit(near, client, session=session).resumed
        assert not visit(abroad, client, session=session).resumed
        assert received(fra) == 0

    def test_crosses_colos_when_both_ends_reach_that_far(self, place: Place) -> None:
        wide = {"reach": "everywhere"}
        ams, fra = place.node("edge-1", sharing=wide), place.node("edge-2", colo="fra1", sharing=wide)
        made, abroad = place.server(ams), place.server(fra)
        place.wait_until_met()
        client = client_context()
        assert visit(abroad, client, session=first_visit(made, client, fra).session).resumed

    def test_stays_within_its_share_group(self, place: Place) -> None:
        front = {"group": "front"}
        vips = [{"name": "shop", "sharing": front}, {"name": "pay"}, {"name": "cart", "sharing": front}]
        one, other = place.node("edge-1", vip=vips), place.node("edge-2", vip=vips)
        contexts = {
            name: (place.server(one, vip=name), place.server(other, vip=name)) for name in ("shop", "pay", "cart")
        }
        place.wait_until_met()
        client = client_context()
        session = first_visit(contexts["shop"][0], client, other).session
        assert not visit(contexts["pay"][1], client, session=session).resumed
        assert not visit(contexts["pay"][0], client, session=session).resumed
        assert visit(contexts["cart"][1], client, session=session).resumed

    def test_stays_away_from_a_node_whose_settings_differ_and_both_see_an_island(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2")
        made = place.server(one)
        stricter = place.server(other, version="1.3")
        place.wait_until_met()
        client = client_context("1.3")
        session = visit(made, client).session
        assert not visit(stricter, client, session=session).resumed
        for node in (one, other):
            wait_until(partial(_sees_an_island, node), what="the island is visible")
            assert [entry["kind"] for entry in node.events()].count("IslandFound") == 1

    def test_with_a_client_certificate_stays_where_it_was_made(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2")
        contexts = []
        for node in (one, other):
            context = server_context("stdlib")
            ask_clients(context)
            contexts.append(node.attach(context, vip="shop"))
        place.wait_until_met()
        client = client_context("1.3", client_certificate())
        session = visit(contexts[0], client).session
        assert visit(contexts[0], client, session=session).resumed
        again = visit(contexts[1], client, session=visit(contexts[0], client).session)
        assert not again.resumed
        assert received(other) == 0

    def test_made_before_a_node_joined_resumes_there_too(self, place: Place) -> None:
        one = place.node("edge-1")
        made, client = place.server(one), client_context()
        sessions = [visit(made, client).session for _ in range(20)]
        late = place.node("edge-2")
        found = place.server(late)
        place.wait_until_met()
        wait_until(lambda: late.stats()["vips"]["shop"]["entries"] >= len(sessions), what="the snapshot arrives")
        assert all(visit(found, client, session=session).resumed for session in sessions)

    def test_is_found_though_the_pump_has_not_come_to_it_yet(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that comes back at once: its session waits in the ROUTER, and the handshake itself reads it."""
        one, other = place.node("edge-1"), place.node("edge-2")
        made, found = place.server(one), place.server(other)
        place.wait_until_met()
        client = client_context("1.2")
        transport = other.internals.transport
        with monkeypatch.context() as slow:
            slow.setattr(transport, "receive", lambda _count: [])
            session = visit(made, client).session
            wait_until(lambda: visit(found, client, session=session).resumed)
        other.internals.pump.wake()
        assert other.stats()["vips"]["shop"]["lookups"]["remote"] == 1


class TestLineage:
    def test_a_chain_of_renewals_ends_with_the_lineage_on_every_node(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sharing = {"lifetime_s": 100, "lineage_s": 250}
        one, other = place.node("edge-1", sharing=sharing), place.node("edge-2", sharing=sharing)
        contexts = [place.server(one), place.server(other)]
        place.wait_until_met()
        wait_until(partial(self._hear_one_another_at_once, one, other))
        client = client_context("1.3")
        latest = first_visit(contexts[0], client, other)
        ages, resumed = [80, 160, 240, 320], []
        for number, age in enumerate(ages):
            for node in (one, other):
                self._let_pass(node, age - (ages[number - 1] if number else 0), monkeypatch)
            wait_until(partial(self._hear_one_another_at_once, one, other))
            before = received(one) + received(other)
            latest = visit(contexts[(number + 1) % 2], client, session=latest.session)
            resumed.append(latest.resumed)
            wait_until(partial(self._both_have_more, one, other, before))
        assert resumed == [True, True, True, False]

    def test_what_is_made_after_a_move_of_the_clock_lives_as_long_and_is_as_young_as_any(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = (place.node(name, sharing={"lifetime_s": 100}) for name in ("edge-1", "edge-2"))
        contexts = [place.server(one), place.server(other)]
        place.wait_until_met()
        wait_until(partial(self._hear_one_another_at_once, one, other))
        for node in (one, other):
            self._let_pass(node, 80, monkeypatch)
        wait_until(partial(self._hear_one_another_at_once, one, other))
        session_id = first_visit(contexts[0], client_context("1.2"), other).session.id
        for node in (one, other):
            pump = node.internals.pump
            with pump.lock:
                kept = pump.core.lookup("shop", session_id, pump.clock()).session
                assert kept is not None
                assert kept.expires_at - pump.clock() > 60
        assert other.stats()["gossip"]["lag_ms"]["intra"]["sum"] < 60_000

    def _hear_one_another_at_once(self, *nodes: MeshNode) -> bool:
        """What comes after a silence counts as old as the silence, until an answer shows how long the way takes."""
        for node in nodes:
            with node.internals.pump.lock:
                members = list(node.internals.pump.core.duties.members)
                now = node.internals.pump.clock()
            if any(peer.late_s >= 1 or now - peer.heard_at > 2 for peer in members):
                return False
        return True

    def _both_have_more(self, one: MeshNode, other: MeshNode, than: int) -> bool:
        return received(one) + received(other) > than

    def _let_pass(self, node: MeshNode, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """Moves the node's clock forward."""
        clock = node.internals.pump.clock
        monkeypatch.setattr(node.internals.pump, "clock", lambda: clock() + seconds)
        for name in node.vips:
            port = node.internals.vips.port(name)
            monkeypatch.setattr(port, "clock", node.internals.pump.clock)
            with node.internals.pump.lock:
                port.bind()


NONE = {"full": 0, "local": 0, "remote": 0, "pulled": 0, "failed": 0}


class TestCounting:
    def test_handshakes_are_counted_once_each(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2")
        made, found = place.server(one), place.server(other)
        place.wait_until_met()
        client = client_context("1.2")
        full = first_visit(made, client, other)
        one.handshake_done("shop", full.server.tls)
        back = visit(found, client, session=full.session)
        other.handshake_done("shop", back.server.tls)
        other.handshake_failed("shop")
        other.handshake_failed("nowhere")
        assert one.stats()["vips"]["shop"]["handshakes"] == {**NONE, "full": 1}
        assert other.stats()["vips"]["shop"]["handshakes"] == {**NONE, "remote": 1, "failed": 1}
        assert other.stats()["vips"]["shop"]["lookups"]["remote"] == 1
        assert other.stats()["vips"]["shop"]["lookups"]["miss"] == 0

    def test_stats_are_plain_and_hold_no_secret(self, place: Place) -> None:
        one = place.node("edge-1")
        context, client = place.server(one), client_context("1.2")
        session = visit(context, client).session
        stats = one.stats()
        assert stats["node"]["name"] == "edge-1"
        assert stats["node"]["uptime_s"] >= 0
        assert stats["node"]["hot_path"] in ("c", "python")
        assert stats["cache"]["max_sessions"] == 100_000
        assert stats["transport"]["links"] == 0
        assert stats["faults"] == {}
        shown = repr((stats, one.peers(), one.policy(), one.events()))
        assert session.id.hex() not in shown
        assert repr(session.id) not in shown

    def test_policy_says_what_holds_for_each_vip_that_is_served(self, place: Place) -> None:
        one = place.node("edge-1", vip=[{"name": "shop", "sharing": {"reach": ["ams1", "fra1"]}}, {"name": "idle"}])
        assert one.policy() == []
        place.server(one)
        (policy,) = one.policy()
        assert (policy["vip"], policy["group"], policy["reach"]) == ("shop", "shop", ["ams1", "fra1"])
        assert policy["quota_bytes"] == 32 * 2**20


class TestPeers:
    def test_seeds_alone_are_enough_and_members_tell_of_the_rest(self, place: Place) -> None:
        first = place.node("edge-1")
        second = place.node("edge-2", mesh={"seeds": [first.address]})
        third = place.node("edge-3", mesh={"seeds": [first.address]})
        place.wait_until_met()
        assert alive(second) == {"edge-1", "edge-3"}
        assert alive(third) == {"edge-1", "edge-2"}

    def test_mdns_alone_is_enough(self, place: Place) -> None:
        for name in ("edge-1", "edge-2"):
            place.node(name, mesh={"seeds": [], "mdns": True, "interfaces": ["127.0.0.1"]})
        place.wait_until_met()

    def test_a_dns_name_is_a_seed(self, place: Place) -> None:
        first = place.node("edge-1")
        port = first.address.rpartition(":")[2]
        place.node("edge-2", mesh={"seeds": [f"dns:localhost:{port}"]})
        place.wait_until_met()

    def test_one_that_leaves_is_told_from_one_that_is_lost(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2")
        place.wait_until_met()
        other.close()
        wait_until(lambda: "PeerLeft" in [entry["kind"] for entry in one.events()])
        assert "edge-2" not in alive(one)

    def test_another_mesh_key_is_refused_counted_and_named_once(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        refused_here = re.compile(r"a connection from (127\.0\.0\.1|unknown): another mesh key")
        ours = place.node("edge-1")
        with caplog.at_level(logging.WARNING, "meshcache"):
            theirs = place.node("outsider", key="other.key")
            wait_until(lambda: ours.stats()["transport"]["refused"].get("another mesh key", 0) >= 2)
            wait_until(lambda: theirs.stats()["transport"]["refused"])
            wait_until(lambda: f"the connection to {ours.address}: closed" in caplog.text)
            # On a busy machine one is over before it is looked at, and then nobody knows its address any more.
            wait_until(lambda: refused_here.search(caplog.text))
        lines = [record.getMessage() for record in caplog.records]
        named = [match[1] for line in lines if (match := refused_here.search(line))]
        assert len(named) == len(set(named)), "each is named once"
        assert sum(f"the connection to {ours.address}: closed" in line for line in lines) == 1
        assert alive(ours) == alive(theirs) == set()

    def test_another_mesh_name_is_refused_and_named(self, place: Place) -> None:
        ours, theirs = place.node("edge-1"), place.node("stranger", mesh={"name": "staging"})
        wait_until(lambda: [entry for entry in ours.events() if entry["kind"] == "PeerRefused"])
        (refusal,) = [entry for entry in ours.events() if entry["kind"] == "PeerRefused"]
        assert "stranger" in refusal["text"]
        assert alive(ours) == alive(theirs) == set()

    def test_a_second_node_of_a_name_is_refused_and_everybody_says_so(self, place: Place) -> None:
        first, held = place.node("edge-1"), place.node("edge-2")
        place.wait_until_met()
        twin = place.node("edge-2")
        wait_until(lambda: "NameContested" in {entry["kind"] for entry in first.events()})
        wait_until(lambda: "NameContested" in {entry["kind"] for entry in held.events()})
        wait_until(lambda: "RefusedByPeer" in {entry["kind"] for entry in twin.events()})
        (text, *_) = [entry["text"] for entry in first.events() if entry["kind"] == "NameContested"]
        assert held.address in text
        assert twin.address in text
        assert alive(first) == {"edge-2"}
        assert any(finding.state is FindingState.PROBLEM for finding in mesh_findings(twin.stats(), [], {}))
        assert first.peers()[0]["address"] == held.address


class TestKeys:
    def test_a_live_mesh_changes_its_key_in_three_steps_without_losing_a_session(self, place: Place) -> None:
        nodes = [place.node(name, key=f"{name}.key") for name in ("edge-1",)]
        keys = [place.folder / "edge-1.key", place.folder / "edge-2.key"]
        create_keyring(keys[1], load_keyring(keys[0]))
        nodes.append(place.node("edge-2", key="edge-2.key"))
        made, found = (place.server(node) for node in nodes)
        place.wait_until_met()
        client = client_context("1.2")
        old = load_keyring(keys[0])
        added = old.add()
        promoted = added.promote()
        sessions = []
        for step in (added, promoted, promoted.retire()):
            for node, key in zip(nodes, keys, strict=True):
                save_keyring(key, step)
                node.reload(node.internals.settings)
                sessions.append(visit(made, client).session)
        wait_until(lambda: nodes[1].stats()["vips"]["shop"]["entries"] >= len(sessions))
        assert all(visit(found, client, session=session).resumed for session in sessions)
        assert "no CURVE" not in nodes[0].stats()["transport"]["refused"]
        wait_until(lambda: alive(nodes[0]) == {"edge-2"} and alive(nodes[1]) == {"edge-1"})

    def test_a_key_file_that_others_can_read_stops_the_start(self, folder: Path) -> None:
        made = settings(folder)
        made.mesh.key_file.chmod(0o644)
        before = threading.active_count()
        with pytest.raises(KeyringError, match="0600"):
            MeshNode(made).start()
        assert threading.active_count() == before

    def test_a_bad_key_file_at_a_reload_changes_nothing(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2")
        place.wait_until_met()
        one.internals.settings.mesh.key_file.chmod(0o644)
        with pytest.raises(KeyringError, match="0600"):
            one.reload(one.internals.settings)
        assert alive(one) == {"edge-2"}
        assert alive(other) == {"edge-1"}


class TestAttach:
    def test_a_vip_that_is_not_configured_is_answered_with_those_that_are(self, place: Place) -> None:
        one = place.node("edge-1")
        with pytest.raises(AttachError, match=r"no VIP 'shopp' .* there is: shop"):
            one.attach(server_context("stdlib"), vip="shopp")

    def test_the_module_level_function_uses_the_one_node_that_runs(self, place: Place) -> None:
        with pytest.raises(MeshcacheError, match="0 nodes run"):
            meshcache.attach(server_context("stdlib"), vip="shop")
        one = place.node("edge-1")
        context = meshcache.attach(server_context("stdlib"), vip="shop")
        client = client_context()
        assert visit(context, client, session=visit(context, client).session).resumed
        place.node("edge-2")
        with pytest.raises(MeshcacheError, match="2 nodes run"):
            meshcache.attach(server_context("stdlib"), vip="shop")
        meshcache.attach(server_context("stdlib"), vip="shop", node=one)

    def test_a_context_has_its_session_removed_after_an_unclean_close_only_if_asked(self, place: Place) -> None:
        one = place.node("edge-1")
        client = client_context("1.2")
        for drop, resumes in ((False, True), (True, False)):
            context = server_context("pyopenssl")
            one.attach(context, vip="shop", on_unclean_close="drop" if drop else "keep")
            unclean = visit(context, client, close=False)
            session, entries = unclean.session, one.stats()["vips"]["shop"]["entries"]
            del unclean
            if not resumes:
                wait_until(partial(self._holds_less, one, entries))
            assert visit(context, client, session=session).resumed is resumes

    def _holds_less(self, node: MeshNode, than: int) -> bool:
        return int(node.stats()["vips"]["shop"]["entries"]) < than


class TestReload:
    def test_a_wider_reach_takes_effect_with_the_contexts_there_are(self, place: Place) -> None:
        ams, fra = place.node("edge-1"), place.node("edge-2", colo="fra1")
        made, abroad = place.server(ams), place.server(fra)
        place.wait_until_met()
        client = client_context()
        assert not visit(abroad, client, session=visit(made, client).session).resumed
        for node in (ams, fra):
            node.reload(self._with_sharing(node, reach="everywhere"))
        assert [each["reach"] for each in ams.policy()] == ["everywhere"]
        wait_until(lambda: visit(abroad, client, session=first_visit(made, client).session).resumed)

    def test_another_group_ends_what_was_shared_under_the_old_one(self, place: Place) -> None:
        one = place.node("edge-1")
        context, client = place.server(one), client_context()
        session = visit(context, client).session
        one.reload(self._with_sharing(one, group="other"))
        assert not visit(context, client, session=session).resumed
        assert visit(context, client, session=visit(context, client).session).resumed

    def test_a_vip_that_is_gone_from_the_settings_is_served_no_more(self, place: Place) -> None:
        one = place.node("edge-1")
        context, client = place.server(one), client_context()
        session = visit(context, client).session
        one.reload(settings(place.folder, "edge-1", vip=[{"name": "pay"}]))
        assert one.stats()["vips"] == {}
        assert not visit(context, client, session=session).resumed
        one.attach(context, vip="pay")

    def test_what_needs_a_restart_stays_and_is_said(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        one = place.node("edge-1")
        with caplog.at_level(logging.WARNING, "meshcache"):
            one.reload(settings(place.folder, "renamed", colo="fra1", mesh={"name": "other"}))
        assert (one.name, one.colo) == ("edge-1", "ams1")
        assert "only with a restart" in caplog.text

    def test_a_refused_reload_leaves_contexts_as_they_are_and_lets_none_in_that_contradicts_them(
        self, place: Place
    ) -> None:
        node = place.node("edge-1")
        context, client = place.server(node, version="1.2"), client_context("1.2")
        other = server_context("stdlib")
        other.minimum_version = ssl.TLSVersion.TLSv1_3
        with pytest.raises(AttachError, match="nope"):
            node.reload(settings(place.folder, vip=[{"name": "shop", "names": ["nope.example"]}]))
        with pytest.raises(AttachError, match="differs from one that is attached"):
            node.attach(other, vip="shop")
        assert visit(context, client, session=visit(context, client).session).resumed

    def test_what_is_put_back_holds_though_contexts_came_since_that_the_former_settings_refuse(
        self, place: Place
    ) -> None:
        node = place.node("edge-1", vip=[{"name": "shop", "names": list(NAMES), "sharing": {"reach": "server"}}])
        place.server(node)
        wider = settings(place.folder, vip=[{"name": "shop", "names": ["a.test"], "sharing": {"reach": "everywhere"}}])
        put_back = node.reload(wider)
        since = server_context("stdlib", names=("a.test",))
        node.attach(since, vip="shop")
        assert node.policy()[0]["reach"] == "everywhere"
        put_back()
        assert node.policy()[0]["reach"] == "server"
        assert not node.detach(since), "it has left"
        place.server(node)

    def test_a_vip_that_only_the_settings_have_which_are_taken_back_is_served_no_more(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2", vip=[{"name": "shop"}, {"name": "pay"}])
        context, client = place.server(one), client_context()
        place.server(other, vip="pay")
        place.wait_until_met()
        put_back = one.reload(settings(place.folder, vip=[{"name": "shop"}, {"name": "pay"}]))
        since = place.server(one, vip="pay")
        place.wait_until_met()
        put_back()
        assert set(one.stats()["vips"]) == {"shop"}
        assert not one.detach(since), "it has left"
        wait_until(lambda: [each["name"] for each in other.peers()[0]["vips"]] == ["shop"])
        assert visit(context, client, session=visit(context, client).session).resumed

    def test_what_a_reload_returns_puts_settings_and_keys_back_from_memory(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2")
        place.wait_until_met()
        file = one.internals.settings.mesh.key_file
        old = load_keyring(file)
        save_keyring(file, old.add().promote().retire())
        put_back = one.reload(self._with_sharing(one, reach="everywhere"))
        wait_until(lambda: alive(one) == set())
        put_back()  # the file still holds the new key
        assert one.internals.settings.vips[0].sharing.reach.kind != "everywhere"
        wait_until(lambda: alive(one) == {"edge-2"} and alive(other) == {"edge-1"})

    def test_new_seeds_are_dialled(self, place: Place) -> None:
        first = place.node("edge-1")
        second = place.node("edge-2", mesh={"seeds": []})
        second.reload(settings(place.folder, "edge-2", mesh={"seeds": [first.address]}))
        place.wait_until_met()

    def test_a_seed_that_is_gone_is_dialled_no_more_and_who_is_linked_stays(self, place: Place) -> None:
        one, other = place.node("edge-1"), place.node("edge-2", mesh={"seeds": []})
        silent = "127.0.0.1:9"
        other.reload(settings(place.folder, "edge-2", mesh={"seeds": [one.address, silent]}))
        place.wait_until_met()
        core = other.internals.pump.core
        wait_until(lambda: silent in core.links())
        other.reload(settings(place.folder, "edge-2", mesh={"seeds": []}))
        assert core.links() == {one.address}
        assert alive(other) == {"edge-1"}

    def _with_sharing(self, node: MeshNode, **sharing: Any) -> meshcache.Settings:
        return settings(Path(node.internals.settings.mesh.key_file).parent, node.name, colo=node.colo, sharing=sharing)


class TestLife:
    def test_closing_is_clean_and_may_be_repeated(self, folder: Path) -> None:
        before = set(threading.enumerate())
        node = MeshNode(settings(folder, mesh={"mdns": True, "interfaces": ["127.0.0.1"]}))
        with node:
            context = node.attach(server_context("stdlib"), vip="shop")
            assert len(set(threading.enumerate()) - before) >= 3
        node.close()
        wait_until(lambda: set(threading.enumerate()) <= before)
        client = client_context()
        assert not visit(context, client, session=visit(context, client).session).resumed

    def test_it_works_as_an_asynchronous_context_manager_too(self, folder: Path) -> None:
        async def live() -> str:
            async with MeshNode(settings(folder)) as node:
                ticks = 0
                while ticks < 3:
                    await asyncio.sleep(0)
                    ticks += 1
                return node.address

        assert asyncio.run(live()).startswith("127.0.0.1:")

    @pytest.mark.parametrize("use", [lambda n: n.stats(), lambda n: n.peers(), lambda n: n.address])
    def test_before_the_start_and_after_the_end_it_says_so(
        self, folder: Path, use: Callable[[MeshNode], object]
    ) -> None:
        node = MeshNode(settings(folder))
        with pytest.raises(MeshcacheError, match="new: start the node first"):
            use(node)
        with node:
            use(node)
        with pytest.raises(MeshcacheError, match="closed"):
            use(node)
        with pytest.raises(MeshcacheError, match="make another"):
            node.start()

    def test_a_port_in_use_names_the_address_and_leaves_nothing_running(self, place: Place) -> None:
        one = place.node("edge-1")
        before = threading.active_count()
        with pytest.raises(TransportError, match=one.address):
            MeshNode(settings(place.folder, "edge-2", mesh={"listen": one.address})).start()
        assert threading.active_count() == before

    def test_whatever_keeps_it_from_starting_nothing_is_left_running(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = place.node("edge-1")
        before = threading.active_count()

        def fail(*_looks_for: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        hooks = (Observer(), Discovery())
        node = MeshNode(settings(place.folder, "edge-2", mesh={"seeds": [one.address]}), hooks=hooks)
        with monkeypatch.context() as patched:
            patched.setattr("meshcache.node.Finders", fail)
            with pytest.raises(OSError, match="Too many open files"):
                node.start()
        assert node.closed
        assert threading.active_count() == before

    def test_from_a_file(self, folder: Path) -> None:
        made = settings(folder)
        (folder / "meshcache.toml").write_text(
            f'[mesh]\nkey_file = "{made.mesh.key_file}"\nlisten = "127.0.0.1:0"\nmdns = false\n[[vip]]\nname = "shop"\n'
        )
        with MeshNode.from_file(folder / "meshcache.toml", ["node.name=edge-7", "admin.socket=false"]) as node:
            assert node.name == "edge-7"


class TestFork:
    def test_a_child_is_told_to_start_its_own_node_and_never_hangs(self, place: Place) -> None:
        one = place.node("edge-1")
        context, client = place.server(one), client_context("1.2")
        session = visit(context, client).session

        def in_child() -> int:
            resumed = visit(context, client, session=session).resumed
            try:
                one.stats()
            except MeshcacheError as error:
                one.close()
                return 0 if "forked" in str(error) and not resumed else 1
            return 2

        with one.internals.pump.lock:  # the fork finds the lock held, as it may
            pid = os.fork()
            if pid == 0:
                os._exit(in_child())
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert visit(context, client, session=session).resumed

    def test_a_child_can_start_its_own(self, place: Place) -> None:
        place.node("edge-1")

        def in_child() -> int:
            with MeshNode(settings(place.folder, "child")) as node:
                context, client = node.attach(server_context("stdlib"), vip="shop"), client_context()
                return 0 if visit(context, client, session=visit(context, client).session).resumed else 1

        pid = os.fork()
        if pid == 0:
            os._exit(in_child())
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_all_public_names_are_there_and_nothing_heavy_is_imported_for_one_of_them() -> None:
    assert all(hasattr(meshcache, name) for name in meshcache.__all__)
    assert set(meshcache.__all__) <= set(dir(meshcache))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = meshcache.nothing


@pytest.mark.parametrize("asked, tickets", [({}, 2), ({"tickets": 4}, 4)])
def test_a_burst_after_one_visit_has_as_many_sessions_on_every_node_as_the_vip_gives_tickets(
    asked: dict[str, int], tickets: int, place: Place
) -> None:
    vip = [{"name": "shop", **asked}]
    one, other = (place.node(name, vip=vip, one_ticket=False) for name in ("edge-1", "edge-2"))
    context = place.server(one, version="1.3")
    place.server(other, version="1.3")
    place.wait_until_met()
    visit(context, client_context("1.3"))
    wait_until(lambda: received(other) == tickets)
    assert one.stats()["vips"]["shop"]["handshakes"]["full"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_that_left_neither_finds_nor_keeps_sessions_and_may_come_again(kind: str, place: Place) -> None:
    node = place.node("edge-1")
    context, client = place.server(node, kind=kind), client_context("1.2")
    session = visit(context, client).session
    assert node.detach(context)
    assert not node.detach(context)
    assert not visit(context, client, session=session).resumed
    assert node.stats()["vips"]["shop"]["sessions"]["made"] == 1
    node.attach(context, vip="shop")
    assert visit(context, client, session=session).resumed
    assert not node.detach(server_context(kind))
    assert not place.node("edge-2").detach(context), "it is another node's"
