"""Tests of `core.replication.consuming`: who is told what was used up, who believes it, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach
from meshcache.core.replication.consuming import UNTOLD_MAX
from meshcache.core.values.limits import Limits
from meshcache.core.values.session_id import Claim, life_of, node_of
from meshcache.core.values.topology import LocalVip
from meshcache.core.wire.messages import Push
from meshcache.core.wire.single_use import CONSUMED_IDS_MAX, Consumed
from tests.core.net import Host, Net, Puppet, dropped, has, make, mesh, sessions, sid, vip


def use(net: Net, host: Host, session_id: bytes, name: str = "shop") -> None:
    """As a handshake that ended there does."""
    host.core.consuming.consumed(name, session_id, net.now)


def told(net: Net, sender: str = "") -> list[tuple[str, str]]:
    """Who has told whom, as often as they did."""
    return [(name, to) for name, to, payload, _ in net.sent if payload[:3] == b"\x84\x18\x19" and sender in ("", name)]


def colos(net: Net, reach: Any = REACH_EVERYWHERE) -> dict[str, Host]:
    """Three hosts in each of two colos."""
    mesh(net, ["a1", "a2", "a3"], "ams1", reach)
    for name in ("f1", "f2", "f3"):
        net.add(name, "fra1", vip(name, "fra1", reach=reach), seeds=("a1:7946",))
    net.run(12)
    return net.hosts


def test_every_holder_forgets_what_was_used_up_on_one() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b", "c"])
    net.run(3)
    made = make(net, hosts[0], 1)
    net.run(1)
    use(net, hosts[1], made)
    net.run(0.1)
    assert not any(has(net, host, made) for host in hosts)
    counted = [(sessions(host, net)["consumed"], sessions(host, net)["consumed_elsewhere"]) for host in hosts]
    assert counted == [(0, 1), (1, 0), (0, 1)]
    assert not any(host.core.withdraws for host in hosts)


def test_in_another_colo_one_is_told_and_tells_the_others_once() -> None:
    net = Net()
    hosts = colos(net)
    made = make(net, hosts["a1"], 1)
    net.run(2)
    assert all(has(net, host, made) for host in hosts.values())
    use(net, hosts["a2"], made)
    net.run(1)
    assert not any(has(net, host, made) for host in hosts.values())
    ways = told(net)
    assert len(ways) == len(set(ways)) == 5, "two here, one relay, and that one two"
    assert sum(sessions(host, net)["consumed_elsewhere"] for host in hosts.values()) == 5


@pytest.mark.parametrize("push", [True, False])
def test_with_few_copies_all_are_told_that_may_have_one(push: bool) -> None:
    net = Net()
    hosts = {name: net.add(name, "ams1", few(name, "ams1", push)) for name in ("a1", "a2", "a3")}
    hosts |= {name: net.add(name, "fra1", few(name, "fra1", push), seeds=("a1:7946",)) for name in ("f1", "f2")}
    for name in ("a2", "a3"):
        hosts[name].core.candidate("a1:7946", "seed", net.now)
    net.run(12)
    made = make(net, hosts["a1"], 1)
    net.run(2)
    use(net, hosts["f1"], made)  # which has fetched it
    net.run(1)
    assert not any(has(net, host, made) for host in hosts.values())
    assert all(host.core.consuming.ids.used_here("shop", made) is not None for host in hosts.values())


def few(name: str, colo: str, push: bool) -> LocalVip:
    return vip(name, colo, reach=REACH_EVERYWHERE, copies=1, push=push)


def test_what_stays_on_its_server_is_told_to_nobody() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"], reach=REACH_SERVER)
    net.run(3)
    use(net, hosts[0], make(net, hosts[0], 1))
    net.run(1)
    assert told(net) == []
    assert sessions(hosts[0], net)["consumed"] == 1


def test_under_load_one_message_tells_of_many_and_nothing_fills_up() -> None:
    net = Net(limits=Limits(consumed_max=1000))
    hosts = mesh(net, ["a", "b"])
    net.run(3)
    for number in range(1, 3001):
        use(net, hosts[0], make(net, hosts[0], number))
        if number % 3 == 0:
            net.run(0.003)
    net.run(1)
    assert len(told(net, "a")) <= 1001
    assert not any(host.core.withdraws for host in hosts)
    assert all(len(host.core.consuming.ids) <= 1000 for host in hosts)


def test_more_than_fit_go_into_several_messages() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    net.run(3)
    ids = [make(net, hosts[0], number) for number in range(1, CONSUMED_IDS_MAX + 11)]
    net.run(1)
    for each in ids:
        use(net, hosts[0], each)
    net.run(1)
    assert len(told(net, "a")) == 2
    assert not any(has(net, hosts[1], each) for each in ids)


def test_it_is_told_before_a_node_leaves() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    net.run(3)
    first, second = make(net, hosts[0], 1), make(net, hosts[0], 2)
    net.run(1)
    use(net, hosts[0], first)
    hosts[0].core.messages_to_send(net.now)
    use(net, hosts[0], second)
    hosts[0].core.leave(net.now)
    assert any(message.payload[:3] == b"\x84\x18\x19" for message in hosts[0].core.messages_to_send(net.now))


def test_a_push_that_comes_after_the_word_brings_nothing_back() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "p", "ams1", vip("p"))
    peer.joins(host)
    peer.says(host, Consumed("shop", (sid(1),)))
    peer.says(host, Push(peer.batch(1, 2)))
    assert (has(net, host, sid(1)), has(net, host, sid(2))) == (False, True)
    assert sessions(host, net)["refused"] == {"consumed": 1}
    peer.says(host, Consumed("shop", (sid(4),)))
    peer.says(host, Push(peer.batch(3, 2)))  # the short way, where there is one
    assert (has(net, host, sid(3)), has(net, host, sid(4))) == (True, False)
    assert sessions(host, net)["refused"] == {"consumed": 2}
    assert sessions(host, net)["received"] == 2


def test_two_that_use_one_up_at_a_time_both_count_it() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b", "c"])
    net.run(3)
    made = make(net, hosts[0], 1)
    net.run(1)
    use(net, hosts[0], made)
    use(net, hosts[1], made)
    use(net, hosts[1], made)
    net.run(1)
    assert [sessions(host, net)["consumed_twice"] for host in hosts] == [1, 2, 0]


def test_it_counts_on_the_vip_whose_session_it_was() -> None:
    net = Net()
    for name in ("a", "b"):
        net.add(name, "ams1", vip(name, name="first", group="both"), vip(name, name="shop", group="both"))
    a, b = net.hosts["a"], net.hosts["b"]
    b.core.candidate("a:7946", "seed", net.now)
    net.run(3)
    made = make(net, a, 1)
    net.run(1)
    use(net, b, made)
    net.run(1)
    use(net, a, made)
    net.run(1)
    assert [sessions(a, net, name)["consumed_elsewhere"] for name in ("first", "shop")] == [0, 1]
    assert [sessions(b, net, name)["consumed_twice"] for name in ("first", "shop")] == [0, 1]


@pytest.mark.parametrize("group", ["other", "unheard-of"])
def test_a_peer_is_believed_of_its_own_groups_only(group: str) -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"), vip("a", name="other"))
    peer = Puppet(net, "p", "ams1", vip("p"))
    peer.joins(host)
    made = make(net, host, 1, "other")
    peer.says(host, Consumed(group, (made,)))
    assert has(net, host, made, "other")
    assert dropped(host, net)["consumed_refused"] == 1
    assert host.core.consuming.ids.used_here(group, made) is None


def test_a_peer_that_cant_have_had_a_session_uses_none_up() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", reach=REACH_SERVER))
    peer = Puppet(net, "p", "ams1", vip("p"))
    peer.joins(host)
    made = make(net, host, 1)
    peer.says(host, Consumed("shop", (made,)))
    assert has(net, host, made)
    assert dropped(host, net)["consumed_refused"] == 1


@pytest.mark.parametrize(
    ("maker", "reach", "refused"),
    [
        ("a", REACH_SERVER, True),
        ("a", REACH_COLO, True),
        ("a", REACH_EVERYWHERE, False),
        ("m", REACH_COLO, True),
        ("m", REACH_EVERYWHERE, False),
        ("p", REACH_COLO, False),
        ("gone", REACH_COLO, False),
    ],
)
def test_what_is_in_a_tier_only_is_held_to_who_its_id_says_made_it(
    maker: str, reach: Reach, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", reach=reach))
    other = Puppet(net, "m", "ams1", vip("m", reach=reach))
    far = Puppet(net, "p", "fra1", vip("p", "fra1", reach=REACH_EVERYWHERE))
    for puppet in (other, far):
        puppet.joins(host)
    host.core.tiering.begin(everything=True)
    monkeypatch.setattr(host.edge, "claim_of", lambda each: Claim(each, node_of(maker), life_of(maker, 1), 0.0))
    far.says(host, Consumed("shop", (sid(1),)))
    assert (host.core.consuming.ids.used_here("shop", sid(1)) is None) == refused
    assert [gone for _, gone in host.core.tiering.take_forgotten()] == ([] if refused else [sid(1)])
    assert dropped(host, net).get("consumed_refused", 0) == refused


def test_a_flood_is_cut_at_what_an_origin_may_push() -> None:
    net = Net(limits=Limits(origin_sessions_per_s=100, origin_sessions_burst=300))
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "p", "ams1", vip("p"))
    peer.joins(host)
    for first in (1, 1001):
        peer.says(host, Consumed("shop", tuple(map(sid, range(first, first + 256)))))
    assert dropped(host, net)["origin_quota"] == 256
    assert len(host.core.consuming.ids) == 256


def test_a_member_of_another_group_keeps_no_session_out() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"), vip("a", name="other"))
    peer = Puppet(net, "p", "ams1", vip("p"))
    peer.joins(host)
    hostile = Puppet(net, "q", "ams1", vip("q", name="other"))
    hostile.joins(host)
    hostile.says(host, Consumed("other", (sid(1), sid(3))))
    peer.says(host, Push(peer.batch(1, 2)))
    peer.says(host, Push(peer.batch(3, 1)))  # the short way, where there is one
    assert [has(net, host, sid(number)) for number in (1, 2, 3)] == [True] * 3
    assert sessions(host, net)["refused"] == {}


def test_a_relay_lends_nobody_of_another_colo_its_right() -> None:
    net = Net()
    hosts = [net.add("f1", "fra1", vip("f1", "fra1"))]
    hosts += [net.add(name, "fra1", vip(name, "fra1"), seeds=("f1:7946",)) for name in ("f2", "f3")]
    hostile = Puppet(net, "p", "ams1", vip("p", "ams1", reach=REACH_EVERYWHERE))
    net.run(3)
    for host in hosts:
        hostile.joins(host)
    made = make(net, hosts[1], 1)  # for its colo
    net.run(1)
    assert all(has(net, host, made) for host in hosts)
    hostile.says(hosts[0], Consumed("shop", (made,), relay=True))
    net.run(1)
    assert all(has(net, host, made) for host in hosts)
    assert told(net, "f1") == [], "there is nothing left to pass on"


def test_what_a_relay_passes_on_is_held_to_the_one_who_told_it() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    relay = Puppet(net, "r", "ams1", vip("r"))
    relay.joins(host)
    far = Puppet(net, "p", "fra1", vip("p", "fra1", reach=REACH_EVERYWHERE))
    far.joins(host)
    made = make(net, host, 1)  # for its colo
    for teller in ("p", "nobody"):
        relay.says(host, Consumed("shop", (made,), teller=teller))
    assert has(net, host, made)
    assert dropped(host, net)["consumed_refused"] == 2
    relay.says(host, Consumed("shop", (made,)))
    assert not has(net, host, made)


def test_what_is_used_up_in_another_colo_is_over_also_where_its_teller_is_known_by_hearsay_only() -> None:
    net = Net()
    home = mesh(net, ["a0", "a1", "a2"], reach=REACH_EVERYWHERE)
    away = mesh(net, [f"z{at}" for at in range(8)], "fra1", REACH_EVERYWHERE)
    net.run(12)
    linked = {host.name: {peer["name"] for peer in host.core.peers(net.now)} for host in home}
    teller = next(host for host in away if any(host.name not in names for names in linked.values()))
    made = make(net, home[0], 1)
    net.run(0.5)
    assert all(has(net, host, made) for host in (*home, *away))
    teller.core.duties.consuming.consumed("shop", made, net.now)
    net.run(0.5)
    assert not any(has(net, host, made) for host in (*home, *away))
    assert all("consumed_refused" not in dropped(host, net) for host in home)


def at_one_address(net: Net, colo: str) -> tuple[Host, Puppet, Puppet]:
    """A host, and two peers one of which has the address that the other had; the host can't tell which yet."""
    host = net.add("a", "ams1", vip("a", reach=REACH_EVERYWHERE))
    one, other = (Puppet(net, name, colo, vip(name, colo, reach=REACH_EVERYWHERE)) for name in ("one", "other"))
    other.address = one.address
    one.joins(host)
    other.joins(host)
    return host, one, other


