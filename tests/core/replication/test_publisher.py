"""Pushing: at once when idle, collected under load, once to each receiver, and never without a bound."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.core.mesh import Outgoing
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import StreamKey
from meshcache.core.values.topology import VipNote
from meshcache.core.wire.codec import Decoder
from meshcache.core.wire.messages import (
    BATCH_BYTES_MAX,
    BATCH_SESSIONS_MAX,
    Fetch,
    FetchReply,
    Leave,
    Pull,
    PullReply,
    Push,
)
from tests.core.net import DER, Host, Net, Puppet, dropped, has, make, mesh, sessions, sid, vip


def alone_with(peers: int, limits: Limits | None = None) -> tuple[Net, Host]:
    """A host with puppets as peers; nothing else happens on its own for half a second."""
    net = Net(limits=limits)
    host = net.add("me", "ams1", vip("me"))
    for at in range(peers):
        Puppet(net, f"x{at}", "ams1", vip(f"x{at}")).joins(host)
    host.core.messages_to_send(net.now)
    return net, host


def pushes(net: Net, host: Host) -> list[Outgoing]:
    return [message for message in host.core.messages_to_send(net.now) if message.sessions]


def batches(found: list[Outgoing]) -> list[Push]:
    messages = [Decoder().decode(message.payload).message for message in found]
    return [message for message in messages if isinstance(message, Push)]


def test_a_session_made_when_idle_goes_at_once_to_each_peer() -> None:
    net, host = alone_with(5)
    make(net, host, 1)
    assert host.core.duties.publisher.due_at <= net.now
    found = pushes(net, host)
    assert sorted(message.address for message in found) == [f"x{at}:7946" for at in range(5)]
    assert [message.sessions for message in found] == [1] * 5
    assert len({message.payload for message in found}) == 1


def test_under_load_sessions_are_collected_for_a_moment() -> None:
    net, host = alone_with(5)
    make(net, host, 1)
    pushes(net, host)
    for number in range(2, 12):
        make(net, host, number)
    assert pushes(net, host) == []
    assert net.now < host.core.duties.publisher.due_at <= net.now + net.limits.flush_s(5)
    net.now = host.core.duties.publisher.due_at
    assert [message.sessions for message in pushes(net, host)] == [10] * 5


def waiting_for(*awaits_ms: int) -> tuple[Net, Host, list[Puppet]]:
    """A host with a puppet for each number, which says that its handshakes wait so long."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    puppets = [Puppet(net, f"x{at}", "ams1", vip(f"x{at}")) for at in range(len(awaits_ms))]
    for puppet, ms in zip(puppets, awaits_ms, strict=True):
        puppet.notes = (VipNote(awaits_ms=ms),)
        puppet.joins(host)
    host.core.messages_to_send(net.now)
    return net, host, puppets


def collected_s(net: Net, host: Host) -> float:
    """For how long the second of two sessions is collected."""
    make(net, host, 1)
    assert sum(message.sessions for message in pushes(net, host)), "the first after a pause goes at once"
    make(net, host, 2)
    until: float = host.core.duties.publisher.due_at
    assert until == host.core.collects_until("shop", net.now)
    return until - net.now


@pytest.mark.parametrize(
    ("awaits_ms", "longest_s"),
    [
        ((25, 25, 25), 0.013),
        ((25, 19, 1000), 0.007),
        ((25, 0, 25), 0.0),
        ((25, 14, 25), 0.0),
        ((1000,), Limits().collect_awaited_s),
        (((1 << 32) - 1,), Limits().collect_awaited_s),
    ],
)
def test_sessions_are_collected_for_as_long_as_every_receiver_lets_clients_wait(
    awaits_ms: tuple[int, ...], longest_s: float
) -> None:
    net, host, _ = waiting_for(*awaits_ms)
    assert collected_s(net, host) == pytest.approx(max(longest_s, net.limits.flush_s(len(awaits_ms))))


def test_a_receiver_that_waits_no_longer_is_heeded_with_the_next_session() -> None:
    net, host, (one, other) = waiting_for(25, 25)
    other.notes, other.revision = (VipNote(),), 2
    other.joins(host)
    host.core.messages_to_send(net.now)
    assert collected_s(net, host) == pytest.approx(net.limits.flush_s(2))
    assert one.notes[0].awaits_ms, "the other one still would"


