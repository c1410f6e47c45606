"""Which addresses this machine has: IPv4, IPv6, and link-local ones, which need their interface's name."""

from __future__ import annotations

import socket

import ifaddr
import pytest

from meshcache.edges import own_addresses
from meshcache.edges.own_addresses import OwnAddress, absent, needs_zone, one_of_each, present

ADAPTERS = [
    ifaddr.Adapter(
        "eth0",
        "eth0",
        [
            ifaddr.IP(("fe80::1", 0, 2), 64, "eth0"),
            ifaddr.IP("10.0.0.1", 8, "eth0"),
            ifaddr.IP("169.254.0.1", 16, "eth0"),
        ],
        index=2,
    ),
    ifaddr.Adapter(
        "eth1", "eth1", [ifaddr.IP(("fe80::1", 0, 3), 64, "eth1"), ifaddr.IP(("fd00::1", 0, 0), 64, "eth1")], 3
    ),
]


@pytest.fixture
def two_lans(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says fe80::1 on both of its links, as routers do."""
    monkeypatch.setattr(own_addresses.ifaddr, "get_adapters", lambda: ADAPTERS)


def test_loopback_is_here_with_its_number_and_a_stranger_is_not() -> None:
    here = present(["127.0.0.1", "192.0.2.77", "2001:db8::77"])
    ((address, number),) = here
    assert (address, number > 0) == ("127.0.0.1", True)
    assert absent(["192.0.2.77", "127.0.0.1"], here) == ["192.0.2.77"]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", 2),
        ("fe80::1%eth1", 3),
        ("fe80::1%3", 3),
        ("fd00::1", "fd00::1"),
        ("169.254.0.1", "169.254.0.1"),
    ],
)
@pytest.mark.usefixtures("two_lans")
def test_each_is_found_on_its_own_interface_in_the_form_that_zeroconf_takes(written: str, place: object) -> None:
    (found,) = present([written])
    assert (found.written, found.place) == (written, place)


@pytest.mark.usefixtures("two_lans")
def test_one_on_another_interface_is_not_it() -> None:
    assert present(["fe80::1%eth2", "fe80::2%eth0", "fd00::1%eth0"]) == frozenset()


def test_a_link_local_address_by_itself_is_nowhere() -> None:
    written = ["fe80::1", "fe80::1%eth0", "fd00::1", "10.0.0.1", "169.254.0.1"]
    assert [needs_zone(each) for each in written] == [True, False, False, False, False]
    assert OwnAddress("fe80::1%eth0", 2).bare == "fe80::1"


@pytest.mark.parametrize(("family", "ours"), [(socket.AF_INET, ["10.0.0.1"]), (socket.AF_INET6, ["fd00::1"])])
@pytest.mark.usefixtures("two_lans")
def test_one_of_each_interface_is_an_address_that_leads_beyond_its_link(family: int, ours: list[str]) -> None:
    assert one_of_each(family) == ours
