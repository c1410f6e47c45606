"""Tests of `core.repair.breakers`: who isn't asked for a while; with real peers in `test_pulling`."""

from __future__ import annotations

from meshcache.core.repair.breakers import Breakers
from meshcache.core.state.members import Peer
from meshcache.core.values.limits import Limits
from tests.core.net import Net, Puppet, vip


def world() -> tuple[Breakers, Peer]:
    net = Net()
    host, other = net.add("me", "ams1", vip("me")), Puppet(net, "other", "ams1", vip("other"))
    other.joins(host)
    peer = host.core.duties.members.get("other")
    assert peer is not None
    return Breakers(Limits(), host.core.duties.members), peer


def test_what_is_not_what_was_asked_for_counts_as_no_answer() -> None:
    breakers, peer = world()
    for _ in range(Limits().pull_silences):
        assert not breakers.is_open(peer, 1.0)
        breakers.answered(peer, 1.0, late=False, fits=False)
    assert breakers.is_open(peer, 1.0)
    breakers.answered(peer, 1.1, late=False, fits=True)
    assert not breakers.is_open(peer, 1.1)


def test_a_late_answer_ends_a_silence_and_not_the_lateness() -> None:
    breakers, peer = world()
    for _ in range(Limits().pull_silences):
        breakers.was_silent("other", 1.0)
    assert breakers.is_open(peer, 1.0)
    for _ in range(Limits().pull_lates - 1):
        breakers.answered(peer, 1.0, late=True, fits=True)
        assert not breakers.is_open(peer, 1.0)
    breakers.answered(peer, 1.0, late=True, fits=True)
    peer.heard_at = 5.0
    assert breakers.is_open(peer, 1.0 + Limits().pull_rest_s - 0.1)
    assert not breakers.is_open(peer, 1.0 + Limits().pull_rest_s)


def test_of_peers_that_are_gone_nothing_is_kept() -> None:
    breakers, _ = world()
    for number in range(3 * Limits().peers_max):
        breakers.was_silent(f"gone-{number}", 1.0)
    assert len(breakers) <= Limits().peers_max + 1
