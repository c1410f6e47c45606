from __future__ import annotations

from collections.abc import Callable

import pytest

from meshcache.config import MeshSettings
from meshcache.edges import interfaces, own_addresses
from meshcache.edges.interfaces import advertised, advertised_address, on_each_interface
from meshcache.errors import TransportError


def test_a_configured_address_comes_first_whatever_the_listener_has() -> None:
    mesh = MeshSettings(listen="0.0.0.0:7946", advertise="10.0.0.4:80", interfaces=("10.0.0.5",))
    assert advertised_address(mesh, "0.0.0.0:7946") == "10.0.0.4:80"


def test_a_configured_name_is_resolved_because_peers_dial_addresses_only() -> None:
    mesh = MeshSettings(listen="0.0.0.0:7946", advertise="localhost:80")
    assert advertised_address(mesh, "0.0.0.0:7946") in ("127.0.0.1:80", "[::1]:80")


def test_a_configured_name_that_can_not_be_resolved_is_an_error_that_names_it() -> None:
    mesh = MeshSettings(listen="0.0.0.0:7946", advertise="absent.invalid:80")
    with pytest.raises(TransportError, match=r"mesh\.advertise: absent\.invalid"):
        advertised_address(mesh, "0.0.0.0:7946")


@pytest.mark.parametrize("bound", ["127.0.0.1:4711", "[::1]:4711"])
def test_a_listener_on_one_address_is_advertised_as_it_is(bound: str) -> None:
    assert advertised_address(MeshSettings(listen="127.0.0.1:0"), bound) == bound


def test_a_listener_on_all_addresses_takes_the_first_interface() -> None:
    mesh = MeshSettings(listen="0.0.0.0:0", interfaces=("127.0.0.7", "127.0.0.8"))
    assert advertised_address(mesh, "0.0.0.0:4711") == "127.0.0.7:4711"


def test_without_an_interface_it_is_the_local_end_of_the_route_to_the_first_seed() -> None:
    mesh = MeshSettings(listen="0.0.0.0:0", seeds=("dns:mesh.test:7946", "127.0.0.9:7946"))
    assert advertised_address(mesh, "0.0.0.0:4711") == "127.0.0.1:4711"


@pytest.mark.parametrize("bound", ["0.0.0.0:4711", "[::]:4711"])
def test_without_anything_to_go_by_it_is_some_address_of_this_machine(bound: str) -> None:
    address = advertised_address(MeshSettings(listen=bound), bound)
    host, _, port = address.rpartition(":")
    assert host not in ("", "0.0.0.0", "[::]")
    assert port == "4711"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names are, instead of asking DNS or /etc/hosts."""
    known: dict[str, list[str]] = {}
    monkeypatch.setattr(interfaces, "_resolve", lambda host, _port: known.get(host) or OSError("no such name"))
    return known


def test_a_name_that_is_loopback_here_is_a_fault_and_another_address_of_it_is_taken_first(
    names: dict[str, list[str]],
) -> None:
    mesh = MeshSettings(listen="0.0.0.0:7946", advertise="edge-1:7946")
    names["edge-1"] = ["127.0.1.1", "10.0.0.4"]
    assert advertised(mesh, "0.0.0.0:7946") == ("10.0.0.4:7946", "")
    names["edge-1"] = ["127.0.1.1"]
    address, fault = advertised(mesh, "0.0.0.0:7946")
    assert (address, "leads every peer to itself" in fault, "/etc/hosts" in fault) == ("127.0.1.1:7946", True, True)
    assert not advertised(mesh, "127.0.1.1:7946").fault, "who listens there alone means it"


def test_of_a_name_with_both_families_the_one_that_is_listened_on_is_told(names: dict[str, list[str]]) -> None:
    mesh = MeshSettings(listen="0.0.0.0:7946", advertise="edge-1:7946")
    names["edge-1"] = ["2001:db8::4", "10.0.0.4"]
    assert advertised(mesh, "0.0.0.0:7946") == ("10.0.0.4:7946", "")
    assert advertised(mesh, "[::]:7946").address == "[2001:db8::4]:7946"
    names["edge-1"] = ["2001:db8::4"]
    assert "no address of that kind" in advertised(mesh, "0.0.0.0:7946").fault


def test_the_route_to_what_a_seeds_name_is_decides(names: dict[str, list[str]]) -> None:
    names["mesh.test"] = ["127.0.0.9"]
    mesh = MeshSettings(listen="0.0.0.0:0", seeds=("dns:mesh.test:7946",))
    assert "mesh.test" in str(mesh.seeds)
    address, fault = advertised(mesh, "0.0.0.0:4711")
    assert (address.rpartition(":")[2], fault) == ("4711", "")


@pytest.fixture
def without_a_way_out(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """This machine has these addresses, and no route (tests/chaos/test_addresses.py has a host like that)."""

    def have(*ours: str) -> None:
        monkeypatch.setattr(interfaces, "_targets", lambda *_: iter(()))
        monkeypatch.setattr(own_addresses, "one_of_each", lambda _family: list(ours))

    return have


@pytest.mark.parametrize("seeds", [(), ("dns:mesh.test:7946",)])
def test_without_a_way_out_it_is_what_this_machine_is_called_in_its_own_network(
    without_a_way_out: Callable[..., None], seeds: tuple[str, ...]
) -> None:
    mesh = MeshSettings(listen="0.0.0.0:0", seeds=seeds)
    without_a_way_out("10.77.0.4")
    assert advertised(mesh, "0.0.0.0:4711") == ("10.77.0.4:4711", "")
    without_a_way_out("10.77.0.4", "172.17.0.1")
    address, fault = advertised(mesh, "0.0.0.0:4711")
    assert address == "10.77.0.4:4711"
    assert "which of 10.77.0.4, 172.17.0.1 peers can reach" in fault
    without_a_way_out()
    address, fault = advertised(mesh, "0.0.0.0:4711")
    assert (address, bool(fault)) == ("127.0.0.1:4711", bool(seeds)), "a machine without a network is alone"


def test_where_mdns_is_spoken_in_several_networks_each_is_told_an_address_of_its_own() -> None:
    mesh = MeshSettings(listen="0.0.0.0:0", interfaces=("127.0.0.7", "127.0.0.8"))
    assert on_each_interface(mesh, "127.0.0.7:4711") == ["127.0.0.7:4711", "127.0.0.8:4711"]
    one = MeshSettings(listen="127.0.0.7:0", interfaces=("127.0.0.7", "127.0.0.8"))
    assert on_each_interface(one, "127.0.0.7:4711") == ["127.0.0.7:4711"]
