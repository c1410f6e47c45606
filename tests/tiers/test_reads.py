"""Handshakes that pause while a tier is asked: what they get, for how long they wait, and what they don't wait for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache import MeshNode
from meshcache.hooks import Tier
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tiers.tiers import Evicted, Hangs, Kept
from tests.tls.world import StdlibEnd, client_context, server_context, server_end, shake_hands, visit

VERSIONS = ["1.2", "1.3"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


class Shop:
    """A node whose memory has room for one session, a server that can pause, and a client whose session has left it."""

    def __init__(self, place: Place, version: str, *tiers: Tier, **settings: Any) -> None:
        cache = {"max_sessions": settings.pop("sessions", 1)}
        self.node: MeshNode = place.node("edge-1", hooks=list(tiers), cache=cache, **settings)
        self.context = self.node.attach(server_context("pyopenssl", version), vip="shop", pauses=True)
        assert self.node.wait_warm(60), "what is written before tiers are loaded comes back with that"
        self.client, self.version = client_context(version), version
        self.session = visit(self.context, self.client).session
        self.push_out()

    def push_out(self) -> None:
        """Let memory evict what it has, by another client's visit."""
        self.node.stats()  # what was made is filed
        visit(self.context, client_context(self.version))
        self.node.stats()

    def wait_until_written(self, *tiers: Kept) -> None:
        wait_until(lambda: all(tier.kept for tier in tiers), what="the session that left memory is written")
        wait_until(self.are_ready, what="tiers can be asked")

    def are_ready(self) -> bool:
        told = self.told()
        return all(tier["open"] and not tier["resting"] and tier["counts"].get("calls") for tier in told)

    def told(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = self.node.stats()["tiers"]
        return told

    def comes_back(self) -> bool:
        """Whether the client resumes; the server waits for as long as it is told to."""
        end = StdlibEnd(self.client, server=False, name="a.test", session=self.session)
        server = server_end(self.context)
        end.shake()
        server.feed(end.take())
        try:
            server.tls.do_handshake()
        except SSL.Error:
            lookup = self.node.paused(server.tls)
            while lookup is not None and (until := lookup.go_on()) is not None:
                time.sleep(min(max(until - time.monotonic(), 0), 0.001))
        shake_hands(end, server)
        return bool(server.resumed)

    def lookups(self) -> dict[str, Any]:
        found: dict[str, Any] = self.node.stats()["vips"]["shop"]["lookups"]
        return found


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("make", [Kept, Evicted])
def test_a_session_that_memory_had_no_room_for_resumes(place: Place, version: str, make: type[Kept]) -> None:
    tier = make()
    shop = Shop(place, version, tier)
    shop.wait_until_written(tier)
    assert shop.comes_back(), shop.node.stats()
    found = shop.lookups()
    assert (found["tier"], found["local"], found["miss"]) == (1, 1, 0)
    assert found["asked"]["tier"] == {"found": 1}
    assert shop.told()[0]["counts"]["hits"] == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_from_the_disk_as_well(place: Place, version: str) -> None:
    shop = Shop(place, version, tier={"disk": {"max_bytes": "16MiB"}})
    wait_until(lambda: shop.told()[0]["counts"].get("written", 0) >= 1 and shop.are_ready(), what="it is written")
    wait_until(shop.comes_back, what="the disk answers in time, on a machine that may be busy")


def test_the_next_is_asked_when_the_first_has_nothing(place: Place) -> None:
    empty, full = Evicted(), Evicted()
    shop = Shop(place, "1.2", empty, full)
    shop.wait_until_written(empty, full)
    empty.kept.clear()
    assert shop.comes_back()
    assert [tier["counts"].get("hits", 0) for tier in shop.told()] == [0, 1]


def test_when_none_has_it_the_handshake_is_full_at_once(place: Place) -> None:
    tier = Evicted()
    shop = Shop(place, "1.2", tier)
    shop.wait_until_written(tier)
    tier.kept.clear()
    assert not shop.comes_back()
    assert shop.lookups()["asked"]["tier"] == {"none": 1}


def test_a_tier_that_hangs_costs_one_handshake_its_budget_and_the_next_nothing(place: Place) -> None:
    tier = Hangs()
    tier.may_answer.set()
    shop = Shop(place, "1.2", tier)
    shop.wait_until_written(tier)
    wait_until(lambda: shop.node.stats()["tiers"][0]["counts"].get("calls"), what="it was tried")
    tier.may_answer.clear()
    assert not shop.comes_back()
    assert shop.lookups()["asked"]["tier"] == {"late": 1}
    wait_until(
        tier.is_late, what="its thread, which may come late on a busy machine, hangs for longer than it may take"
    )
    shop.push_out()
    for _ in range(5):
        assert not shop.comes_back()
    assert shop.lookups()["asked"]["tier"] == {"late": 1}, "nobody asked it again"
    tier.may_answer.set()


def test_a_tier_that_fails_costs_nothing_after_the_first(place: Place) -> None:
    tier = Evicted()
    shop = Shop(place, "1.2", tier)
    shop.wait_until_written(tier)
    tier.broken = True
    assert not shop.comes_back()
    shop.push_out()
    assert not shop.comes_back()
    assert sum(shop.lookups()["asked"]["tier"].values()) == 1


@pytest.mark.parametrize("what", ["noise", "changed", "another's"])
def test_somebody_elses_value_is_refused_counted_and_removed(place: Place, what: str) -> None:
    tier = Evicted()
    shop = Shop(place, "1.2", tier)
    shop.push_out()
    wait_until(lambda: len(tier.kept) >= 2, what="two have left")
    shop.wait_until_written(tier)
    before = dict(tier.kept)
    values = list(before.values())
    bad = {
        "noise": lambda _at: b"\0" + os.urandom(300),
        "changed": lambda at: values[at][:-1] + bytes([values[at][-1] ^ 1]),
        "another's": lambda at: values[at - 1],
    }[what]
    tier.kept |= {key: bad(at) for at, key in enumerate(before)}
    assert not shop.comes_back()
    counts = wait_until(lambda: shop.told()[0]["counts"].get("removed") and shop.told()[0]["counts"], what="removed")
    assert counts["refused_version" if what == "noise" else "refused_forged"] == 1
    assert shop.lookups()["tier"] == 0


def test_what_was_withdrawn_doesnt_come_back_from_a_tier(place: Place) -> None:
    tier = Evicted()
    shop = Shop(place, "1.2", tier)
    shop.wait_until_written(tier)
    kept = dict(tier.kept)
    shop.node.policies.withdraw(vip="shop")
    tier.kept |= kept
    assert not shop.comes_back()
    assert shop.node.stats()["vips"]["shop"]["sessions"]["refused"]["withdrawn"] >= 1
    wait_until(lambda: not kept.keys() <= tier.kept.keys(), what="it is taken out, since it was met")


def test_what_policy_refuses_here_stays_in_a_tier_that_others_use(place: Place) -> None:
    """Another node, or this one under tomorrow's policy, may have it."""
    tier = Evicted()
    shop = Shop(place, "1.2", tier)
    shop.wait_until_written(tier)
    kept = dict(tier.kept)
    shop.node.policies.set_policy("shop", {"lifetime_s": "1"})
    wait_until(lambda: shop.node.stats()["vips"]["shop"]["entries"] == 0, what="a second has gone by")
    assert not shop.comes_back()
    assert kept.keys() <= tier.kept.keys()


def test_a_new_epoch_asks_for_nothing_of_before(place: Place) -> None:
    tier = Evicted()
    shop = Shop(place, "1.2", tier)
    shop.wait_until_written(tier)
    kept = dict(tier.kept)
    shop.node.policies.withdraw(group="shop", new_epoch=True)
    tier.kept |= kept
    assert not shop.comes_back()
    assert shop.told()[0]["counts"].get("hits", 0) == 0


def test_a_node_without_tiers_never_pauses_for_one(place: Place) -> None:
    shop = Shop(place, "1.2")
    assert not shop.comes_back()
    assert "tier" not in shop.lookups()["asked"]
