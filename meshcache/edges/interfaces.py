"""Finds the address that peers are told to dial, when the configuration names none and the listener has them all.

Sends nothing but questions to DNS, for names in the configuration, at the start; and waits a moment for them at most.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from meshcache.config import MeshSettings
from meshcache.config.values import join_address, split_address
from meshcache.edges import native, own_addresses
from meshcache.errors import TransportError

RESOLVE_S = 3.0
"""For all names together: a node must start without DNS too."""

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses for documentation (RFC 5737, RFC 3849), routed like any on the internet; nothing is sent there."""

log = logging.getLogger("meshcache.edges")


class Advertised(NamedTuple):
    """The ``host:port`` that peers are told, and why they can't use it, if that is to be seen from here."""

    address: str
    fault: str = ""


def advertised_address(mesh: MeshSettings, bound: str) -> str:
    """Return the ``host:port`` for peers, as `advertised` finds it; what is wrong with it goes to the log.

    Raises TransportError when ``advertise`` is a name that can't be resolved.
    """
    address, fault = advertised(mesh, bound)
    if fault:
        log.warning("mesh.advertise: %s", fault)
    return address


def advertised(mesh: MeshSettings, bound: str) -> Advertised:
    """Return the address for peers: ``advertise``; else where the listener is bound, if that is one machine's address;
    else the first of ``interfaces``; else the local end of the route to a seed, or to the internet; else the address
    that this machine has.

    `bound` is where the listener is. Raises TransportError when ``advertise`` is a name that can't be resolved.
    """
    host, port = split_address(bound)
    if mesh.advertise is not None:
        return _named(mesh.advertise, host)
    if not ip_address(host).is_unspecified:
        return Advertised(bound)
    if mesh.interfaces:
        beyond = (each for each in mesh.interfaces if not ip_address(each).is_link_local)  # peers may be on other links
        return Advertised(join_address(next(beyond, mesh.interfaces[0]), port))
    return _routed(host, port, mesh.seeds)


def on_each_interface(mesh: MeshSettings, address: str) -> list[str]:
    """Return what is told by mDNS: an address in each network where it is spoken, so that each can use one of them."""
    if mesh.advertise is not None or not ip_address(split_address(mesh.listen)[0]).is_unspecified:
        return [address]
    _, port = split_address(address)
    return list(dict.fromkeys([address, *(join_address(interface, port) for interface in mesh.interfaces)]))


def _named(advertise: str, listens: str) -> Advertised:
    host, port = split_address(advertise)
    found = _resolve(host, port)
    if isinstance(found, OSError):
        raise TransportError(f"mesh.advertise: {host} can't be resolved: {found.strerror or found}") from None
    ours = [each for each in found if _family_fits(each, listens)]
    beyond = [each for each in ours if not ip_address(each.partition("%")[0]).is_loopback]
    best = (beyond or ours or found)[0]
    told = join_address(best, port)
    if not ours:
        return Advertised(
            told, f"{advertise} is {best}, and mesh.listen has no address of that kind; peers can't connect"
        )
    if not beyond and not ip_address(listens).is_loopback:
        where = f"{advertise} is {best} on this machine (see /etc/hosts)" if host != best else f"{best} is loopback"
        return Advertised(told, f"{where}, which leads every peer to itself; write an address that they can reach")
    return Advertised(told)


def _routed(wildcard: str, port: int, seeds: tuple[str, ...]) -> Advertised:
    """Return from where this machine would reach its first seed, or the internet; where no way leads out, what it is
    called in its own network; loopback if it is in none.
    """
    family = socket.AF_INET6 if ":" in wildcard else socket.AF_INET
    near = ""
    for target, written in _targets(seeds, family):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))  # for a datagram this only picks the route
            host = str(probe.getsockname()[0])
            if written or not ip_address(host.partition("%")[0]).is_loopback:
                return Advertised(join_address(host, port))
            near = host
    if near:  # the seeds are on this machine
        return Advertised(join_address(near, port))
    return _unrouted(port, family, alone=not seeds)


def _unrouted(port: int, family: int, *, alone: bool) -> Advertised:
    """Return this machine's address in a network without a way out, as of a node that others have as their seed."""
    ours = own_addresses.one_of_each(family)
    told = join_address(ours[0] if ours else _loopback(family), port)
    if len(ours) > 1:
        return Advertised(told, f"no route says which of {', '.join(ours)} peers can reach; write the right one there")
    if ours or alone:
        return Advertised(told)
    fault = (
        "no seed can be reached from this machine, so peers are told loopback; set it to an address that they can reach"
    )
    return Advertised(told, fault)


def _targets(seeds: tuple[str, ...], family: int) -> Iterator[tuple[str, bool]]:
    """Yield where the way may lead: seeds that are addresses, then what names are now, then elsewhere.

    With each goes whether somebody wrote that address, who means it even if it is loopback.
    """
    places = [split_address(seed.removeprefix("dns:")) for seed in seeds]
    names = []
    for host, port in places:
        try:
            yield str(ip_address(host)), True
        except ValueError:
            names.append((host, port))
    yield from ((each, False) for each in _resolve_all(names) if (":" in each) is (family == socket.AF_INET6))
    yield _ELSEWHERE[socket.AddressFamily(family)], False


def _resolve_all(names: list[tuple[str, int]]) -> list[str]:
    """Return what these names are, as far as that is answered in time."""
    found: list[str] = []

    def resolve() -> None:
        for host, port in names:
            addresses = _resolve(host, port)
            found.extend([] if isinstance(addresses, OSError) else addresses)

    if names:
        thread = native.thread(resolve, "meshcache-resolve")
        thread.start()
        thread.join(RESOLVE_S)
    return list(found)


def _resolve(host: str, port: int) -> list[str] | OSError:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _family_fits(address: str, listens: str) -> bool:
    """Return whether a listener there can be reached at an address of this kind; libzmq's on :: takes IPv4 too."""
    return (":" in address) == (":" in listens) or listens == "::"


def _loopback(family: int) -> str:
    return "::1" if family == socket.AF_INET6 else "127.0.0.1"
