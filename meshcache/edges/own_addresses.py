"""Which of the configured interface addresses this machine has today, in the forms that sockets and zeroconf want.

Sends nothing. A link-local IPv6 address carries its interface behind a percent sign, as in ``fe80::1%eth0``.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple

import ifaddr


class OwnAddress(NamedTuple):
    """An address of this machine, as it was configured, and the kernel's number of the interface that has it now."""

    written: str
    number: int

    @property
    def bare(self) -> str:
        """The address without an interface."""
        return self.written.partition("%")[0]

    @property
    def place(self) -> str | int:
        """What zeroconf takes: an address, or the number of an interface for IPv6, as a link-local one isn't unique."""
        return self.number if ":" in self.bare and ip_address(self.bare).is_link_local else self.bare


def present(interfaces: Sequence[str]) -> frozenset[OwnAddress]:
    """Return those of these addresses that this machine has, each with the number of its interface."""
    wanted = {(bare, zone): f"{bare}%{zone}" if zone else bare for bare, zone in map(_parts, interfaces)}
    found = set()
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            bare = str(ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0]))
            for zone in ("", adapter.name, str(adapter.index)):
                written = wanted.get((bare, zone))
                if written is not None:
                    found.add(OwnAddress(written, adapter.index or 0))
    return frozenset(found)


def one_of_each(family: int) -> list[str]:
    """Return an address of each interface of this machine for which peers could dial it; none of loopback or a link's.

    `family` is socket.AF_INET or AF_INET6.
    """
    version = 6 if family == socket.AF_INET6 else 4
    found = []
    for adapter in ifaddr.get_adapters():
        addresses = (ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0]) for ip in adapter.ips)
        ours = (each for each in addresses if each.version == version and not (each.is_loopback or each.is_link_local))
        found += [str(each) for each in islice(ours, 1)]
    return found


def absent(interfaces: Sequence[str], here: frozenset[OwnAddress]) -> list[str]:
    """Return those of these addresses that aren't here, in their order."""
    there = {address.written for address in here}
    return [interface for interface in interfaces if interface not in there]


def needs_zone(interface: str) -> bool:
    """Return whether this is a link-local IPv6 address that doesn't say of which interface,
    so that nobody can use it.
    """
    bare, zone = _parts(interface)
    return not zone and ":" in bare and ip_address(bare).is_link_local


def _parts(interface: str) -> tuple[str, str]:
    bare, _, zone = interface.partition("%")
    return str(ip_address(bare)), zone
