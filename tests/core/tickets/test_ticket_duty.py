"""Ticket keys across a mesh: one maker, known to all before they encrypt, within their border, gone at their end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach
from meshcache.core.policy.ring_id import ring_id
from meshcache.core.values.events import TicketKeyInUse, TicketKeyMade, TicketKeysWiped
from meshcache.core.values.limits import Limits
from meshcache.core.values.ticket_key import TicketKey
from meshcache.core.wire.codec import Decoder
from meshcache.core.wire.messages import Digest, Message, Withdraw
from meshcache.core.wire.ticket_messages import (
    KEYS_MAX,
    HeldKey,
    RingStatus,
    TicketKeys,
    TicketStatus,
    ToldKey,
)
from tests.core.net import Host, Net, Puppet, dropped, make, mesh, vip

ROTATE_S = 600.0
LIMITS = Limits()
decode = Decoder().decode


def message(payload: bytes) -> Message:
    return decode(payload).message


def keys(host: Host, net: Net, name: str = "shop") -> tuple[TicketKey, ...]:
    found = host.core.tickets.of_vip(name, net.now)
    return () if found is None else found.opening


def encrypting(host: Host, net: Net, name: str = "shop") -> bytes:
    """The name of the key that a host encrypts with; nothing when it gives no tickets."""
    found = host.core.tickets.of_vip(name, net.now)
    return b"" if found is None or found.encrypting is None else found.encrypting.name


def generation(host: Host, net: Net, name: str = "shop") -> int:
    found = host.core.tickets.of_vip(name, net.now)
    return 0 if found is None or found.encrypting is None else found.encrypting.generation


def agreed(net: Net, hosts: list[Host], of: int = 0) -> bool:
    """Whether all encrypt with one key, of this generation if one is given."""
    names = {encrypting(host, net) for host in hosts}
    return len(names) == 1 and names != {b""} and of in (0, generation(hosts[0], net))


def opens_everywhere(net: Net, hosts: list[Host]) -> bool:
    """Whether whatever anybody encrypts with now opens on all."""
    used = {name for host in hosts if (name := encrypting(host, net))}
    return all(used <= {key.name for key in keys(host, net)} for host in hosts)


def started(net: Net, *names: str, **settings: Any) -> list[Host]:
    hosts = mesh(net, list(names), rotate_s=ROTATE_S, **settings)
    net.until(lambda: agreed(net, hosts), within=20)
    return hosts


def secrets_to(net: Net, *addresses: str) -> list[TicketKeys]:
    found = [message(payload) for _, address, payload, _ in net.sent if address in addresses]
    return [each for each in found if isinstance(each, TicketKeys)]


class TestMaking:
    def test_one_makes_the_first_key_and_it_encrypts_when_all_have_it(self) -> None:
        net = Net()
        hosts = mesh(net, ["a", "b", "c"], rotate_s=ROTATE_S)
        while not agreed(net, hosts):
            net.run(0.001)
            assert opens_everywhere(net, hosts)
            assert net.now < 1020
        assert sum(len(host.happened(TicketKeyMade)) for host in hosts) == 1

    def test_a_node_alone_has_a_key_when_it_has_stopped_looking_for_others(self) -> None:
        net = Net(limits=Limits(snapshot_wait_s=2.5))  # between two of its statuses
        host = net.add("a", "ams1", vip("a", rotate_s=ROTATE_S))
        net.until(lambda: generation(host, net) == 1, within=2.6)

    def test_the_next_key_comes_when_the_time_of_one_is_over_and_the_old_one_still_opens(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", "c")
        old = encrypting(hosts[0], net)
        net.run(ROTATE_S - 1)
        assert encrypting(hosts[0], net) == old
        net.until(lambda: agreed(net, hosts, of=2), within=5)
        assert all(old in {key.name for key in keys(host, net)} for host in hosts)
        assert sum(len(host.happened(TicketKeyMade)) for host in hosts) == 2

    def test_a_key_is_wiped_when_its_last_ticket_is_over(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", lifetime_s=100.0)
        old = keys(hosts[0], net)[0]
        net.run(ROTATE_S + LIMITS.ticket_overrun_s + 100 - 5)
        assert not old.wiped
        net.run(10)
        assert old.wiped
        assert [event.why for event in hosts[0].happened(TicketKeysWiped)] == ["over"]
        assert old.name not in {key.name for host in hosts for key in keys(host, net)}

    def test_the_second_in_line_makes_it_where_the_first_is_dead(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", "c")
        (shown,) = hosts[0].core.tickets.show(net.now)
        net.run(ROTATE_S - 1)
        net.stop(shown["next_by"])
        rest = [host for host in hosts if host.up]
        net.until(lambda: agreed(net, rest, of=2), within=20)
        made = [event for host in rest for event in host.happened(TicketKeyMade) if event.generation == 2]
        assert len(made) == 1

    def test_an_operator_s_rotation_is_everywhere_at_once_and_not_twice_in_a_breath(self) -> None:
        net = Net()
        hosts = started(net, "a", "b")
        net.run(20)
        assert hosts[1].core.tickets.rotate("shop", net.now) == 2
        net.until(lambda: agreed(net, hosts, of=2), within=1)
        with pytest.raises(ValueError, match="only just now"):
            hosts[0].core.tickets.rotate("shop", net.now)
        with pytest.raises(ValueError, match="no tickets"):
            hosts[0].core.tickets.rotate("other", net.now)

    def test_after_a_stall_a_node_hears_what_others_made_before_it_makes_one_itself(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", "c")
        (shown,) = hosts[0].core.tickets.show(net.now)
        late = net.hosts[shown["next_by"]]
        net.run(ROTATE_S - 4)
        late.stalled_until = net.now + 8
        net.run(30)
        assert agreed(net, hosts, of=2)
        made = [event for host in hosts for event in host.happened(TicketKeyMade) if event.generation == 2]
        assert len(made) == 1
        assert made[0] not in late.happened(TicketKeyMade)

    def test_a_node_that_leaves_forgets_its_keys(self) -> None:
        net = Net()
        hosts = started(net, "a", "b")
        held = keys(hosts[0], net)
        hosts[0].core.leave(net.now)
        assert all(key.wiped for key in held)
        assert not any(key.wiped for key in keys(hosts[1], net))


class TestSpreading:
    def test_a_key_waits_for_who_lives_and_lacks_it_but_not_for_ever(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", "c")
        net.run(20)
        deaf = hosts[2]
        net.lose = lambda _sender, to, payload: to == deaf.name and isinstance(message(payload), TicketKeys)
        hosts[0].core.tickets.rotate("shop", net.now)
        net.run(LIMITS.ticket_spread_s - 2)
        assert [generation(host, net) for host in hosts] == [1, 1, 1]
        net.until(lambda: generation(hosts[0], net) == 2, within=3)
        assert hosts[0].happened(TicketKeyInUse)[-1].without == "c"
        net.lose = lambda *_: False
        net.until(lambda: agreed(net, hosts, of=2), within=LIMITS.ticket_status_s + 1)

    def test_the_dead_are_not_waited_for(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", "c")
        net.stop("c")
        net.run(20)
        hosts[0].core.tickets.rotate("shop", net.now)
        net.until(lambda: agreed(net, hosts[:2], of=2), within=1)

    def test_another_colo_has_it_when_all_of_it_have(self) -> None:
        net = Net()
        near = mesh(net, ["a", "b"], rotate_s=ROTATE_S, reach=REACH_EVERYWHERE)
        far = mesh(net, ["x", "y", "z"], "fra1", rotate_s=ROTATE_S, reach=REACH_EVERYWHERE)
        net.until(lambda: agreed(net, near + far), within=30)
        net.run(20)
        net.lose = lambda _sender, to, payload: to == "z" and isinstance(message(payload), TicketKeys)
        near[0].core.tickets.rotate("shop", net.now)
        net.run(20)
        assert {generation(host, net) for host in near + far} == {1}
        net.lose = lambda *_: False
        net.until(lambda: agreed(net, near + far, of=2), within=15)

    def test_half_of_all_messages_lost_it_still_gets_to_all(self) -> None:
        net = Net(seed=5)
        hosts = started(net, "a", "b", "c")
        net.run(20)
        net.lose = lambda *_: net.rng.random() < 0.5
        hosts[0].core.tickets.rotate("shop", net.now)
        for _ in range(300):
            net.run(0.1)
            assert opens_everywhere(net, hosts)
        assert agreed(net, hosts, of=2)

    def test_a_joiner_has_the_ring_before_it_is_ready(self) -> None:
        net = Net()
        hosts = started(net, "a", "b")
        late = net.add("late", "ams1", vip("late", rotate_s=ROTATE_S), seeds=("a:7946",))
        net.until(lambda: not late.core.duties.joining.joining, within=10)
        assert late.core.tickets.ready()
        assert encrypting(late, net) == encrypting(hosts[0], net)
        assert not late.happened(TicketKeyMade)

    def test_a_node_isn_t_ready_while_others_have_keys_and_it_has_none(self) -> None:
        net = Net()
        hosts = started(net, "a", "b")
        net.lose = lambda _sender, to, payload: to == "late" and isinstance(message(payload), TicketKeys)
        late = net.add("late", "ams1", vip("late", rotate_s=ROTATE_S), seeds=("a:7946",))
        net.run(2)
        assert not late.core.tickets.ready()
        net.lose = lambda *_: False
        net.until(late.core.tickets.ready, within=3)
        assert encrypting(late, net) == encrypting(hosts[0], net)

    def test_a_split_mesh_goes_on_and_both_sides_accept_both_when_it_heals(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", "c", "d")
        left, right = hosts[:2], hosts[2:]
        sides = {host.name: host in left for host in hosts}
        net.lose = lambda sender, to, _payload: sides[sender] != sides[to]
        net.run(ROTATE_S + 60)
        assert agreed(net, left, of=2)
        assert agreed(net, right, of=2)
        assert encrypting(left[0], net) != encrypting(right[0], net)
        tickets_of = {encrypting(left[0], net), encrypting(right[0], net)}
        net.lose = lambda *_: False
        net.until(lambda: agreed(net, hosts, of=2), within=20)
        assert all(tickets_of <= {key.name for key in keys(host, net)} for host in hosts)


class TestMoreKeysThanARingKeeps:
    @pytest.mark.slow
    def test_nodes_whose_files_differ_fill_a_ring_and_still_open_all_that_is_encrypted(self) -> None:
        net = Net()
        hosts = [
            net.add("a", "ams1", vip("a", rotate_s=60.0, lifetime_s=240.0)),
            net.add("b", "ams1", vip("b", rotate_s=21600.0, lifetime_s=86400.0), seeds=("a:7946",)),
        ]
        full = 0
        for _ in range(110):
            net.run(60)
            net.sent.clear()
            assert opens_everywhere(net, hosts)
            assert all(encrypting(host, net) for host in hosts)
            full += len(keys(hosts[0], net)) == KEYS_MAX
        assert full > 15
        assert {key.name for key in keys(hosts[0], net)} == {key.name for key in keys(hosts[1], net)}
        assert dropped(hosts[0], net)["ticket_keys_full"] > 0
        assert dropped(hosts[0], net).get("ticket_key_old", 0) == 0
        assert "only 48 are kept" in {event.why for event in hosts[0].happened(TicketKeysWiped)}

    def test_only_what_goes_for_want_of_room_is_counted_so(self) -> None:
        net, host, other, ring = TestBadMembers().stage()
        host.core.withdraw(net.now, vip="shop")
        other.lives(host, 4)
        young = [told(number, age_ms=1_000) for number in range(2, KEYS_MAX + 2)]
        other.says(host, TicketKeys(ring, tuple(young)))
        assert len(keys(host, net)) == KEYS_MAX
        other.says(host, TicketKeys(ring, (told(2, age_ms=5_000), told(KEYS_MAX + 2))))  # one was withdrawn
        assert len(keys(host, net)) == KEYS_MAX
        assert "ticket_keys_full" not in dropped(host, net)
        other.says(host, TicketKeys(ring, (told(KEYS_MAX + 3),)))
        assert dropped(host, net)["ticket_keys_full"] == 1

    def test_an_operator_who_rotates_too_often_ends_old_keys_and_no_new_one(self) -> None:
        net = Net()
        hosts = started(net, "a", "b", "c")
        for turn in range(2, KEYS_MAX + 6):
            net.run(11)
            assert hosts[turn % 3].core.tickets.rotate("shop", net.now) == turn
            net.until(lambda turn=turn: agreed(net, hosts, of=turn), within=2)  # type: ignore[misc]
        assert all(len(keys(host, net)) == KEYS_MAX for host in hosts)


class TestBorders:
    def test_keys_stay_in_the_colo_and_with_who_takes_part(self) -> None:
        net = Net()
        hosts = started(net, "a", "b")
        net.add("sessions", "ams1", vip("sessions"), seeds=("a:7946",))
        net.add("island", "ams1", vip("island", digest=b"\x02" * 32, rotate_s=ROTATE_S), seeds=("a:7946",))
        net.add("far", "fra1", vip("far", "fra1", rotate_s=ROTATE_S), seeds=("a:7946",))
        net.add("wide", "ams1", vip("wide", reach=REACH_EVERYWHERE, rotate_s=ROTATE_S), seeds=("a:7946",))
        net.run(30)
        hosts[0].core.tickets.rotate("shop", net.now)
        net.run(30)
        assert secrets_to(net, "a:7946", "b:7946")
        assert not secrets_to(net, "sessions:7946", "island:7946", "far:7946", "wide:7946")
        held = {key.name for host in hosts for key in keys(host, net)}
        for name in ("island", "far", "wide"):
            assert {key.name for key in keys(net.hosts[name], net)}.isdisjoint(held)
            assert encrypting(net.hosts[name], net)

    def test_nothing_of_a_server_s_own_ring_is_ever_said(self) -> None:
        net = Net()
        hosts = mesh(net, ["a", "b"], rotate_s=ROTATE_S, reach=REACH_SERVER)
        net.run(30)
        assert all(generation(host, net) == 1 for host in hosts)
        assert encrypting(hosts[0], net) != encrypting(hosts[1], net)
        assert not [1 for _, _, payload, _ in net.sent if isinstance(message(payload), TicketKeys | TicketStatus)]

    def test_a_node_of_version_0_1_is_sent_nothing_that_it_doesn_t_know(self) -> None:
        net = Net()
        host = net.add("h", "ams1", vip("h", rotate_s=ROTATE_S))
        old = Puppet(net, "old", "ams1", vip("old"))
        old.notes = ()
        old.joins(host, joining=True)
        old.lives(host, 8)
        assert generation(host, net) == 1
        assert not old.hears(TicketKeys)
        assert not old.hears(TicketStatus)

    def test_keys_that_wait_to_be_sent_when_the_terms_change_stay_here(self) -> None:
        net = Net()
        hosts = started(net, "a", "b")
        net.run(20)
        before = len(secrets_to(net, "b:7946"))
        hosts[0].core.tickets.rotate("shop", net.now)
        hosts[0].core.set_vip(vip("a", reach=REACH_SERVER, rotate_s=ROTATE_S), net.now)
        net.run(5)
        assert len(secrets_to(net, "b:7946")) == before

    @pytest.mark.parametrize("reach", (REACH_COLO, Reach.parse(["ams1", "lon1"]), REACH_SERVER))
    def test_a_key_for_another_colo_is_neither_given_nor_taken(self, reach: Reach) -> None:
        net = Net()
        host = net.add("h", "ams1", vip("h", reach=reach, rotate_s=ROTATE_S))
        far = Puppet(net, "far", "fra1", vip("far", "fra1", reach=reach, rotate_s=ROTATE_S))
        far.joins(host, joining=True)
        ring = ring_id(vip("h", reach=reach).terms)
        far.says(host, TicketKeys(ring, (told(),)))
        far.says(host, TicketStatus((RingStatus(ring, ()),)))
        net.run(8)
        assert dropped(host, net)["ticket_key_foreign"] == 1
        assert len(keys(host, net)) == 1
        assert not far.hears(TicketKeys)


def told(number: int = 1, **facts: Any) -> ToldKey:
    secret = bytes((number * 7 + at * 11) % 256 for at in range(32))
    values: dict[str, Any] = {"generation": number, "secret": secret, "age_ms": 0, "rotate_s": 600, "lifetime_s": 3600}
    return ToldKey(**(values | facts))


class TestBadMembers:
    def stage(self) -> tuple[Net, Host, Puppet, bytes]:
        net = Net()
        host = net.add("h", "ams1", vip("h", rotate_s=ROTATE_S), vip("h", name="pay", rotate_s=ROTATE_S))
        bad = Puppet(net, "bad", "ams1", vip("bad", rotate_s=ROTATE_S), vip("bad", name="pay", rotate_s=ROTATE_S))
        bad.joins(host, joining=True)
        bad.lives(host, 12)
        for name in ("shop", "pay"):  # honest, so far
            (key,), ring = keys(host, net, name), ring_id(vip("h", name=name).terms)
            bad.says(host, TicketStatus((RingStatus(ring, (HeldKey(1, key.name),)),)))
        net.run(0)
        assert generation(host, net) == generation(host, net, "pay") == 1
        return net, host, bad, ring_id(vip("h").terms)

    @pytest.mark.parametrize(
        ("key", "why"),
        (
            (told(2, secret=bytes(32)), "ticket_key_weak"),
            (told(2, secret=b"an old friend of the horse's 123"), "ticket_key_weak"),
            (told(2, age_ms=(600 + 300 + 3600 + 100) * 1000), "ticket_key_old"),
            (told(2, generation=1 << 53), "ticket_key_jump"),
            (told(2, rotate_s=1 << 30), "ticket_key_jump"),
            (told(2, lifetime_s=1 << 30), "ticket_key_jump"),
        ),
    )
    def test_a_key_that_is_weak_old_or_beyond_all_measure_is_refused_and_counted(self, key: ToldKey, why: str) -> None:
        net, host, bad, ring = self.stage()
        before = keys(host, net)
        bad.says(host, TicketKeys(ring, (key,)))
        assert dropped(host, net) == {**dropped(host, net), why: 1}
        assert keys(host, net) == before

    def test_a_weak_key_is_told_to_the_operator(self) -> None:
        net, host, bad, ring = self.stage()
        bad.says(host, TicketKeys(ring, (told(2, secret=bytes(32)),)))
        (refusal,) = [each for each in host.core.stats(net.now)["refusals"] if each["reason"] == "ticket_key_weak"]
        assert refusal["node"] == "bad"
        assert "guessed" in refusal["text"]

    def test_somebody_else_s_key_is_refused_in_a_ring_that_it_isn_t_of(self) -> None:
        net, host, bad, ring = self.stage()
        pay = keys(host, net, "pay")[0]
        bad.says(host, TicketKeys(ring, (told(5, secret=pay.reveal()),)))
        assert dropped(host, net)["ticket_key_foreign"] == 1
        bad.says(host, TicketKeys(b"?" * 16, (told(5), told(6))))
        assert dropped(host, net)["ticket_key_foreign"] == 3
        assert generation(host, net) == 1

    def test_a_wiped_key_doesn_t_come_back_by_anybody_s_word(self) -> None:
        net, host, bad, ring = self.stage()
        secret = keys(host, net)[0].reveal()
        host.core.withdraw(net.now, vip="shop")
        assert keys(host, net) == ()
        net.run(20)
        bad.says(host, TicketKeys(ring, (told(1, secret=secret),)))
        assert dropped(host, net)["ticket_key_old"] == 1
        assert secret not in {key.reveal() for key in keys(host, net)}

    def test_of_two_keys_made_at_once_nobody_begins_with_the_lower_one(self) -> None:
        net, host, maker, ring = self.stage()
        late = Puppet(net, "late", "ams1", vip("late", rotate_s=ROTATE_S))
        late.joins(host, joining=True)
        maker.says(host, TicketKeys(ring, (told(2), told(2, secret=told(9).secret))))
        low = HeldKey(2, keys(host, net)[1].name)
        late.says(host, TicketStatus((RingStatus(ring, (low, HeldKey(1, keys(host, net)[2].name))),)))
        net.run(0)
        assert generation(host, net) == 1

    def test_a_key_that_waits_for_a_higher_one_wants_no_step_at_once(self) -> None:
        net, host, maker, ring = self.stage()
        late = Puppet(net, "late", "ams1", vip("late", rotate_s=ROTATE_S))
        late.joins(host, joining=True)

        def nobody_has_it(seconds: float) -> None:
            end, held = net.now + seconds, (HeldKey(1, keys(host, net)[-1].name),)
            while net.now < end:
                late.says(host, TicketStatus((RingStatus(ring, held),)))
                net.run(1)

        maker.says(host, TicketKeys(ring, (told(2),)))
        nobody_has_it(net.limits.ticket_spread_s - 10)
        maker.says(host, TicketKeys(ring, (told(3),)))
        nobody_has_it(20)
        assert generation(host, net) == 1, "the low one's time has come, the high one's hasn't"
        assert host.core.duties.tickets.next_due() > net.now

    def test_a_flood_of_keys_is_cut_and_what_one_claims_to_have_delays_a_key_and_no_more(self) -> None:
        net, host, bad, ring = self.stage()
        for start in range(2, 40):
            bad.says(host, TicketKeys(ring, tuple(told(start * 48 + at) for at in range(48))))
        assert dropped(host, net)["ticket_key_rate"] > 0
        assert dropped(host, net)["ticket_keys_full"] > 0
        assert len(keys(host, net)) == 48
        bad.says(host, TicketStatus((RingStatus(ring, (HeldKey(1 << 53, b"x" * 16),)),)))
        host.core.tickets.rotate("shop", net.now + 11)
        assert len(keys(host, net)) == 48
        bad.lives(host, LIMITS.ticket_spread_s + 20)
        assert generation(host, net) > 1


class TestWithdrawing:
    def both(self, net: Net) -> list[Host]:
        seeds = ("a:7946",)
        hosts = [
            net.add(
                name,
                "ams1",
                vip(name, rotate_s=ROTATE_S, group="g"),
                vip(name, name="twin", rotate_s=ROTATE_S, group="g"),
                vip(name, name="other", rotate_s=ROTATE_S),
                seeds=seeds,
            )
            for name in ("a", "b")
        ]
        net.until(lambda: agreed(net, hosts) and all(generation(each, net, "other") for each in hosts), within=20)
        net.run(5)
        return hosts

    @pytest.mark.parametrize("named", ({"vip": "shop"}, {"vip": "twin"}, {"group": "g"}))
    def test_the_keys_of_a_vip_s_group_end_everywhere_and_new_ones_come(self, named: dict[str, str]) -> None:
        net = Net()
        hosts = self.both(net)
        old, other = keys(hosts[1], net)[0], encrypting(hosts[1], net, "other")
        hosts[0].core.withdraw(net.now, **named)
        assert keys(hosts[0], net) == keys(hosts[0], net, "twin") == ()
        net.run(0.01)
        assert keys(hosts[1], net) == ()
        assert old.wiped
        assert encrypting(hosts[1], net, "other") == other
        net.until(lambda: agreed(net, hosts), within=30)
        assert generation(hosts[0], net) == 2
        with pytest.raises(ValueError, match="only just now"):
            hosts[0].core.tickets.rotate("shop", net.now)

    def test_everything_is_everything(self) -> None:
        net = Net()
        hosts = self.both(net)
        hosts[0].core.withdraw(net.now)
        assert keys(hosts[0], net, "other") == keys(hosts[0], net) == ()
        with pytest.raises(ValueError, match="withdrawn"):
            hosts[0].core.tickets.rotate("shop", net.now + 1)

    def test_single_sessions_and_those_of_one_origin_leave_the_keys_alone(self) -> None:
        net = Net()
        hosts = self.both(net)
        before = encrypting(hosts[0], net)
        hosts[0].core.withdraw_session("shop", make(net, hosts[0], 1), net.now)
        hosts[0].core.withdraw(net.now, origin="b")
        net.run(5)
        assert encrypting(hosts[0], net) == encrypting(hosts[1], net) == before

    def test_a_node_that_was_away_brings_no_withdrawn_key_back(self) -> None:
        net = Net()
        hosts = self.both(net)
        old = keys(hosts[1], net)[0].name
        net.lose = lambda sender, to, _payload: "b" in (sender, to)
        net.run(20)
        hosts[0].core.withdraw(net.now, group="g")
        net.run(60)
        assert old in {key.name for key in keys(hosts[1], net)}
        net.lose = lambda *_: False
        net.until(lambda: old not in {key.name for host in hosts for key in keys(host, net)}, within=20)
        net.until(lambda: agreed(net, hosts), within=20)
        assert old not in {key.name for host in hosts for key in keys(host, net)}

    def test_a_withdraw_that_came_late_keeps_newer_keys_out_for_seconds_only(self) -> None:
        net, host, other, ring = TestBadMembers().stage()
        late = Withdraw("elsewhere", 1, 5, 0, 3600, "shop")
        other.says(host, late)  # it was half a minute on its way, and nobody can tell that it was
        known, terms = host.core.duties.withdraws, vip("h").terms
        before = known.digest()
        other.says(host, TicketKeys(ring, (told(2, age_ms=10_000),)))
        assert dropped(host, net)["ticket_key_old"] == 1
        other.lives(host, 5)
        assert before != other.hears(Digest)[-1].withdraws, "it wants to hear them again"
        other.says(host, replace(late, elapsed_s=35))
        assert known.digest() == before
        other.lives(host, 0.5)
        other.says(host, TicketKeys(ring, (told(2, age_ms=40_000),)))
        assert dropped(host, net)["ticket_key_old"] == 2, "it is older than the withdraw"
        other.says(host, TicketKeys(ring, (told(2, age_ms=15_000),)))
        assert [key.generation for key in keys(host, net)] == [2]
        assert known.places(terms, [b"1" * 32, b"2" * 32], [15, 2], net.now) == {0}, "sessions go by the first word"
        assert known.places(terms, [b"1" * 32], [0], net.now) == set()

    def test_a_younger_word_of_a_withdraw_that_is_known_changes_nothing(self) -> None:
        net, host, other, ring = TestBadMembers().stage()
        other.says(host, Withdraw("elsewhere", 1, 5, 30, 3600, "shop"))
        other.says(host, Withdraw("elsewhere", 1, 5, 0, 3600, "shop"))
        other.says(host, TicketKeys(ring, (told(2, age_ms=10_000),)))
        assert [key.generation for key in keys(host, net)] == [2, 1]

    @pytest.mark.parametrize("again", (True, False))
    def test_a_key_that_came_late_ends_when_its_age_shows_that_it_was_withdrawn(self, again: bool) -> None:
        net, host, other, ring = TestBadMembers().stage()
        host.core.withdraw(net.now, vip="shop")
        other.lives(host, 4)
        other.says(host, TicketKeys(ring, (told(2, age_ms=1_000),)))  # it was 3.5 s on its way
        (late,) = keys(host, net)
        before = host.core.tickets.version
        truth = told(2, age_ms=4_500)
        held = RingStatus(ring, (HeldKey(2, late.name, 4_500),))
        other.says(host, TicketKeys(ring, (truth,)) if again else TicketStatus((held,)))
        assert late.wiped
        assert keys(host, net) == ()
        assert host.core.tickets.version > before, "edges drop it at once"
        assert host.happened(TicketKeysWiped)[-1].why == "withdrawn"

    def test_a_key_that_seemed_withdrawn_comes_back_when_it_is_the_withdraw_that_is_older(self) -> None:
        net, host, other, ring = TestBadMembers().stage()
        withdraw = Withdraw("elsewhere", 1, 5, 0, 3600, "shop")
        other.says(host, withdraw)  # the host's clock stands still after this, for half a minute
        other.lives(host, 4)
        other.says(host, TicketKeys(ring, (told(2, age_ms=1_000),)))
        truth = TicketKeys(ring, (told(2, age_ms=26_000),))
        other.says(host, truth)
        other.says(host, truth)
        assert keys(host, net) == ()
        other.says(host, replace(withdraw, elapsed_s=34))
        other.lives(host, 0.5)
        other.says(host, TicketKeys(ring, (told(2, age_ms=0),)))
        (key,) = keys(host, net)
        assert 25 < net.now - key.born_at < 27, "no younger than it was"

    def test_edges_hear_that_a_key_is_older_than_it_seemed(self) -> None:
        net, host, other, ring = TestBadMembers().stage()
        before, (key,) = host.core.tickets.version, keys(host, net)
        age_ms = int((net.now - key.born_at) * 1000)
        other.says(host, TicketStatus((RingStatus(ring, (HeldKey(1, key.name, age_ms),)),)))
        assert host.core.tickets.version == before
        other.says(host, TicketStatus((RingStatus(ring, (HeldKey(1, key.name, age_ms + 5_000),)),)))
        assert host.core.tickets.version > before
