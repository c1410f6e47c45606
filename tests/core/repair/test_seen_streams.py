"""What is seen of streams, and who may know of it."""

from __future__ import annotations

from meshcache.core.policy.gates import REACH_SERVER
from meshcache.core.repair.seen_streams import newest_ranges
from meshcache.core.values.ranges import Ranges
from meshcache.core.wire.messages import VECTOR_RANGES_MAX, Digest, Vector
from tests.core.net import Net, Puppet, make, vip


def test_streams_that_a_peer_may_not_have_are_in_no_vector_and_no_digest() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", name="blog"), vip("me", name="shop"))
    net.run(3)
    peer = Puppet(net, "x", "ams1", vip("x"))
    shy = Puppet(net, "shy", "ams1", vip("shy", reach=REACH_SERVER))
    for puppet in (peer, shy):
        puppet.joins(host)
    make(net, host, 1, "shop")
    make(net, host, 2, "blog")
    net.run(0.1)
    for puppet in (peer, shy):
        puppet.says(host, Vector(2**32 - 1, (), wants_reply=True))
    assert [seen.key.vip for vector in peer.hears(Vector) for seen in vector.seen] == ["shop"]
    assert [vector.seen for vector in shy.hears(Vector)] == [()]
    shy.says(host, Digest(b"\0" * 128))
    assert len(shy.hears(Vector)) == 1


def test_a_vector_says_the_newest_ranges_of_a_stream_with_many_holes() -> None:
    seen = Ranges((at, at) for at in range(1, 400, 2))
    flat = newest_ranges(seen)
    assert len(flat) == 2 * VECTOR_RANGES_MAX
    assert flat[-1] == 399