@pytest.mark.parametrize("colo", ["ams1", "fra1"])
def test_who_is_found_where_it_is_hears_what_was_used_up_until_then(colo: str) -> None:
    net = Net()
    host, one, _ = at_one_address(net, colo)
    for number in range(1, 4):
        use(net, host, make(net, host, number))
        net.run(0.1)
    assert one.hears(Consumed) == []
    one.answers(host)
    assert one.hears(Consumed) == [Consumed("shop", (sid(1), sid(2), sid(3)), relay=colo == "fra1")]
    net.run(1)
    one.answers(host)
    use(net, host, make(net, host, 4))
    net.run(1)
    assert len(one.hears(Consumed)) == 2, "each is told once"


def test_what_is_passed_on_waits_for_who_is_found_too() -> None:
    net = Net()
    host, one, _ = at_one_address(net, "ams1")
    far = Puppet(net, "far", "fra1", vip("far", "fra1", reach=REACH_EVERYWHERE))
    far.joins(host)
    far.says(host, Consumed("shop", (sid(1),), relay=True))
    assert one.hears(Consumed) == []
    one.answers(host)
    assert one.hears(Consumed) == [Consumed("shop", (sid(1),), teller="far")]


def test_what_waits_to_be_told_is_bounded_and_goes_with_who_is_lost() -> None:
    net = Net()
    host, one, _ = at_one_address(net, "ams1")
    third, fourth = (Puppet(net, name, "ams1", vip(name)) for name in ("third", "fourth"))
    fourth.address = third.address
    numbers = iter(range(1, 3 * UNTOLD_MAX))

    def told_when_found(puppet: Puppet) -> int:
        for _ in range(UNTOLD_MAX + 10):
            use(net, host, sid(next(numbers)))
        net.run(0.1)
        puppet.answers(host)
        told_ids = [each for message in puppet.hears(Consumed) for each in message.ids]
        assert len(set(told_ids)) == len(told_ids)
        return len(told_ids)

    assert told_when_found(one) == UNTOLD_MAX // 2, "for each of the two as many"
    assert dropped(host, net)["consumed_untold"] == UNTOLD_MAX + 20, "and nobody is left to wonder"
    one.lives(host, 60)
    assert [peer.name for peer in host.core.duties.members.usable()] == ["one"]
    for puppet in (third, fourth):
        puppet.joins(host)
    assert told_when_found(third) == UNTOLD_MAX // 2, "what waited for the other one is gone"
