"""Asks on each interface, as any neighbour could, whether the node that runs here hears mDNS and answers.

A datagram that comes back says that an interface carries multicast; not that the node still listens on it, as when the
interface was made anew.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from meshcache.config import Settings
from meshcache.config.values import split_address
from meshcache.doctor.finding import Finding, fine, problem
from meshcache.doctor.machine import GROUP_V4, GROUP_V6, speak_on
from meshcache.edges.discovery import SERVICE_TYPE, ports_in

PORT: Final = 5353

ASK_S: Final = 1.0
"""Between two questions: an answer takes a millisecond."""

TRIES: Final = 3

_PTR, _INTERNET = 12, 1

_ANSWER_BYTES_MAX: Final = 9000
"""RFC 6762 section 17."""


def hearing_findings(settings: Settings, address: str) -> Iterator[Finding]:
    """Check whether the node that peers dial at `address` answers a question on each interface where mDNS is spoken."""
    if not settings.mesh.mdns or not address:
        return
    port = split_address(address)[1]
    for interface in settings.mesh.interfaces:
        try:
            heard = answers(interface, port)
        except OSError as error:
            yield problem("mdns", f"nobody can be asked on {interface}: {(error.strerror or str(error)).lower()}", _DO)
            continue
        if heard:
            yield fine("mdns", f"this node hears and answers on {interface}")
        else:
            yield problem(
                "mdns", f"this node doesn't answer what is asked on {interface}, so it hears nothing there", _DO
            )


_DO = (
    "see whether its log says why; an interface that was made anew is followed within seconds. Allow UDP port 5353 on "
    "it, or list mesh.seeds"
)


def answers(interface: str, port: int) -> bool:
    """Ask on an interface who is there; whether one whose members are to dial this port answered. Raises OSError."""
    v6 = ip_address(interface).version == 6
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as asker:
        speak_on(asker, interface, v6)
        for _ in range(TRIES):
            asker.sendto(_question(), (GROUP_V6 if v6 else GROUP_V4, PORT))
            if _answered(asker, port):
                return True
    return False


def _question() -> bytes:
    """Ask who offers the service (RFC 1035 section 4.1): from a port that isn't mDNS's own, so that the answer comes to
    us alone (RFC 6762 section 6.7).
    """
    labels = SERVICE_TYPE.rstrip(".").encode().split(b".")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!6H", 0, 0, 1, 0, 0, 0) + name + struct.pack("!2H", _PTR, _INTERNET)


def _answered(asker: socket.socket, port: int) -> bool:
    until = time.monotonic() + ASK_S
    while (rest_s := until - time.monotonic()) > 0:
        asker.settimeout(rest_s)
        try:
            named = ports_in(asker.recv(_ANSWER_BYTES_MAX))
        except TimeoutError:
            return False
        if port in named:
            return True
    return False
