"""Finds the address that peers are told to dial, when the configuration names none and the listener has them all.

Sends nothing. Resolves a name only if the configuration has one, at the start.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address

from meshcache.config import MeshSettings
from meshcache.config.values import join_address, split_address
from meshcache.errors import TransportError

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses for documentation (RFC 5737, RFC 3849), routed like any on the internet; nothing is sent there."""


def advertised_address(mesh: MeshSettings, bound: str) -> str:
    """The ``host:port`` for peers: ``advertise``; else where the listener is bound, if that is one machine's address;
    else the first of ``interfaces``; else the local end of the route to the first seed, or to the internet.

    `bound` is where the listener really is. Raises TransportError when ``advertise`` is a name that can't be resolved.
    """
    if mesh.advertise is not None:
        return _resolved(mesh.advertise)
    host, port = split_address(bound)
    if not ip_address(host).is_unspecified:
        return bound
    if mesh.interfaces:
        return join_address(mesh.interfaces[0], port)
    return join_address(_route(host, mesh.seeds), port)


def _resolved(address: str) -> str:
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransportError(f"mesh.advertise: {host} can't be resolved: {error.strerror or error}") from None
    return join_address(str(found[0][4][0]), port)


def _route(wildcard: str, seeds: tuple[str, ...]) -> str:
    """The local address from which this machine would reach its first seed; loopback if it reaches nobody."""
    family = socket.AF_INET6 if ":" in wildcard else socket.AF_INET
    for target in (*_literal_hosts(seeds), _ELSEWHERE[family]):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))  # for a datagram this only picks the route
            return str(probe.getsockname()[0])
    return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def _literal_hosts(seeds: tuple[str, ...]) -> list[str]:
    hosts = []
    for seed in seeds:
        with suppress(ValueError):
            hosts.append(str(ip_address(split_address(seed)[0])))
    return hosts
