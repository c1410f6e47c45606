"""What a node said of its keys holds for that life of it, and nobody is sent the same key twice at once."""

from __future__ import annotations

from meshcache.core.state.members import Members
from meshcache.core.tickets.peers_keys import PeersKeys
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.ticket_key import TicketKey
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.ticket_messages import KEYS_MAX, HeldKey, RingStatus

RING, NAME, OTHER = b"r" * 16, b"n" * 16, b"o" * 16


def test_what_it_has_is_forgotten_with_its_life_and_with_its_link() -> None:
    members = Members(Limits(), EventLog())
    known = PeersKeys(members)
    peer = members.join(NodeRecord("a", 1, "ams1", "a:1", 1, ()), "a:1", 0.0)
    said = known.of(peer)
    said.rings[RING] = RingStatus(RING, (HeldKey(2, NAME), HeldKey(1, OTHER)), NAME)
    assert (said.has(RING, NAME), said.has(OTHER, NAME)) == (True, False)
    assert said.newest(RING).rank == (2, NAME)
    assert said.spread(RING) == NAME
    assert (said.newest(OTHER), said.spread(OTHER)) == ((0, b"", 0), b"")
    members.renew(peer, NodeRecord("a", 1, "ams1", "a:1", 2, ()))
    assert known.of(peer) is said
    later = members.join(NodeRecord("a", 2, "ams1", "a:1", 1, ()), "a:1", 0.0)
    assert not known.of(later).has(RING, NAME)
    known.of(later).rings[RING] = said.rings[RING]
    members.part(later)
    known.forget_gone()
    back = members.join(NodeRecord("a", 2, "ams1", "a:1", 1, ()), "a:1", 0.0)
    assert not known.of(back).has(RING, NAME)


def test_a_peer_lacks_what_it_hasn_t_and_would_keep() -> None:
    members = Members(Limits(), EventLog())
    said = PeersKeys(members).of(members.join(NodeRecord("a", 1, "ams1", "a:1", 1, ()), "a:1", 0.0))
    low, high = (TicketKey(RING, bytes(range(number, number + 32)), number, 0.0, 600, 3600) for number in (1, 99))
    assert said.lacks(low)
    said.rings[RING] = RingStatus(RING, tuple(HeldKey(number, OTHER) for number in range(KEYS_MAX, 1, -1)))
    assert said.lacks(low), "it has room for one"
    said.rings[RING] = RingStatus(RING, tuple(HeldKey(number, OTHER) for number in range(KEYS_MAX + 1, 1, -1)))
    assert not said.lacks(low)
    assert said.lacks(high)
    said.rings[RING] = RingStatus(RING, (HeldKey(99, high.name),))
    assert not said.lacks(high)


def test_a_key_is_sent_again_after_a_second() -> None:
    members = Members(Limits(), EventLog())
    said = PeersKeys(members).of(members.join(NodeRecord("a", 1, "ams1", "a:1", 1, ()), "a:1", 0.0))
    assert [said.may_tell(NAME, now) for now in (5.0, 5.9, 6.0)] == [True, False, True]
    assert said.may_tell(OTHER, 5.0)


def test_each_node_brings_keys_at_a_rate_of_its_own_and_a_new_life_brings_none() -> None:
    limits = Limits(ticket_keys_per_s=1.0, ticket_keys_burst=8.0)
    members = Members(limits, EventLog())
    known = PeersKeys(members)
    loud, other = (members.join(NodeRecord(name, 1, "ams1", f"{name}:1", 1, ()), f"{name}:1", 0.0) for name in "ab")
    assert known.of(loud).may_bring(8, limits, 0.0)
    assert not known.of(loud).may_bring(1, limits, 0.5)
    assert known.of(other).may_bring(8, limits, 0.5)
    again = members.join(NodeRecord("a", 2, "ams1", "a:1", 1, ()), "a:1", 0.5)
    assert not known.of(again).may_bring(1, limits, 0.5)
    assert known.of(again).may_bring(1, limits, 1.5)
