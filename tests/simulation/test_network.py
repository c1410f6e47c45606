"""Clock and network of the simulator: each fault does what it says, and only that."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulation.clock import NodeClock, Scheduler
from tests.simulation.faults import CALM, Cut, Fired, NetworkOptions
from tests.simulation.network import Flight, Network

FAULTY = {
    "drop": NetworkOptions(drop=0.25),
    "duplicate": NetworkOptions(duplicate=0.25),
    "reorder": NetworkOptions(reorder=0.25),
}


class Stop:
    """A node that only notes what it gets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.colo = "ams1"
        self.connection = name.encode()
        self.up = True
        self.got: list[tuple[float, bytes]] = []
        self.clock: Scheduler

    def deliver(self, flight: Flight) -> None:
        self.got.append((self.clock.now, flight.payload))


def net(options: NetworkOptions = CALM) -> tuple[Network, Scheduler, Stop, Stop]:
    scheduler = Scheduler()
    network = Network(scheduler, Random(1), Fired())
    network.options = options
    a, b = Stop("a"), Stop("b")
    for stop in (a, b):
        stop.clock = scheduler
        network.attach(f"{stop.name}:1", stop)
    return network, scheduler, a, b


def numbered(network: Network, sender: Stop, count: int) -> list[bytes]:
    payloads = [b"%d" % number for number in range(count)]
    assert all(network.send(sender, "b:1", payload, 0) for payload in payloads)
    return payloads


def test_a_calm_network_delivers_everything_once_and_in_order() -> None:
    network, scheduler, a, b = net()
    sent = numbered(network, a, 200)
    scheduler.run(1)
    assert [payload for _, payload in b.got] == sent
    assert not network.fired.counts


@pytest.mark.parametrize("kind", FAULTY)
def test_a_fault_happens_as_often_as_it_was_asked_for_and_is_counted(kind: str) -> None:
    network, scheduler, a, b = net(FAULTY[kind])
    sent = numbered(network, a, 900)
    scheduler.run(2)
    got = [payload for _, payload in b.got]
    lost, twice = len(set(sent) - set(got)), len(got) - len(set(got))
    assert (lost > 150, twice > 150, sorted(set(got), key=int) != got) == (
        kind == "drop",
        kind == "duplicate",
        kind != "drop",
    )
    assert network.fired.counts[kind] > 50
    assert network.fired.lacks([kind]) == []


def test_a_one_way_cut_stops_one_way_and_what_was_sent_last_arrives_when_it_heals() -> None:
    network, scheduler, a, b = net()
    cut = Cut(frozenset("a"), frozenset("b"), one_way=True)
    network.cut(cut)
    numbered(network, a, 20)
    network.send(b, "a:1", b"back", 0)
    scheduler.run(1)
    assert (len(a.got), len(b.got)) == (1, 0)
    network.heal(cut)
    scheduler.run(2)
    assert 0 < len(b.got) < 20
    assert network.fired.counts["held"] == len(b.got)


def test_what_was_sent_long_before_a_cut_healed_is_gone() -> None:
    network, scheduler, a, b = net()
    cut = Cut(frozenset("a"), frozenset("b"))
    network.cut(cut)
    numbered(network, a, 20)
    scheduler.run(10)
    network.heal(cut)
    scheduler.run(12)
    assert b.got == []


def test_a_full_queue_is_refused_until_something_is_read() -> None:
    network, scheduler, a, _ = net(NetworkOptions(queue_messages=3))
    numbered(network, a, 3)
    assert not network.send(a, "b:1", b"more", 0)
    scheduler.run(1)
    assert not network.send(a, "b:1", b"more", 0), "arrived is not read"
    network.read(Flight("a", b"a", "b:1", b"0", 1, 0))
    assert network.send(a, "b:1", b"more", 0)


def test_things_that_are_due_at_once_happen_in_the_order_they_were_planned() -> None:
    scheduler = Scheduler()
    seen: list[int] = []
    for number in range(50):
        scheduler.at(1.0, seen.append, number)
    scheduler.run(1.0)
    assert seen == list(range(50))


@pytest.mark.parametrize("rate", [0.98, 1.0, 1.02])
def test_a_clock_that_runs_apart_has_come_to_a_deadline_when_it_is_woken_for_it(rate: float) -> None:
    clock = NodeClock(123_456.7, rate)
    for true in (0.0, 0.1, 99.9, 3600.0):
        deadline = clock.read(true) + 0.05
        assert clock.read(clock.true(deadline)) >= deadline - 1e-9
