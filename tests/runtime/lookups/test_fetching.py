"""Tests of `runtime.lookups.fetching`: real handshakes that wait while another node is asked for their session."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache import MeshNode
from meshcache.core.cache.entry import HEAD_BYTES
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import VERSIONS, StdlibEnd, client_context, server_context, server_end, shake_hands, visit

VIP = {"name": "shop", "tickets": 1, "await_ms": 0, "fetch_ms": 1000}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


class Two:
    """Two nodes that have met; a session that the first made has gone from the second."""

    def __init__(self, place: Place, version: str, **changes: Any) -> None:
        vip = [VIP | changes]
        self.first, self.second = place.node("edge-1", vip=vip), place.node("edge-2", vip=vip)
        self.there = place.server(self.first, version=version)
        self.context = self.second.attach(server_context("pyopenssl", version), vip="shop", pauses=True)
        self.client = client_context(version)
        place.wait_until_met()
        self.pump = self.second.internals.pump
        self.again()

    def again(self) -> None:
        """Make one more session, which is on the first node only."""
        core = self.pump.core
        before = self.made_by_first()
        self.session = visit(self.there, self.client).session
        (self.id,) = self.made_by_first() - before
        wait_until(lambda: core.holds("shop", self.id), what="the session has come")
        with self.pump.lock:
            core.session_removed("shop", self.id)

    def made_by_first(self) -> set[bytes]:
        pump = self.first.internals.pump
        with pump.lock:
            found = {each: pump.core.session_origin("shop", each) for each in pump.core.session_ids("shop")}
        return {each for each, of in found.items() if of is not None and of[0].stream.origin == "edge-1"}

    def begin(self) -> tuple[StdlibEnd, Any]:
        end, server = (
            StdlibEnd(self.client, server=False, name="a.test", session=self.session),
            server_end(self.context),
        )
        end.shake()
        server.feed(end.take())
        return end, server

    def come(self) -> Any:
        """Come back, and wait as the bundled server does."""
        end, server = self.begin()
        with pytest.raises(SSL.Error):  # and not paused if the answer was quicker than this
            server.tls.do_handshake()
        lookup = self.second.paused(server.tls)
        if lookup is not None:
            wait_until(lambda: lookup.go_on() is None, what="an answer")
        shake_hands(end, server)
        return server

    def lookups(self, node: MeshNode | None = None) -> Any:
        return (node or self.second).stats()["vips"]["shop"]["lookups"]

    def sent(self, kind: str) -> int:
        found: int = self.second.stats()["gossip"]["sent"]["kinds"].get(kind, 0)
        return found


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_that_was_evicted_here_is_fetched_from_who_made_it(place: Place, version: str) -> None:
    two = Two(place, version)
    server = two.come()
    assert server.resumed
    resumption = two.second.resumption(server.tls)
    assert (resumption.outcome.value, resumption.origin) == ("pulled", "edge-1")
    found = two.lookups()
    assert (found["pulled"], found["remote"], found["miss"]) == (1, 0, 0)
    assert found["asked"] == {"fetch": {"asked": 1, "found": 1}}
    assert two.sent("pull") == 1
    assert not two.pump.core.awaiting
    assert len(two.pump.core.pulling) == 0


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_nobody_has_any_more_is_a_full_handshake(place: Place, version: str) -> None:
    two = Two(place, version)
    with two.first.internals.pump.lock:
        two.first.internals.pump.core.session_removed("shop", two.id)
    assert not two.come().resumed
    assert two.lookups()["asked"] == {"fetch": {"asked": 1, "none": 1}}
    assert two.lookups()["miss"] == 1
    end, server = two.begin()
    shake_hands(end, server)
    assert two.sent("pull") == 1, "it isn't asked for again at once"


@pytest.mark.usefixtures("hot_path")
def test_a_peer_that_does_not_answer_costs_the_time_that_is_configured(place: Place) -> None:
    two = Two(place, "1.2", fetch_ms=20)
    two.first.internals.pump.sending.acquire()  # it hears, and says nothing
    try:
        end, server = two.begin()
        with pytest.raises(SSL.Error):
            server.tls.do_handshake()
        lookup = two.second.paused(server.tls)
        assert lookup is not None
        assert lookup.until - time.monotonic() <= 0.020
        assert lookup.go_on(lookup.until) is None
        shake_hands(end, server)
        assert not server.resumed
        assert two.lookups()["asked"] == {"fetch": {"asked": 1, "late": 1}}
    finally:
        two.first.internals.pump.sending.release()


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_is_asked_where_it_is_off(place: Place, version: str) -> None:
    two = Two(place, version, fetch="off")
    end, server = two.begin()
    shake_hands(end, server)
    assert not server.resumed
    assert two.sent("pull") == 0


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_no_id_that_a_member_did_not_make_sends_a_message(place: Place, version: str) -> None:
    """A client that comes with the sessions of another mesh's server, as any made-up id would be."""
    two = Two(place, version)
    stranger = place.node("edge-9", mesh={"name": "elsewhere", "seeds": []}, vip=[VIP])
    elsewhere = place.server(stranger, version=version)
    for _ in range(20):
        two.session = visit(elsewhere, two.client).session
        end, server = two.begin()
        shake_hands(end, server)
        assert not server.resumed
    assert two.lookups()["foreign"] == 20
    assert two.lookups()["asked"] == {}
    assert two.sent("pull") == 0


def test_the_vips_policy_says_how_far_and_for_how_long(place: Place) -> None:
    node = place.node("edge-1", vip=[VIP | {"fetch": "reach", "fetch_ms": 7, "fetch_far_ms": 70}])
    asking = node.internals.vips.asking
    assert [step.value for step, _ in asking.of_vip("shop")] == ["fetch"]
    settings = asking.settings("shop")
    assert settings is not None
    assert (settings.fetch, settings.fetch_ms, settings.fetch_far_ms) == ("reach", 7, 70)


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_answers_with_garbage_costs_one_full_handshake_each_and_is_named(
    place: Place, version: str
) -> None:
    two = Two(place, version)
    hostile = two.first.internals.pump
    entries = hostile.core.duties.cache.vip_cache("shop")
    assert entries is not None
    for _ in range(3):
        with hostile.lock:
            packed = entries.pop(two.id)
            assert packed is not None
            entries.put(two.id, packed[:HEAD_BYTES] + b"\x30garbage")
        assert not two.come().resumed, "a full handshake, and no error"
        two.again()
    assert two.sent("pull") == 3
    assert two.lookups()["refused"] == {"der": 3}
    told = [(each["node"], each["reason"]) for each in two.second.stats()["refusals"]]
    assert told == [("edge-1", "poisoned_pull")]


def test_where_nothing_can_be_fetched_few_copies_are_warned_of(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    vip = [VIP | {"copies": 2}]
    pausing, plain = place.node("edge-1", vip=vip), place.node("edge-2", vip=vip)
    with caplog.at_level(logging.WARNING, "meshcache"):
        pausing.attach(server_context("pyopenssl", "1.2"), vip="shop", pauses=True)
        assert "copies" not in caplog.text
        kept = [plain.attach(server_context("stdlib", "1.2"), vip="shop") for _ in range(2)]
        assert caplog.text.count("VIP shop: copies = 2, and handshakes here can't wait for a fetch") == 1
        place.wait_until_met()
        pausing.policies.set_policy("shop", {"copies": "3"})
    assert kept
    assert caplog.text.count("VIP shop: copies = 3, and handshakes here can't wait for a fetch") == 1
