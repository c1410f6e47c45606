"""Tests of `core.holders.holding_messages`: what is told goes to whom it is for, in as many messages as it needs."""

from __future__ import annotations

from meshcache.core.holders.holding_messages import HoldingMessages
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import HELD_SEQS_MAX, HELD_STREAMS_MAX, Held, Holding
from tests.core.net import Net, Puppet, vip

KEY, OTHER = StreamKey("z", 1, "shop"), StreamKey("y", 1, "shop")


def told(numbers: list[tuple[StreamKey, int]]) -> list[Holding]:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    puppet = Puppet(net, "x", "ams1", vip("x"))
    puppet.joins(host)
    peer = host.core.duties.members.get("x")
    assert peer is not None
    telling = HoldingMessages()
    for key, seq in numbers:
        telling.note(peer, key, seq)
    telling.send(host.core.duties.outbox)
    return puppet.hears(Holding)


def test_each_number_is_told_once_in_order_with_its_stream() -> None:
    assert told([(KEY, 7), (OTHER, 1), (KEY, 3), (KEY, 7)]) == [Holding((Held(KEY, (3, 7)), Held(OTHER, (1,))))]


def test_what_was_not_noted_is_not_told() -> None:
    assert told([]) == []


def test_many_numbers_and_many_streams_take_several_rows_and_messages() -> None:
    rows = [held for message in told([(KEY, at) for at in range(1, HELD_SEQS_MAX + 2)]) for held in message.held]
    assert [len(held.seqs) for held in rows] == [HELD_SEQS_MAX, 1]
    streams = told([(StreamKey(f"n{at:04}", 1, "shop"), 1) for at in range(HELD_STREAMS_MAX + 1)])
    assert [len(message.held) for message in streams] == [HELD_STREAMS_MAX, 1]
