"""Live policies merge in one order on all nodes, and reach them whatever gets lost on the way."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

import pytest

from meshcache.core.control.live_policies import ENTRIES_MAX, GROUP, JUMP_MAX, KEYS_MAX, VIP, LiveVersion
from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.events import PolicyChanged
from meshcache.core.wire.codec import Decoder
from meshcache.core.wire.messages import LIVE_ENTRIES_MAX, LIVE_NUMBER_MAX, Digest, LiveEntry, LivePolicyUpdate
from tests.core.net import Host, Net, Puppet, dropped, mesh, vip


def entry(key: str, number: int, author: str, value: str, name: str = "shop", scope: str = VIP) -> LiveEntry:
    return LiveEntry(scope, name, key, number, author, value)


def value(host: Host, key: str = "reach", name: str = "shop") -> str | None:
    found = host.core.live.values(VIP, name).get(key)
    return found.value if found is not None else None


def put(net: Net, host: Host, **values: str) -> LiveVersion:
    return host.core.live.set(VIP, "shop", values, net.now)


def agree(hosts: list[Host]) -> bool:
    return len({host.core.live.digest() for host in hosts}) == 1


def met(net: Net, hosts: list[Host]) -> None:
    net.until(lambda: all(len(host.core.peers(net.now)) == len(hosts) - 1 for host in hosts), within=20)


class TestMerge:
    ENTRIES = (
        entry("reach", 1, "a", "colo"),
        entry("reach", 2, "a", "everywhere"),
        entry("reach", 2, "b", "server"),
        entry("reach", 2, "b", "colo"),
        entry("quota", 2, "b", "10%"),
    )

    @pytest.mark.parametrize("order", list(permutations(ENTRIES, 5)))
    def test_any_order_ends_the_same(self, order: tuple[LiveEntry, ...]) -> None:
        net = Net()
        host = net.add("h", "ams1", vip("h"))
        puppet = Puppet(net, "p")
        puppet.joins(host)
        for each in (*order, order[0]):
            puppet.says(host, LivePolicyUpdate((each,)))
        assert host.core.live.entries() == [entry("quota", 2, "b", "10%"), entry("reach", 2, "b", "server")]

    def test_the_author_decides_between_two_of_one_number_and_the_value_between_two_of_one_author(self) -> None:
        net = Net()
        host = net.add("h", "ams1", vip("h"))
        puppet = Puppet(net, "p")
        puppet.joins(host)
        puppet.says(host, LivePolicyUpdate((entry("reach", 2, "a", "zzz"), entry("reach", 2, "b", "aaa"))))
        assert value(host) == "aaa"
        puppet.says(host, LivePolicyUpdate((entry("reach", 2, "b", "bbb"), entry("reach", 2, "b", "aab"))))
        assert value(host) == "bbb"

    def test_what_was_taken_back_stays_so_when_it_comes_again(self) -> None:
        net = Net()
        host = net.add("h", "ams1", vip("h"))
        put(net, host, reach="colo")
        old = host.core.live.entries()
        put(net, host, reach="")
        puppet = Puppet(net, "p")
        puppet.joins(host)
        puppet.says(host, LivePolicyUpdate(tuple(old)))
        assert value(host) is None
        assert host.core.live.version(VIP, "shop").number == 2

    def test_a_version_counts_for_a_vip_whatever_its_keys(self) -> None:
        net = Net()
        host = net.add("h", "ams1", vip("h"))
        assert host.core.live.version(VIP, "shop") == LiveVersion()
        assert put(net, host, reach="colo", quota="5%").number == 1
        assert put(net, host, quota="6%").number == 2
        assert host.core.live.set(GROUP, "shop", {"epoch": "new"}, net.now).number == 1
        assert host.core.live.version(VIP, "other").number == 0

    def test_equal_policies_have_equal_hashes_and_others_not(self) -> None:
        net = Net()
        one, other = net.add("a", "ams1", vip("a")), net.add("b", "ams1", vip("b"))
        assert one.core.live.digest() == b""
        put(net, one, reach="colo")
        other.core.live.load(one.core.live.entries())
        assert one.core.live.digest() == other.core.live.digest() != b""
        put(net, other, reach="server")
        assert one.core.live.digest() != other.core.live.digest()

    def test_a_change_is_an_event(self) -> None:
        net = Net()
        hosts = mesh(net, ["a", "b"])
        met(net, hosts)
        put(net, hosts[0], reach="server")
        put(net, hosts[0], reach="")
        net.run(0.1)
        told = [(event.version, event.author, event.change) for event in hosts[1].happened(PolicyChanged)]
        assert told == [(1, "a", "reach=server"), (2, "a", "no reach")]


class TestSpread:
    def test_inside_a_colo_it_is_there_after_one_hop_and_told_once(self) -> None:
        net = Net()
        hosts = mesh(net, [f"n{i:02}" for i in range(12)])
        met(net, hosts)
        net.run(1)
        net.sent.clear()
        put(net, hosts[3], reach="everywhere")
        net.run(2 * net.delay_s + 0.001)
        assert {value(host) for host in hosts} == {"everywhere"}
        told = [1 for _, _, payload, _ in net.sent if isinstance(Decoder().decode(payload).message, LivePolicyUpdate)]
        assert len(told) == 11

    @pytest.mark.slow
    @pytest.mark.parametrize("reach", [REACH_EVERYWHERE, REACH_SERVER])
    def test_other_colos_get_it_through_whoever_is_linked_even_if_nothing_may_go_there(self, reach: Any) -> None:
        net = Net()
        hosts = []
        for colo in ("ams1", "fra1", "lon1"):
            for i in range(4):
                name = f"{colo}-{i}"
                seeds = (hosts[0].address,) if hosts else ()
                hosts.append(net.add(name, colo, vip(name, colo, reach=reach), seeds=seeds))
        net.until(lambda: all(len(host.core.records()) == 12 for host in hosts), within=60)
        net.run(15)  # links that only lingered end
        assert any(len(host.core.peers(net.now)) < 11 for host in hosts)
        put(net, hosts[5], reach="colo")
        took = net.until(lambda: all(value(host) == "colo" for host in hosts), within=60)
        assert took < 10

    def test_a_node_that_does_not_serve_the_vip_passes_it_on(self) -> None:
        net = Net()
        left = net.add("left", "ams1", vip("left"))
        middle = net.add("middle", "fra1", vip("middle", "fra1", "other"), seeds=(left.address,))
        right = net.add("right", "lon1", vip("right", "lon1"), seeds=(middle.address,))
        net.lose = lambda sender, receiver, _: {sender, receiver} == {"left", "right"}
        net.until(lambda: len(middle.core.peers(net.now)) == 2)
        put(net, left, reach="server")
        net.until(lambda: value(right) == "server", within=30)

    def test_lost_messages_are_made_up_for_by_comparisons(self) -> None:
        net = Net(seed=3)
        hosts = mesh(net, [f"n{i}" for i in range(6)])
        met(net, hosts)
        dice = random.Random(5)
        net.lose = lambda *_: dice.random() < 0.3
        for number in range(10):
            put(net, hosts[number % 6], reach=f"colo{number}")
            net.run(0.2)
        net.until(lambda: agree(hosts), within=60)
        assert len({value(host) for host in hosts}) == 1

    def test_two_halves_of_a_mesh_agree_when_they_meet_again(self) -> None:
        net = Net(seed=9)
        hosts = mesh(net, [f"n{i}" for i in range(6)])
        met(net, hosts)
        halves = {host.name: int(host.name[1:]) < 3 for host in hosts}
        net.lose = lambda sender, receiver, _: halves[sender] != halves[receiver]
        put(net, hosts[0], reach="colo", quota="10%")
        put(net, hosts[5], reach="server")
        put(net, hosts[5], lifetime_s="60")
        net.run(20)
        assert value(hosts[1]) == "colo"
        assert value(hosts[4]) == "server"
        net.lose = lambda *_: False
        net.until(lambda: agree(hosts), within=60)
        assert [value(hosts[0], key) for key in ("reach", "quota", "lifetime_s")] == ["server", "10%", "60"]

    def test_a_node_that_restarts_with_what_it_kept_catches_up(self) -> None:
        net = Net()
        hosts = mesh(net, ["a", "b", "c"])
        met(net, hosts)
        put(net, hosts[2], reach="colo")
        net.run(0.1)
        kept = hosts[2].core.live.entries()
        net.stop("c")
        put(net, hosts[0], reach="server")
        again = net.add("c", "ams1", vip("c"), seeds=(hosts[0].address,))
        again.core.live.load(kept)
        assert value(again) == "colo"
        net.until(lambda: value(again) == "server", within=15)


class TestLoad:
    """A table may find more than it has room for, where several processes of a server kept theirs."""

    MANY = tuple(entry("reach", 5, "a", "colo", name=f"vip-{number}") for number in range(ENTRIES_MAX + 6))
    WANTED = (
        entry("reach", 1, "a", "server", name="shop"),
        entry("epoch", 1, "a", "new", name="storefront", scope=GROUP),
        entry("epoch", 2, "a", "new", name="elsewhere", scope=GROUP),
        entry("reach", 6, "a", "server", name="latest"),
    )
    OURS = frozenset({(VIP, "shop"), (GROUP, "storefront")})

    @pytest.mark.parametrize("order", [(*MANY, *WANTED), (*WANTED, *MANY)])
    def test_what_is_ours_comes_first_then_epochs_and_the_latest_changes(self, order: tuple[LiveEntry, ...]) -> None:
        live = Net().add("h", "ams1").core.live
        live.load(order, self.OURS)
        assert len(live) == ENTRIES_MAX
        assert set(self.WANTED) <= set(live.entries())

    def test_of_one_value_the_latest_change_is_taken_in_whatever_the_order(self) -> None:
        for order in permutations(TestMerge.ENTRIES[:3]):
            live = Net().add("h", "ams1").core.live
            live.load(order)
            assert live.entries() == [TestMerge.ENTRIES[2]]


class TestHostility:
    @pytest.fixture
    def net(self) -> Net:
        return Net()

    def talk(self, net: Net, *entries: LiveEntry) -> Host:
        host = net.add("h", "ams1", vip("h"))
        puppet = Puppet(net, "p")
        puppet.joins(host)
        for at in range(0, len(entries), LIVE_ENTRIES_MAX):
            puppet.says(host, LivePolicyUpdate(entries[at : at + LIVE_ENTRIES_MAX]))
        return host

    def test_a_number_far_ahead_can_not_end_all_changes(self, net: Net) -> None:
        host = self.talk(net, entry("reach", LIVE_NUMBER_MAX, "p", "everywhere"))
        assert value(host) == "everywhere"
        assert dropped(host, net)["live_jump"] == 1
        assert put(net, host, reach="colo").number == JUMP_MAX + 1
        assert value(host) == "colo"

    def test_numbers_that_jump_never_split_the_table(self, net: Net) -> None:
        hosts = mesh(net, ["a", "b", "c"])
        net.run(3)
        liar = Puppet(net, "p")
        liar.joins(hosts[0])
        for step in (1, 2, 3):
            told = LivePolicyUpdate((entry("reach", step * JUMP_MAX, "p", f"value-{step}"),))
            liar.says(hosts[0], told)
        net.until(lambda: {value(host) for host in hosts} == {"value-3"} and agree(hosts), within=30)
        put(net, hosts[2], reach="colo")
        net.until(lambda: {value(host) for host in hosts} == {"colo"} and agree(hosts), within=10)

    def test_foreign_vips_fill_a_bounded_table_and_leave_room_for_our_own(self, net: Net) -> None:
        many = [entry("reach", 1, "p", "colo", name=f"vip-{i}") for i in range(2 * ENTRIES_MAX)]
        host = net.add("h", "ams1", vip("h"))
        puppet = Puppet(net, "p")
        puppet.joins(host)
        for at in range(0, len(many), 256):
            for part in range(at, at + 256, LIVE_ENTRIES_MAX):
                puppet.says(host, LivePolicyUpdate(tuple(many[part : part + LIVE_ENTRIES_MAX])))
            net.run(60)
            puppet.joins(host)
        assert len(host.core.live) == ENTRIES_MAX
        assert dropped(host, net)["live_full"] >= ENTRIES_MAX
        puppet.says(host, LivePolicyUpdate((entry("reach", 1, "p", "server"),)))
        assert value(host) == "server"
        assert len(host.core.live) == ENTRIES_MAX

    def full(self, net: Net, count: int = ENTRIES_MAX) -> Host:
        """A host whose table has so many values, of VIPs and one group that it doesn't serve."""
        host = net.add("h", "ams1", vip("h"))
        host.core.live.load([entry("epoch", 1, "p", "new", name="elsewhere", scope=GROUP)])
        host.core.live.load([entry("reach", 1, "p", "colo", name=f"vip-{i}") for i in range(count - 1)])
        assert len(host.core.live) == count
        return host

    def test_several_values_that_have_no_room_together_are_refused_together(self, net: Net) -> None:
        host = self.full(net, ENTRIES_MAX - 1)
        before = host.core.live.entries()
        with pytest.raises(ValueError, match="no more than"):
            host.core.live.set(VIP, "far", {"reach": "colo", "quota": "5%"}, net.now)
        with pytest.raises(ValueError, match="no more than"):
            host.core.live.set_each(GROUP, ["far", "farther"], {"epoch": "new"}, net.now)
        assert host.core.live.entries() == before
        assert host.core.live.set(VIP, "far", {"reach": "colo"}, net.now).number == 1
        assert len(host.core.live) == ENTRIES_MAX

    def test_several_values_of_our_own_push_out_what_isn_t_ours_and_epochs_last(self, net: Net) -> None:
        host = self.full(net)
        put(net, host, reach="colo", quota="5%", lifetime_s="60")
        assert len(host.core.live) == ENTRIES_MAX
        assert value(host) == "colo"
        assert host.core.live.version(GROUP, "elsewhere").number == 1

    def test_groups_are_set_together_and_none_of_them_goes_for_another(self, net: Net) -> None:
        host = self.full(net, ENTRIES_MAX - 1)
        host.core.live.set_each(GROUP, ["shop", "zoo"], {"epoch": "new"}, net.now)
        assert len(host.core.live) == ENTRIES_MAX
        assert {host.core.live.version(GROUP, name).number for name in ("shop", "zoo", "elsewhere")} == {1}
        host.core.live.set_each(GROUP, ["elsewhere", "shop"], {"epoch": "new"}, net.now)
        assert host.core.live.version(GROUP, "shop").number == 2

    def test_a_vip_has_few_keys(self, net: Net) -> None:
        host = self.talk(net, *(entry(f"key-{i}", 1, "p", "x") for i in range(KEYS_MAX + 4)))
        assert len(host.core.live) == KEYS_MAX
        with pytest.raises(ValueError, match="no more than"):
            put(net, host, reach="colo", quota="5%")
        assert value(host) is None

    def test_a_flood_of_changes_is_taken_in_slowly(self, net: Net) -> None:
        host = self.talk(net, *(entry("reach", number, "p", str(number)) for number in range(1, 2001)))
        assert dropped(host, net)["live_rate"] > 1000
        assert len(host.core.live) == 1

    def test_one_peer_is_told_everything_once_a_second_however_often_it_asks(self, net: Net) -> None:
        host = net.add("h", "ams1", vip("h"))
        put(net, host, reach="colo")
        puppet = Puppet(net, "p")
        puppet.joins(host)
        net.run(1.5)
        before = len(puppet.hears(LivePolicyUpdate))
        for _ in range(50):
            puppet.says(host, Digest(bytes(128), answer=True, live=b"\x01" * 8))
        assert len(puppet.hears(LivePolicyUpdate)) == before + 1
