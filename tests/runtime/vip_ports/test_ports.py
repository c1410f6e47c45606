"""Tests of all ports of a node together, with ports that note what they are told."""

from __future__ import annotations

import math
from typing import Any, cast

from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.edges.keyring import Keyring
from meshcache.runtime.vip_ports.ports import Ports
from meshcache.runtime.vip_ports.session_ids import SessionIds
from meshcache.runtime.vip_ports.session_ports import VipPort


class Noted:
    """A port of which each call is noted."""

    def __init__(self, due_at: float = math.inf, *, publishes: bool = False) -> None:
        self.due_at = due_at
        self.publishes = publishes
        self.told: list[Any] = []

    def deadline(self) -> float:
        return self.due_at

    def publish_due(self, _ready: list[ReadyPush]) -> bool:
        self.told.append("publish_due")
        return self.publishes

    def take_made(self) -> None:
        self.told.append("take_made")

    def settle(self) -> None:
        self.told.append("settle")

    def unread(self, more: bool) -> None:
        self.told.append(more)

    def forget_ticket_keys(self) -> None:
        self.told.append("forget_ticket_keys")


def ports_of(*each: Noted) -> Ports:
    ports = Ports()
    for one in each:
        ports.add(cast("VipPort", one))
    return ports


def test_without_a_port_nothing_is_due() -> None:
    ports = ports_of()
    ports.settle()
    assert ports.collected_until() == math.inf
    assert not ports.publish_due(1e9, [])


def test_only_what_is_due_is_published_and_any_of_it_is_told() -> None:
    due, late, sends = Noted(5.0), Noted(5.1), Noted(4.0, publishes=True)
    ports = ports_of(sends, due, late)
    assert ports.collected_until() == 4.0
    assert ports.publish_due(5.0, [])
    assert (due.told, late.told, sends.told) == (["publish_due"], [], ["publish_due"])
    assert not ports_of(due).publish_due(5.0, [])


def test_what_was_made_is_handed_over_before_what_was_counted() -> None:
    one, other = Noted(), Noted()
    ports_of(one, other).settle()
    assert one.told == other.told == ["take_made", "settle"]


def test_each_port_hears_of_ticket_keys_and_of_unread_messages() -> None:
    one, other = Noted(), Noted()
    ports = ports_of(one, other)
    ports.ticket_keys_changed()
    ports.note_unread(True)
    assert one.told == other.told == ["forget_ticket_keys", True]


def test_a_port_that_was_removed_hears_nothing_more() -> None:
    one, other = Noted(), Noted(1.0)
    ports = ports_of(one, other)
    going_through = iter(ports)
    ports.remove(cast("VipPort", other))
    ports.note_unread(False)
    assert (one.told, other.told) == ([False], [])
    assert ports.collected_until() == math.inf
    assert len(list(going_through)) == 2, "who goes through them isn't disturbed"


def test_what_an_id_says_of_its_maker_is_read_by_the_keys_that_are_here() -> None:
    ids = SessionIds("test", "edge-1", Keyring.new(), lambda: 1000.0)
    assert Ports(ids).claim_of(ids.mint()) is not None
    assert Ports(ids).claim_of(bytes(32)) is None
    assert Ports().claim_of(ids.mint()) is None
