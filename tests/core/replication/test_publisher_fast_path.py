"""The short way out of what handshakes made ends as the long one does, and is taken only for what is plain."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any

import pytest

from meshcache import hot
from meshcache.core.cache.entry import pack_head
from meshcache.core.cache.vip_cache import VipCache
from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.core.wire.codec import Decoder
from meshcache.core.wire.messages import BATCH_SESSIONS_MAX, Push
from tests.core.net import DER, Host, Net, Puppet, make, sessions, sid, vip

pytestmark = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)


class Door:
    """What waits at a door, filed and written as the compiled one does (`tests/hot` has that one)."""

    def __init__(self, net: Net, host: Host, *numbers: int) -> None:
        self.net, self.cache = net, host.core.duties.cache
        self.rows = [(sid(number), DER, net.now - 0.002, net.now + 100.5, net.now - 7) for number in numbers]

    def push(
        self,
        envelope: bytes,
        head: bytes,
        stream: int,
        first: int,
        now: float,
        ahead_s: float,
        until: float,
        born_after: float,
    ) -> tuple[bytes, bytes] | None:
        assert hot.compiled is not None
        rows, self.rows = self.rows[:BATCH_SESSIONS_MAX], self.rows[BATCH_SESSIONS_MAX:]
        if not rows or rows[0][4] <= born_after:
            self.rows = rows + self.rows
            return None
        table = self.cache.vip_cache("shop")
        for seq, (session_id, der, _, ends_at, born_at) in enumerate(rows, first):
            times = ends_at - self.cache.epoch, born_at - self.cache.epoch
            table.put(session_id, pack_head(stream, seq, *times, False) + der)
        told = [(name, der, made_at, min(ends_at, until), born_at) for name, der, made_at, ends_at, born_at in rows]
        names = b"".join(pack("=Q", table.name_of(session_id)) for session_id, *_ in rows)
        return hot.compiled.push_of(envelope, head, first, now, told), names

    def takes(self, host: Host, now: float) -> ReadyPush | None:
        found: ReadyPush | None = host.core.push_made("shop", self.push, len(self.rows), now, 0.0)
        return found


def world(peers: int = 2, *, compiled: bool = True, **settings: Any) -> tuple[Net, Host]:
    """A host with peers, which has pushed one session a second ago."""
    net = Net()
    if not compiled:
        net.make_vip_cache = VipCache
    host = net.add("me", "ams1", vip("me", **settings))
    for at in range(peers):
        Puppet(net, f"x{at}", "ams1", vip(f"x{at}")).joins(host)
    make(net, host, 1)
    host.core.messages_to_send(net.now)
    net.now += 1
    host.core.messages_to_send(net.now)
    return net, host


def test_what_waits_is_filed_counted_and_written_for_all_who_may_have_it() -> None:
    net, host = world()
    before = host.core.stats(net.now)["gossip"]["sent"]
    ready = Door(net, host, 2, 3, 4).takes(host, net.now)
    assert ready is not None
    assert (ready.sessions, sorted(ready.addresses)) == (3, ["x0:7946", "x1:7946"])
    assert ready.until == net.now + net.limits.flush_s(2) == host.core.collects_until("shop", net.now)
    push = Decoder().decode(ready.payload).message
    assert isinstance(push, Push)
    batch = push.batch
    assert (batch.first, batch.last, list(batch.entries.ids)) == (2, 4, [sid(2), sid(3), sid(4)])
    assert (set(batch.entries.remaining_s), set(batch.entries.elapsed_s), push.age_us) == ({100}, {7}, 1999)
    assert not push.relay
    assert (sessions(host, net)["made"], sessions(host, net)["pushed"]) == (4, 4)
    after = host.core.stats(net.now)["gossip"]["sent"]
    assert after["messages"] - before["messages"] == after["kinds"]["push"] - before["kinds"]["push"] == 2
    assert after["sessions"] - before["sessions"] == 6
    assert after["bytes"] - before["bytes"] == 2 * len(ready.payload)
    assert repr(ready) == "<ReadyPush of 3 sessions to 2>"


def test_it_leaves_the_same_behind_as_the_long_way() -> None:
    states = []
    for short in (True, False):
        net, host = world()
        if short:
            assert Door(net, host, 2, 3).takes(host, net.now) is not None
        else:
            for number in (2, 3):
                make(net, host, number, born_at=net.now - 7, lifetime_s=100.5)
            host.core.messages_to_send(net.now)
        make(net, host, 4)
        duties = host.core.duties
        (served,) = duties.vips
        stream = served.stream
        found = [duties.cache.peek("shop", sid(number)) for number in (2, 3, 4)]
        states.append(
            (
                (served.last_seq, served.flushed_seq, stream.cached, list(stream.entries.between(1, 9))),
                [(each.seq, each.der, each.expires_at, each.born_at) for each in found],
                (duties.publisher.due_at, duties.publisher.waiting(), host.core.next_deadline()),
            )
        )
    assert states[0] == states[1]
    assert states[0][0][:3] == (4, 3, 4)


Change = Callable[[Net, Host], Any]


def withdrawn(net: Net, host: Host) -> None:
    host.core.withdraw(net.now, vip="shop")
    host.core.messages_to_send(net.now)
    net.now += 0.1


def queued(net: Net, host: Host) -> None:
    make(net, host, 9)


def unsent(net: Net, host: Host) -> None:
    Puppet(net, "new", "ams1", vip("new")).joins(host)
    host.core.duties.outbox.send("x0:7946", Push(Puppet(net, "me", "ams1", vip("me")).batch(1)))


def just_sent(net: Net, host: Host) -> None:
    make(net, host, 9)
    host.core.messages_to_send(net.now)


def refused(net: Net, host: Host) -> None:
    make(net, host, 9)
    host.core.refused(next(each for each in host.core.messages_to_send(net.now) if each.sessions), net.now)
    net.now += 0.1


def relayed(net: Net, host: Host) -> None:
    Puppet(net, "far", "fra1", vip("far", "fra1", reach=REACH_EVERYWHERE)).joins(host)
    host.core.messages_to_send(net.now)


def gone(net: Net, host: Host) -> None:
    host.core.remove_vip("shop", net.now)


def nothing(_net: Net, _host: Host) -> None:
    """All is plain."""


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        (withdrawn, {}),
        (queued, {}),
        (unsent, {}),
        (just_sent, {}),
        (refused, {}),
        (relayed, {"reach": REACH_EVERYWHERE}),
        (gone, {}),
        (nothing, {"copies": 1}),
        (nothing, {"peers": 0}),
        (nothing, {"compiled": False}),
    ],
)
def test_whatever_is_not_plain_is_left_to_the_long_way_untouched(change: Change, settings: dict[str, Any]) -> None:
    net, host = world(**settings)
    change(net, host)
    door, before = Door(net, host, 2, 3), host.core.stats(net.now)
    assert door.takes(host, net.now) is None
    assert len(door.rows) == 2
    assert host.core.stats(net.now) == before


def one_withdrawn(net: Net, host: Host) -> None:
    host.core.withdraw_session("shop", sid(1), net.now)
    host.core.messages_to_send(net.now)
    net.now += 0.1


@pytest.mark.parametrize("change", [withdrawn, one_withdrawn])
def test_what_may_have_been_withdrawn_goes_the_long_way_and_what_came_later_doesnt(change: Change) -> None:
    net, host = world()
    change(net, host)
    assert Door(net, host, 2, 3).takes(host, net.now) is None
    net.now += 20
    host.core.messages_to_send(net.now)
    later = Door(net, host, 4).takes(host, net.now)
    assert (later is not None) == (change is withdrawn), "in doubt about single sessions"


def test_a_withdraw_of_another_vip_keeps_nothing_from_the_short_way() -> None:
    net, host = world()
    host.core.withdraw(net.now, vip="blog")
    host.core.messages_to_send(net.now)
    assert Door(net, host, 2, 3).takes(host, net.now) is not None


def test_what_it_leaves_behind_goes_the_long_way_once() -> None:
    net, host = world()
    assert Door(net, host).takes(host, net.now) is None
    assert sessions(host, net)["made"] == 1


def test_a_full_batch_does_not_wait_until_it_is_due() -> None:
    net, host = world()
    just_sent(net, host)
    assert Door(net, host, *range(20, 20 + BATCH_SESSIONS_MAX - 1)).takes(host, net.now) is None
    door = Door(net, host, *range(20, 21 + BATCH_SESSIONS_MAX))
    ready = door.takes(host, net.now)
    assert ready is not None
    assert (ready.sessions, len(door.rows)) == (BATCH_SESSIONS_MAX, 1)
    assert door.takes(host, net.now) is None, "one more is not due"


def test_after_a_change_of_terms_it_is_written_under_the_new_ones() -> None:
    net, host = world()
    host.core.set_vip(vip("me", digest=b"\x05" * 32), net.now)
    assert Door(net, host, 2).takes(host, net.now) is None, "nobody may have it"
    for at in range(2):
        puppet = Puppet(net, f"x{at}", "ams1", vip(f"x{at}", digest=b"\x05" * 32))
        puppet.revision = 2
        puppet.joins(host)
    host.core.messages_to_send(net.now)
    ready = Door(net, host, 2).takes(host, net.now)
    assert ready is not None
    push = Decoder().decode(ready.payload).message
    assert isinstance(push, Push)
    assert (push.batch.terms.digest, push.batch.age[1]) == (b"\x05" * 32, host.core.duties.vips.record.revision)


def test_a_full_vip_makes_room_for_it() -> None:
    net, host = world()
    table = host.core.duties.cache.vip_cache("shop")
    table.sessions_max = 2
    assert Door(net, host, 2, 3, 4).takes(host, net.now) is not None
    assert len(table) == 2
    assert [number for number in range(1, 5) if host.core.holds("shop", sid(number))] == [3, 4]


def test_a_tier_hears_of_it() -> None:
    net, host = world()
    heard: list[bytes] = []
    host.core.duties.cache.call_when_filed(lambda _stream, ids: heard.extend(ids))
    assert Door(net, host, 2, 3).takes(host, net.now) is not None
    assert heard == [sid(2), sid(3)]
