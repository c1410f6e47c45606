"""Whatever arrives: counted, judged by its connection, handed on, and never raised."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcache.core.values.limits import Limits
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Envelope, Ping, Pong
from tests.core.net import Net, Puppet, dropped, vip
from tests.core.samples import SAMPLES


def test_a_second_name_on_a_connection_is_dropped() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    first, second = Puppet(net, "x"), Puppet(net, "y")
    first.joins(host)
    second.says(host, SAMPLES["hello-first"].__class__("test", second.record), connection=b"x")
    assert dropped(host, net) == {"connection_name": 1}
    assert [peer["name"] for peer in host.core.peers(net.now)] == ["x"]


def test_a_flood_on_one_connection_is_not_read_and_hurts_no_other() -> None:
    net = Net(limits=Limits(messages_per_s=10, messages_burst=20))
    host = net.add("me", "ams1", vip("me"))
    noisy, quiet = Puppet(net, "noisy"), Puppet(net, "quiet")
    for puppet in (noisy, quiet):
        puppet.joins(host)
    for token in range(500):
        noisy.says(host, Ping(token))
    quiet.says(host, Ping(7))
    assert dropped(host, net) == {"flood": 481}
    assert Pong(7) in quiet.hears(Pong)


def test_everything_is_counted_as_received_also_what_is_dropped() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    host.core.receive(b"c", b"GET / HTTP/1.1\r\n\r\n", net.now)
    received = host.core.stats(net.now)["gossip"]["received"]
    assert (received["messages"], received["bytes"]) == (1, 18)
    assert sum(dropped(host, net).values()) == 1


def test_unknown_fields_are_counted_and_the_rest_is_read() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x")
    peer.joins(host)
    payload = encode("x", 7, Ping(5)).replace(b"\xa1aq\x05", b"\xa2aq\x05bzz\x07")
    host.core.receive(b"x", payload, net.now)
    assert host.core.stats(net.now)["gossip"]["unknown_fields"] == 1
    assert Pong(5) in peer.hears(Pong)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_no_valid_message_of_a_peer_or_a_stranger_raises(name: str) -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "edge-1")
    host.core.receive(b"stranger", encode("edge-1", 7, SAMPLES[name]), net.now)
    peer.joins(host)
    for connection in (b"edge-1", b"other"):
        host.core.receive(connection, encode("edge-1", 7, SAMPLES[name]), net.now)
        net.run(1)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(sorted(SAMPLES)), st.integers(0, 2**32)), min_size=1, max_size=12))
def test_no_mutation_through_the_whole_core_raises_or_grows_without_bound(steps: list[tuple[str, int]]) -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    Puppet(net, "edge-1", "ams1", vip("edge-1")).joins(host)
    for name, seed in steps:
        rng = random.Random(seed)
        payload = bytearray(encode("edge-1", 7, SAMPLES[name]))
        for _ in range(rng.randrange(3)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        host.core.receive(b"edge-1", bytes(payload), net.now)
        net.run(rng.random())
    assert len(host.core.peers(net.now)) <= 3
    assert isinstance(Envelope, type)
