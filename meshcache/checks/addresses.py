"""Tries every address that the settings listen on, and lets go of each at once."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator

from meshcache.admin.client import answers
from meshcache.config import Settings, split_address
from meshcache.config.values import join_address
from meshcache.edges.interfaces import advertised
from meshcache.edges.own_addresses import needs_zone
from meshcache.errors import TransportError


def address_faults(settings: Settings, held: Collection[str] = (), *, replaces: bool = False) -> list[str]:
    """Return every address that can't be had, each as ``place: why and what would be right``.

    Ask while the node isn't running, or its own addresses are in use. `held` are addresses that this process has, or
    gets from the one that it `replaces`, which has the admin socket until then.
    """
    wanted = [(place, address) for place, address in _listeners(settings) if address not in held]
    faults = [fault for place, address in wanted if (fault := _fault(place, address)) is not None]
    if not replaces and settings.admin.socket is not None and answers(settings.admin.socket):
        faults.append(
            f"admin.socket: another process answers at {settings.admin.socket}; give this node a name of its own "
            "(node.name) or another admin.socket"
        )
    for at, interface in enumerate(settings.mesh.interfaces):
        if settings.mesh.mdns and needs_zone(interface):
            faults.append(
                f"mesh.interfaces[{at}]: {interface} is link-local: write {interface}%eth0, with its interface"
            )
        elif settings.mesh.mdns and not is_ours(interface):
            faults.append(f"mesh.interfaces[{at}]: {interface} is no address of this machine")
    return faults + _advertised_faults(settings)


def _advertised_faults(settings: Settings) -> list[str]:
    try:
        fault = advertised(settings.mesh, settings.mesh.listen).fault
    except TransportError as error:
        return [str(error)]
    return [f"mesh.advertise: {fault}"] if fault else []


def _listeners(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "mesh.listen", settings.mesh.listen
    if settings.admin.http is not None:
        yield "admin.http", settings.admin.http
    for index, vip in enumerate(settings.vips):
        for at, address in enumerate(vip.listen):
            yield f"vip[{index}].listen[{at}]", address


def _fault(place: str, address: str) -> str | None:
    error = _bind(address, socket.SOCK_STREAM)
    if error is None:
        return None
    if error.errno == errno.EADDRINUSE:
        return f"{place}: {address} is in use by another process; stop it or choose another address or port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place}: {address} is no address of this machine; 0.0.0.0 or [::] is all of them"
    if error.errno == errno.EACCES:
        return (
            f"{place}: user {os.geteuid()} may not use port {split_address(address)[1]}; ports below 1024 need root or "
            "the capability CAP_NET_BIND_SERVICE"
        )
    return f"{place}: {address} can't be had: {(error.strerror or str(error)).lower()}"


def is_ours(host: str) -> bool:
    """Return whether this IP address is one of this machine's."""
    return _bind(join_address(host, 0), socket.SOCK_DGRAM) is None


def _bind(address: str, kind: socket.SocketKind) -> OSError | None:
    host, port = split_address(address)
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
            # As the server does: connections that linger from the last run are no reason to refuse.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With a two-tuple Python drops the interface behind the percent sign of a link-local address.
            probe.bind(socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0][4])
    except OSError as error:
        return error
    return None
