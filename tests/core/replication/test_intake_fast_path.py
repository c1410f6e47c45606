"""The short way of a push ends as the long one does, and is taken only while everything is as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from meshcache import hot
from meshcache.core.cache.entry import Entries
from meshcache.core.cache.vip_cache import VipCache
from meshcache.core.membership.connections import STREAMS_MAX
from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER, Verdict
from meshcache.core.values.limits import Limits
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Batch, Leave, Push, Withdraw
from tests.core.net import DER, Host, Net, Puppet, dropped, sessions, sid, vip

pytestmark = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)

Change = Callable[[Net, Host, Puppet], Any]


def world(limits: Limits | None = None, *, compiled: bool = True, **settings: Any) -> tuple[Net, Host, Puppet]:
    """A host and a puppet that it knows well: the way is measured, and one push went the long way."""
    net = Net(limits=limits)
    if not compiled:
        net.make_vip_cache = VipCache
    host = net.add("me", "ams1", vip("me", reach=REACH_EVERYWHERE, **settings))
    peer = Puppet(net, "x", "ams1", vip("x", reach=REACH_EVERYWHERE))
    peer.joins(host)
    peer.answers(host)
    net.run(0.1)
    peer.answers(host)
    peer.says(host, Push(peer.batch(1)))
    return net, host, peer


def offered(net: Net, host: Host, peer: Puppet, message: Push, connection: bytes = b"x") -> bool:
    """Whether a push takes the short way; it is received in any case."""
    payload = encode(peer.name, peer.incarnation, message)
    short = host.core.receive_known(connection, payload, net.now)
    if not short:
        host.core.receive(connection, payload, net.now)
    return short


def test_one_more_push_of_a_known_stream_takes_the_short_way() -> None:
    net, host, peer = world()
    assert all(offered(net, host, peer, Push(peer.batch(first, 3))) for first in (2, 5, 8))
    assert all(host.core.holds("shop", sid(number)) for number in range(1, 11))
    found = host.core.lookup("shop", sid(6), net.now).session
    assert found is not None
    assert (found.der, found.stream, found.seq) == (DER, peer.batch(1).key, 6)
    assert sessions(host, net)["received"] == 10
    assert [
        found_id for _, found_id in host.core.duties.cache.streams.get(peer.batch(1).key).entries.downwards(99)
    ] == [sid(number) for number in range(10, 0, -1)]


def test_without_the_compiled_cache_there_is_no_short_way() -> None:
    net, host, peer = world(compiled=False)
    assert not offered(net, host, peer, Push(peer.batch(2)))
    assert host.core.holds("shop", sid(2))


def silent(net: Net, host: Host, _peer: Puppet) -> None:
    net.run(1.6)


def another_record(_net: Net, host: Host, peer: Puppet) -> None:
    peer.revision += 1
    peer.joins(host)


def narrower(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.set_vip(vip("me", reach=REACH_SERVER), net.now)


def other_settings(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.set_vip(vip("me", reach=REACH_EVERYWHERE, digest=b"\x02" * 32), net.now)


def served_no_more(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.remove_vip("shop", net.now)


def withdrawn(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.withdraw(net.now, vip="shop")


def gone(_net: Net, host: Host, peer: Puppet) -> None:
    peer.says(host, Leave())


def lost(net: Net, _host: Host, _peer: Puppet) -> None:
    net.run(12.0)


def elsewhere(_net: Net, host: Host, peer: Puppet) -> None:
    peer.joins(host)
    peer.says(host, Push(peer.batch(1)), connection=b"y")


@pytest.mark.parametrize(
    "change",
    [
        silent,
        another_record,
        narrower,
        other_settings,
        served_no_more,
        withdrawn,
        gone,
        lost,
        elsewhere,
    ],
)
def test_when_anything_has_changed_a_push_goes_the_long_way(change: Change) -> None:
    net, host, peer = world()
    assert offered(net, host, peer, Push(peer.batch(2)))
    change(net, host, peer)
    assert not offered(net, host, peer, Push(peer.batch(3)))


SCOPES: list[tuple[dict[str, str], bool]] = [
    ({"vip": "shop"}, True),
    ({"group": "shop"}, True),
    ({"origin": "x"}, True),
    ({}, True),
    ({"vip": "shop", "origin": "x"}, True),
    ({"vip": "blog"}, False),
    ({"group": "blog"}, False),
    ({"origin": "me"}, False),
    ({"vip": "shop", "origin": "me"}, False),
]


@pytest.mark.parametrize(("scope", "concerned"), SCOPES)
def test_after_a_withdraw_pushes_go_the_long_way_that_it_may_concern(scope: dict[str, str], concerned: bool) -> None:
    net, host, peer = world()
    host.core.withdraw(net.now, **scope)
    late = columns(peer, 2, 3, elapsed_s=[0, 100, 0])
    assert offered(net, host, peer, late) is not concerned
    held = [number for number in (2, 3, 4) if host.core.holds("shop", sid(number))]
    assert held == ([] if concerned else [2, 3, 4]), "births travel in whole seconds: in doubt it was made before"


def test_a_session_that_was_withdrawn_alone_makes_its_push_go_the_long_way_and_no_other() -> None:
    net, host, peer = world()
    peer.says(host, Withdraw("x", peer.incarnation, 1, 0, 3600, "", "", "", (sid(4), sid(9))))
    assert offered(net, host, peer, Push(peer.batch(2)))
    assert not offered(net, host, peer, Push(peer.batch(3, 3)))
    assert [number for number in range(2, 6) if host.core.holds("shop", sid(number))] == [2, 3, 5]
    assert offered(net, host, peer, Push(peer.batch(6)))


def test_what_is_in_quarantine_makes_its_push_go_the_long_way_and_no_other() -> None:
    net, host, peer = world()
    host.core.session_unusable("shop", sid(1), Verdict.DER, net.now)
    assert offered(net, host, peer, Push(peer.batch(2)))
    for number in (4, 9):
        host.core.duties.quarantine.add(sid(number), net.now)
    assert not offered(net, host, peer, Push(peer.batch(3, 3)))
    assert [number for number in range(2, 6) if host.core.holds("shop", sid(number))] == [2, 3, 5]
    assert offered(net, host, peer, Push(peer.batch(6)))


def test_where_much_is_withdrawn_or_in_quarantine_nothing_is_looked_for() -> None:
    net, host, peer = world()
    for number in range(100, 117):
        peer.says(host, Withdraw("x", peer.incarnation, number, 0, 3600, "", "", "", (sid(number),)))
    assert not offered(net, host, peer, Push(peer.batch(2)))
    net, host, peer = world()
    for number in range(100, 117):
        host.core.duties.quarantine.add(sid(number), net.now)
    assert not offered(net, host, peer, Push(peer.batch(2)))


@pytest.mark.parametrize("change", [another_record, silent, elsewhere])
def test_the_long_way_opens_the_short_one_again(change: Change) -> None:
    net, host, peer = world()
    change(net, host, peer)
    peer.answers(host)
    net.run(0.1)
    peer.answers(host)
    offered(net, host, peer, Push(peer.batch(2)))
    peer.answers(host)
    assert offered(net, host, peer, Push(peer.batch(3)))


def columns(peer: Puppet, first: int = 2, count: int = 3, **changes: Any) -> Push:
    batch = peer.batch(first, count)
    return Push(replace(batch, entries=batch.entries._replace(**changes)))


def test_what_is_unusual_goes_the_long_way() -> None:
    net, host, peer = world()
    batch = peer.batch(2, 3)
    pushes = [
        Push(batch, relay=True),
        Push(replace(batch, age=(peer.incarnation + 1, 1))),
        Push(replace(batch, age=(peer.incarnation, 2))),
        Push(replace(batch, incarnation=peer.incarnation + 1, age=(peer.incarnation + 1, 1))),
        Push(replace(batch, terms=replace(batch.terms, vip="other"))),
        Push(replace(batch, last=9)),
        Push(replace(batch, first=2, last=4, entries=batch.entries.chosen([0, 2]))),
        Push(peer.batch(1, 3)),
        Push(peer.batch(4, 3)),
        columns(peer, ids=[sid(2), sid(3), sid(2)]),
        columns(peer, ids=[sid(2), sid(1), sid(4)]),
        columns(peer, ids=[sid(2), sid(3), b"short"]),
        columns(peer, certified=[0, 1, 0]),
        columns(peer, remaining_s=[3600, 0, 3600]),
        columns(peer, elapsed_s=[0, 86_401, 0]),
        Push(Batch(batch.terms, batch.incarnation, batch.age, 2, 4, Entries((), (), (), (), (), ()))),
    ]
    for push in pushes:
        payload = encode(peer.name, peer.incarnation, push)
        assert not host.core.receive_known(b"x", payload, net.now), push
        assert [number for number in range(2, 20) if host.core.holds("shop", sid(number))] == []
    assert offered(net, host, peer, Push(batch)), "nothing of it was filed"


def test_another_may_not_push_for_it_on_its_own_connection() -> None:
    net, host, peer = world()
    other = Puppet(net, "y", "ams1", vip("y", reach=REACH_EVERYWHERE))
    other.joins(host)
    forged = encode(peer.name, peer.incarnation, Push(peer.batch(2)))
    assert not host.core.receive_known(b"y", forged, net.now)
    host.core.receive(b"y", forged, net.now)
    assert not host.core.holds("shop", sid(2))
    assert dropped(host, net)["connection_name"] == 1


def test_who_sends_too_much_is_dropped_as_on_the_long_way() -> None:
    limits = Limits(origin_sessions_per_s=1.0, origin_sessions_burst=80.0)
    net, host, peer = world(limits)
    assert offered(net, host, peer, Push(peer.batch(2, 10)))
    assert offered(net, host, peer, Push(peer.batch(12, 64)))
    assert not offered(net, host, peer, Push(peer.batch(76, 3))), "there might not be room for a whole batch"
    assert not offered(net, host, peer, Push(peer.batch(79, 64)))
    assert dropped(host, net) == {"origin_quota": 64}
    assert host.core.holds("shop", sid(78))


def test_a_flood_of_messages_is_dropped_as_on_the_long_way() -> None:
    net, host, peer = world(Limits(messages_per_s=0.001, messages_burst=8.0))
    for number in range(2, 30):
        offered(net, host, peer, Push(peer.batch(number)))
    assert dropped(host, net)["flood"] > 15


def test_who_floods_a_vip_pushes_out_its_own() -> None:
    net, host, peer = world(sessions=100)
    host.core.session_created("shop", b"o" * 32, DER, net.now)
    for first in range(2, 1002, 50):
        assert offered(net, host, peer, Push(peer.batch(first, 50)))
    assert host.core.holds("shop", b"o" * 32)
    assert host.core.holds("shop", sid(1001))
    assert not host.core.holds("shop", sid(1))
    assert host.core.stats(net.now)["vips"]["shop"]["entries"] == 100


def test_a_connection_keeps_few_streams_in_mind() -> None:
    names = [f"vip-{number}" for number in range(STREAMS_MAX + 3)]
    net = Net()
    host = net.add("me", "ams1", *(vip("me", name=name) for name in names))
    peer = Puppet(net, "x", "ams1", *(vip("x", name=name) for name in names))
    peer.joins(host)
    peer.answers(host)
    net.run(0.1)
    peer.answers(host)
    for number, terms in enumerate(peer.vips):
        seq = Entries([1], [sid(number)], [DER], [3600], [0], [0])
        peer.says(host, Push(Batch(terms, peer.incarnation, peer.record.age, 1, 1, seq)))
    link = host.core.duties.inbox.connections.get(b"x")
    assert link is not None
    assert len(link.known) == STREAMS_MAX
    for number, terms in list(enumerate(peer.vips))[::-1]:
        seq = Entries([2], [sid(100 + number)], [DER], [3600], [0], [0])
        push = Push(Batch(terms, peer.incarnation, peer.record.age, 2, 2, seq))
        assert offered(net, host, peer, push) == (number >= 3)
        assert host.core.holds(terms.vip, sid(100 + number))


def told(host: Host, net: Net) -> dict[str, Any]:
    """All that a host counts, but for what a table of another kind would count."""
    stats: dict[str, Any] = host.core.stats(net.now)
    return {key: stats[key] for key in ("vips", "gossip", "cache")}


@pytest.mark.parametrize("seed", range(12))
def test_any_run_of_pushes_ends_as_without_the_short_way(seed: int) -> None:
    rng = Random(seed)
    (net, host, peer), (slow_net, slow, _) = world(lifetime_s=1800.0), world(compiled=False, lifetime_s=1800.0)
    at, shorts = 2, 0
    for _ in range(120):
        count = rng.choice((1, 1, 2, 5, 64))
        first = max(1, at + rng.choice((0, 0, 0, 0, 0, 0, 1, -1, -3)))
        batch = peer.batch(first, count)
        entries = batch.entries._replace(
            ids=[sid(seq if rng.random() < 0.99 else rng.randrange(1, at + 9)) for seq in batch.entries.seqs],
            ders=[bytes((seq % 251 + 1,)) * rng.choice((1, 126, 134, 700)) for seq in batch.entries.seqs],
            remaining_s=[rng.choice((3600, 3600, 90, 1 << 32 - 1, 0 if rng.random() < 0.05 else 5))] * count
            if rng.random() < 0.6
            else [rng.choice((3600, 60, 17)) for _ in range(count)],
            elapsed_s=[rng.choice((0, 0, 0, 40, 86_400, 86_401)) for _ in range(count)],
            certified=[int(rng.random() < 0.01) for _ in range(count)],
        )
        payload = encode("x", peer.incarnation, Push(replace(batch, entries=entries), age_us=rng.choice((0, 900))))
        if rng.random() < 0.1:
            place = rng.randrange(len(payload))
            payload = payload[:place] + bytes((rng.randrange(256),)) + payload[place + 1 :]
        shorts += host.core.receive_known(b"x", payload, net.now) or not host.core.receive(b"x", payload, net.now)
        slow.core.receive(b"x", payload, slow_net.now)
        at = max(at, first + count)
    assert told(host, net) == told(slow, slow_net)
    assert sorted(host.core.session_ids("shop")) == sorted(slow.core.session_ids("shop"))
    for session_id in host.core.session_ids("shop"):
        assert host.core.duties.cache.peek("shop", session_id) == slow.core.duties.cache.peek("shop", session_id)
    streams = [each.core.duties.cache.streams.get(peer.batch(1).key) for each in (host, slow)]
    assert list(streams[0].entries.downwards(1 << 60)) == list(streams[1].entries.downwards(1 << 60))
    assert streams[0].seen == streams[1].seen
    assert shorts > 20, "the short way was taken"


class Filer:
    """Gets permits and notes them."""

    def __init__(self) -> None:
        self.permits: list[tuple[Any, ...]] = []

    def permit(self, *permit: Any) -> bool:
        self.permits.append(permit)
        return True


def quarantined(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.session_unusable("shop", sid(77), Verdict.CONSUMED, net.now)


def used_up(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.duties.consumed.add("shop", sid(77), net.now, here="")


def one_withdrawn(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.withdraw_session("shop", sid(1), net.now)


def others_withdrawn(net: Net, host: Host, _peer: Puppet) -> None:
    host.core.withdraw(net.now, vip="blog")


def behind_a_gap(_net: Net, host: Host, peer: Puppet) -> None:
    peer.says(host, Push(peer.batch(9)))


@pytest.mark.parametrize(
    ("change", "permitted"),
    [(quarantined, False), (used_up, False), (one_withdrawn, False), (others_withdrawn, True), (behind_a_gap, False)],
)
def test_more_of_a_stream_is_permitted_only_where_no_push_of_it_has_to_be_looked_at(
    change: Change, permitted: bool
) -> None:
    net, host, peer = world()
    filer = Filer()
    host.core.intake_fast_path.permit_to(filer)
    assert offered(net, host, peer, Push(peer.batch(2, 2)))
    (_, connection, envelope, head, table, stream, next_seq, *_), *more = filer.permits
    assert (connection, next_seq, more) == (b"x", 4, [])
    payload = encode(peer.name, peer.incarnation, Push(peer.batch(4)))
    assert payload.startswith(envelope)
    assert head in payload
    assert table is host.core.duties.cache.vip_cache("shop")
    assert stream == host.core.duties.cache.streams.get(peer.batch(1).key).index
    change(net, host, peer)
    offered(net, host, peer, Push(peer.batch(4)))
    assert len(filer.permits) == 1 + permitted


def test_a_permit_is_for_no_more_than_the_rates_leave() -> None:
    net, host, peer = world(Limits(messages_per_s=0.001, messages_burst=20))
    filer = Filer()
    host.core.intake_fast_path.permit_to(filer)
    for number in range(2, 7):
        assert offered(net, host, peer, Push(peer.batch(number)))
    left = [permit[12] for permit in filer.permits]
    assert left == pytest.approx([left[0] - taken for taken in range(5)], abs=0.01)


def test_what_was_filed_under_a_permit_is_counted_as_if_it_had_been_taken() -> None:
    (net, host, peer), (other_net, other, other_peer) = world(), world()
    filer = Filer()
    host.core.intake_fast_path.permit_to(filer)
    for each_net, each, each_peer in ((net, host, peer), (other_net, other, other_peer)):
        assert offered(each_net, each, each_peer, Push(each_peer.batch(2)))
    token, _, envelope, head, table, stream, next_seq, epoch, *_ = filer.permits[0]
    names, size = b"", 0
    for first in (3, 5):
        payload = encode(peer.name, peer.incarnation, Push(peer.batch(first, 2)))
        assert offered(other_net, other, other_peer, Push(other_peer.batch(first, 2)))
        filed = table.file_push(payload, envelope, head, stream, first, int(net.now - epoch), 86400.0, 3600)
        names, size = names + filed[3], size + len(payload)
    host.core.intake_fast_path.filed([(token, next_seq, names, bytes(8), size, net.now)])
    assert host.core.stats(net.now) == other.core.stats(other_net.now)
    assert offered(net, host, peer, Push(peer.batch(7)))