def test_what_a_peer_asks_for_while_it_is_collected_goes_at_once_and_the_next_ones_soon() -> None:
    net, host, (one, other) = waiting_for(25, 25)
    collected_s(net, host)
    net.now += 0.004
    one.says(host, Pull(1, "shop", sid(2)))
    found = host.core.messages_to_send(net.now)
    pushed = [message.address for message in found if message.sessions and batches([message])]
    assert sorted(pushed) == [one.address, other.address]
    make(net, host, 3)
    assert host.core.duties.publisher.due_at - net.now == pytest.approx(net.limits.flush_s(2))
    net.now += net.limits.asked_for_s + 0.1
    pushes(net, host)
    make(net, host, 4)
    pushes(net, host)
    make(net, host, 5)
    assert host.core.duties.publisher.due_at - net.now == pytest.approx(0.013)


def busy(fetches: bool = True, awaits_ms: int = 15) -> tuple[Net, Host, list[Puppet]]:
    """A host with peers that say so."""
    net, host, puppets = waiting_for(awaits_ms, awaits_ms)
    for puppet in puppets:
        puppet.notes, puppet.revision = (VipNote(awaits_ms=awaits_ms, fetches=fetches),), 2
        puppet.joins(host)
    host.core.messages_to_send(net.now)
    return net, host, puppets


def collects_s(net: Net, host: Host, per_s: float, seconds: float = 0.5) -> float:
    """For how long a session is collected at the end of so many a second."""
    sent_at = net.now
    first = 1000 + sessions(host, net)["made"]
    for number in range(first, first + int(seconds * per_s)):
        net.now += 1 / per_s
        make(net, host, number)
        sent_at = net.now if pushes(net, host) else sent_at
    until: float = host.core.collects_until("shop", net.now)
    return until - sent_at


def test_while_many_are_made_they_are_collected_longer_where_peers_ask_for_what_is_late() -> None:
    assert collects_s(*busy()[:2], per_s=800) == pytest.approx(0.008)
    assert collects_s(*busy()[:2], per_s=200) == pytest.approx(Limits().collect_s)
    assert collects_s(*busy(fetches=False)[:2], per_s=800) == pytest.approx(Limits().collect_s)
    net, host, puppets = busy()
    puppets[1].notes, puppets[1].revision = (VipNote(awaits_ms=15),), 3
    puppets[1].joins(host)
    assert collects_s(net, host, per_s=800) == pytest.approx(Limits().collect_s), "one doesn't ask"


def test_a_burst_after_a_pause_is_not_many() -> None:
    net, host, _ = busy()
    assert collects_s(net, host, per_s=2000, seconds=0.03) == pytest.approx(net.limits.collect_s)


def test_who_asks_ends_it_for_a_while() -> None:
    net, host, (one, _) = busy()
    collects_s(net, host, per_s=800)
    net.now = host.core.collects_until("shop", net.now) - 0.001
    make(net, host, 1)
    one.says(host, Pull(1, "shop", sid(1)))
    pushes(net, host)
    assert collects_s(net, host, per_s=800) == pytest.approx(net.limits.collect_s)
    net.now += net.limits.asked_for_s
    assert collects_s(net, host, per_s=800) == pytest.approx(0.008)


def test_asking_for_what_was_sent_hurries_nobody() -> None:
    net, host, (one,) = waiting_for(25)
    make(net, host, 1)
    pushes(net, host)
    one.says(host, Pull(1, "shop", sid(1)))
    host.core.messages_to_send(net.now)
    make(net, host, 2)
    assert host.core.duties.publisher.due_at - net.now == pytest.approx(0.013)


def test_before_a_peer_is_answered_what_waits_at_the_doors_is_filed(monkeypatch: pytest.MonkeyPatch) -> None:
    net, host, (one,) = waiting_for(25)
    monkeypatch.setattr(host.edge, "settle", lambda: make(net, host, 1))
    one.says(host, Pull(1, "shop", sid(1)))
    (reply,) = one.hears(PullReply)
    assert reply.batch is not None
    assert reply.batch.entries.ids == (sid(1),)


