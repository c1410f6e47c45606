import logging
import socket
import threading

import pytest

from meshcache.edges import seeds as module
from meshcache.edges.seeds import Seeds
from tests.support.waiting import wait_until

Answer = list[tuple[int, int, int, str, tuple[str, int]]]


class Resolver:
    """Stands for the machine's resolver, whose answers a test can't change otherwise."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[str]] = {}
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, type: int) -> Answer:  # noqa: A002
        self.asked.append(host)
        if host not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in self.hosts[host]]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    return resolver


@pytest.fixture
def found() -> list[str]:
    return []


def run(seeds: tuple[str, ...], found: list[str]) -> Seeds:
    started = Seeds(seeds, lambda address, _: found.append(address))
    started.start()
    return started


def test_addresses_are_offered_as_they_are_and_again_and_again(
    found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    seeds = run(("127.0.0.1:7946", "[::1]:7946"), found)
    wait_until(lambda: len(found) >= 4)
    seeds.close()
    assert found[:4] == ["127.0.0.1:7946", "[::1]:7946"] * 2


def test_what_an_operator_wrote_is_told_from_what_a_name_has_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 60)
    found: dict[str, str] = {}
    seeds = Seeds(("127.0.0.2:7946", "dns:localhost:7946"), found.__setitem__)
    seeds.start()
    wait_until(lambda: len(found) >= 2)
    seeds.close()
    assert found.pop("127.0.0.2:7946") == "seed"
    assert set(found.values()) == {"dns"}


def test_the_machines_own_resolver_knows_localhost(found: list[str]) -> None:
    seeds = run(("dns:localhost:7946",), found)
    wait_until(lambda: "127.0.0.1:7946" in found or "[::1]:7946" in found)
    seeds.close()


def test_every_address_behind_a_dns_name_is_offered_and_changes_are_followed(
    resolver: Resolver, found: list[str]
) -> None:
    resolver.hosts["mesh.test"] = ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    seeds = run(("dns:mesh.test:7946",), found)
    wait_until(lambda: len(found) >= 2)
    assert found[:2] == ["10.0.0.1:7946", "10.0.0.2:7946"]
    resolver.hosts["mesh.test"] = ["10.0.0.3"]
    wait_until(lambda: "10.0.0.3:7946" in found)
    seeds.close()


def test_a_name_that_is_not_known_is_logged_once_and_holds_up_no_other(
    resolver: Resolver, found: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    resolver.hosts["here.test"] = ["10.0.0.1"]
    with caplog.at_level(logging.WARNING, "meshcache"):
        seeds = run(("absent.test:7946", "here.test:7946"), found)
        wait_until(lambda: resolver.asked.count("absent.test") >= 3 and len(found) >= 3)
        resolver.hosts["absent.test"] = ["10.0.0.2"]
        wait_until(lambda: "10.0.0.2:7946" in found)
        seeds.close()
    assert sum("absent.test" in record.getMessage() for record in caplog.records) == 1


def test_one_name_gives_a_bounded_number_of_addresses(
    resolver: Resolver, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ADDRESSES_MAX", 3)
    monkeypatch.setattr(module, "AGAIN_S", 60)
    resolver.hosts["mesh.test"] = [f"10.0.0.{number}" for number in range(1, 100)]
    seeds = run(("dns:mesh.test:7946",), found)
    wait_until(lambda: len(found) >= 3)
    seeds.close()
    assert len(found) == 3


def test_without_seeds_there_is_no_thread_and_closing_twice_is_fine(found: list[str]) -> None:
    before = threading.active_count()
    seeds = run((), found)
    assert threading.active_count() == before
    seeds.close()
    seeds.close()


def test_nothing_is_offered_after_closing(found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.001)
    seeds = run(("127.0.0.1:7946",), found)
    wait_until(lambda: found)
    seeds.close()
    before, alive = len(found), threading.enumerate()
    assert not [thread for thread in alive if thread.name == "meshcache-seeds"]
    assert len(found) == before


def test_workers_nearby_are_offered_each_round_and_first() -> None:
    found: list[tuple[str, str]] = []
    seeds = Seeds(["127.0.0.1:2"], lambda address, source: found.append((address, source)), lambda: ["127.0.0.1:1"])
    seeds.start()
    wait_until(lambda: len(found) == 2)
    seeds.close()
    assert found == [("127.0.0.1:1", "host"), ("127.0.0.1:2", "seed")]
