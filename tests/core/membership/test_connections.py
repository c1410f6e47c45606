"""Connections: one sender each, a bounded rate, a bounded table."""

from __future__ import annotations

from meshcache.core.membership.connections import Connections
from meshcache.core.values.limits import Limits


def test_a_connection_is_bound_to_the_first_sender_it_names() -> None:
    connections = Connections(Limits())
    connections.admit(b"c", 0.0)
    assert connections.binds(b"c", "edge-1", 1)
    assert connections.binds(b"c", "edge-1", 1)
    assert not connections.binds(b"c", "edge-2", 1)
    assert connections.binds(b"c", "edge-1", 2), "a later life of the same node"
    assert not connections.binds(b"c", "edge-1", 1)


def test_a_sender_may_come_back_on_another_connection() -> None:
    connections = Connections(Limits())
    for name in (b"c", b"d"):
        connections.admit(name, 0.0)
        assert connections.binds(name, "edge-1", 1)


def test_too_many_messages_are_not_read() -> None:
    connections = Connections(Limits(messages_per_s=10, messages_burst=3))
    assert [connections.admit(b"c", 0.0) for _ in range(4)] == [True, True, True, False]
    assert connections.admit(b"d", 0.0)
    assert connections.admit(b"c", 0.2)


def test_the_longest_silent_is_forgotten_first() -> None:
    connections = Connections(Limits(connections_max=2))
    for name in (b"a", b"b", b"a", b"c"):
        connections.admit(name, 0.0)
        connections.binds(name, name.decode(), 1)
    assert len(connections) == 2
    connections.admit(b"a", 0.0)
    assert not connections.binds(b"a", "other", 1)


def test_who_was_heard_elsewhere_is_remembered_for_longer() -> None:
    connections = Connections(Limits(messages_per_s=1, messages_burst=3, connections_max=2))
    assert connections.get(b"c") is None
    for name in (b"c", b"d"):
        connections.admit(name, 0.0)
    known = connections.get(b"c")
    assert known is not None
    assert known.bucket.take(1, 0.0)
    connections.heard(b"c")
    connections.admit(b"e", 0.0)
    assert connections.get(b"c") is known, "it was heard after the other one"
    assert connections.get(b"d") is None
    assert [connections.admit(b"c", 0.0) for _ in range(2)] == [True, False]