def test_a_full_batch_does_not_wait() -> None:
    net, host = alone_with(5)
    make(net, host, 0)
    pushes(net, host)
    for number in range(1, BATCH_SESSIONS_MAX + 1):
        make(net, host, number)
    assert host.core.duties.publisher.due_at <= net.now
    assert [message.sessions for message in pushes(net, host)] == [BATCH_SESSIONS_MAX] * 5


def test_batches_are_cut_by_sessions_and_by_bytes_and_cover_all_numbers() -> None:
    net, host = alone_with(1)
    for number in range(100):
        host.core.session_created("shop", sid(number), b"d" * 4000, net.now)
    net.now += 1
    found = [push.batch for push in batches(pushes(net, host))]
    assert all(sum(map(len, batch.entries.ders)) <= BATCH_BYTES_MAX for batch in found)
    assert [seq for batch in found for seq in range(batch.first, batch.last + 1)] == list(range(1, 101))


def test_nobody_to_push_to_costs_nothing() -> None:
    net, host = alone_with(0)
    for number in range(100):
        make(net, host, number)
    assert pushes(net, host) == []
    assert sessions(host, net)["pushed"] == 0
    assert sessions(host, net)["made"] == 100


def test_a_session_that_stays_on_its_server_is_in_no_message() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"], reach=REACH_SERVER)
    net.run(3)
    made = make(net, a, 1)
    net.run(10)
    assert has(net, a, made)
    assert not has(net, b, made)
    assert not any(made in payload for _, _, payload, _ in net.sent)


def test_the_outbox_drops_its_oldest_which_peers_see_as_a_gap() -> None:
    net, host = alone_with(1, Limits(outbox_sessions=100))
    for number in range(150):
        make(net, host, number)
    assert dropped(host, net) == {"outbox_full": 50}
    net.now += 1
    found = batches(pushes(net, host))
    assert found[0].batch.first == 51
    assert found[-1].batch.last == 150


def test_a_peer_that_takes_nothing_is_left_alone_for_a_while_and_costs_the_others_nothing() -> None:
    net, host = alone_with(3)
    make(net, host, 1)
    refused = next(message for message in pushes(net, host) if message.address == "x1:7946")
    host.core.refused(refused, net.now)
    net.now += 0.1
    make(net, host, 2)
    assert sorted(message.address for message in pushes(net, host)) == ["x0:7946", "x2:7946"]
    net.now += 0.2
    make(net, host, 3)
    assert len(pushes(net, host)) == 3
    assert dropped(host, net) == {"not_sent": 1, "peer_blocked": 1}


def test_the_age_of_the_oldest_is_told() -> None:
    net, host = alone_with(5)
    make(net, host, 1)
    pushes(net, host)
    make(net, host, 2)
    net.now += 0.0005
    make(net, host, 3)
    net.now = host.core.duties.publisher.due_at
    (push, *_) = batches(pushes(net, host))
    assert push.age_us == int(net.limits.flush_s(5) * 1e6) or abs(push.age_us - net.limits.flush_s(5) * 1e6) < 2


def test_times_travel_as_seconds_elapsed_and_remaining() -> None:
    net, host = alone_with(1)
    host.core.session_created("shop", sid(1), DER, net.now, born_at=net.now - 50, lifetime_s=100.9)
    (push,) = batches(pushes(net, host))
    assert list(push.batch.entries.remaining_s) == [100]
    assert list(push.batch.entries.elapsed_s) == [50]


@pytest.mark.slow
def test_a_colo_gets_n_minus_one_pushes_and_each_other_colo_one_crossing() -> None:
    net = Net()
    for colo in ("ams1", "fra1", "lon1"):
        mesh(net, [f"{colo}-{at}" for at in range(5)], colo, REACH_EVERYWHERE)
    net.run(15)
    net.sent.clear()
    made = make(net, net.hosts["ams1-2"], 1)
    net.run(2)
    carried = [(sender, address[:6]) for sender, address, _, count in net.sent if count]
    crossings = [pair for pair in carried if pair[0][:4] != pair[1][:4]]
    inside = [pair for pair in carried if pair[0][:4] == pair[1][:4]]
    assert sorted(address[:4] for _, address in crossings) == ["fra1", "lon1"]
    assert len(inside) == 4 * 3
    assert len(set(carried)) == len(carried)
    assert all(has(net, host, made) for host in net.hosts.values())


