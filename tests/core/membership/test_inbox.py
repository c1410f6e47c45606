"""Whatever arrives: counted, judged by its connection, handed on, and never raised."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import OWN_LINK
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Envelope, Hello, Ping, Pong
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
    assert 7 in [pong.token for pong in quiet.hears(Pong)]


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
    assert 5 in [pong.token for pong in peer.hears(Pong)]


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


def test_the_way_back_to_a_peer_is_the_listeners_connection_on_which_it_was_last_heard() -> None:
    net = Net()
    host, puppet = net.add("me", "ams1", vip("me")), Puppet(net, "x")
    puppet.says(host, Hello("test", puppet.record), connection=b"\0one")
    assert host.core.ways_back() == {"x:7946": b"\0one"}
    puppet.says(host, Ping(1), connection=b"\0one")
    assert host.core.ways_back() == {}, "nothing new"
    puppet.says(host, Ping(2), connection=OWN_LINK + b"x:7946#1.1")
    assert host.core.ways_back() == {}, "what comes on our own connection is no way back"
    assert not host.core.peers(net.now)[0]["reaches_us"]
    puppet.says(host, Ping(3), connection=b"\0two")
    assert host.core.ways_back() == {"x:7946": b"\0two"}
    assert host.core.peers(net.now)[0]["reaches_us"]


def test_a_peers_address_that_leads_to_ourselves_is_dialled_no_more_while_it_is_heard() -> None:
    net = Net()
    host, puppet = net.add("me", "ams1", vip("me")), Puppet(net, "x")
    puppet.says(host, Hello("test", puppet.record), connection=b"\0one")
    own = host.core.records()[0][0]
    echo = encode("me", own.incarnation, Hello("test", own, dialled="x:7946"))
    assert "x:7946" in host.core.links()
    host.core.receive(b"\0self", echo, net.now)
    assert "x:7946" not in host.core.links()
    net.run(Limits().lost_s + 2)
    assert "x:7946" in host.core.links(), "it is tried again when it isn't heard"