def test_what_waits_for_a_vip_that_goes_goes_nowhere() -> None:
    net, host = alone_with(5)
    make(net, host, 1)
    pushes(net, host)
    make(net, host, 2)
    host.core.remove_vip("shop", net.now)
    net.now += 1
    assert pushes(net, host) == []


def test_at_the_end_everything_that_waits_is_sent_before_the_goodbye() -> None:
    net, host = alone_with(2)
    make(net, host, 1)
    pushes(net, host)
    make(net, host, 2)
    host.core.leave(net.now)
    kinds = [type(Decoder().decode(out.payload).message).__name__ for out in host.core.messages_to_send(net.now)]
    assert kinds == ["Push", "Leave"] * 2


def test_a_push_of_one_session_tells_the_terms_of_today() -> None:
    net, host = alone_with(1)
    make(net, host, 1)
    (before,) = batches(pushes(net, host))
    host.core.set_vip(vip("me", reach=REACH_EVERYWHERE), net.now)
    net.now += 1
    make(net, host, 2)
    (after,) = batches(pushes(net, host))
    assert (before.batch.terms.reach, after.batch.terms.reach) == (REACH_COLO, REACH_EVERYWHERE)
    assert after.batch.age > before.batch.age


def test_what_waits_or_is_queued_doesnt_leave_once_its_vip_exports_no_client_certificates() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", certified=True))
    Puppet(net, "x", "ams1", vip("x", certified=True)).joins(host)
    host.core.messages_to_send(net.now)
    make(net, host, 1)
    assert pushes(net, host)
    for number in range(2, 6):  # collected
        make(net, host, number, client_certificate=number % 2 == 0)
    host.core.set_vip(vip("me"), net.now)
    net.now += 0.1
    assert [list(push.batch.entries.ids) for push in batches(pushes(net, host))] == [[sid(3), sid(5)]]

    host.core.set_vip(vip("me", certified=True), net.now)
    net.now += 1
    make(net, host, 6, client_certificate=True)  # at once: queued by `flush`
    host.core.duties.publisher.flush(net.now)
    host.core.set_vip(vip("me"), net.now)
    assert not any(sid(6) in message.payload for message in host.core.messages_to_send(net.now))


@pytest.mark.parametrize("changed", [{"group": "other"}, {"digest": b"\x09" * 32}])
def test_what_waits_when_its_vip_gets_other_settings_is_for_nobody(changed: dict[str, Any]) -> None:
    """Those who may have what is made from then on aren't those who might have had it."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    Puppet(net, "x", "ams1", vip("x")).joins(host)
    Puppet(net, "y", "ams1", vip("y", **changed)).joins(host)
    host.core.messages_to_send(net.now)
    make(net, host, 1)
    assert pushes(net, host)
    for number in (2, 3, 4):  # collected
        make(net, host, number)
    host.core.set_vip(vip("me", **changed), net.now)
    net.now += 1
    assert pushes(net, host) == []
    make(net, host, 5)
    (message,) = pushes(net, host)
    (push,) = batches([message])
    assert (message.address, list(push.batch.entries.ids)) == ("y:7946", [sid(5)])


def test_what_was_made_for_nobody_is_told_of_though_older_ones_still_waited() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    gone, late = (Puppet(net, name, "ams1", vip(name)) for name in ("x", "y"))
    gone.joins(host)
    host.core.messages_to_send(net.now)
    make(net, host, 1)
    assert pushes(net, host)
    for number in range(2, 6):  # collected
        make(net, host, number)
    gone.says(host, Leave())
    make(net, host, 6)
    net.now += 1
    assert pushes(net, host) == []
    late.joins(host)
    late.says(host, Fetch(1, StreamKey("me", host.core.identity.incarnation, "shop"), ((1, 6),)))
    replies = [reply.batch for reply in late.hears(FetchReply) if reply.batch]
    assert {each for batch in replies for each in batch.entries.ids} == {sid(number) for number in range(1, 7)}
