"""Reads the PROXY protocol header that a load balancer sends before the client's bytes, versions 1 and 2.

The format is that of HAProxy's proxy-protocol.txt, sections 2.1 and 2.2. Strict: whatever isn't a whole header of the
format is refused, since a guess would let a client choose its own address.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from ..proxy_protocol import SIGNATURE, Endpoint

V1_BYTES_MAX = 107
"""Section 2.1: the longest line, with its CRLF."""

V2_BYTES_MAX = 4096
"""Of addresses and TLVs. The format allows 64 KiB; balancers send some hundred bytes, and only addresses are read."""

V1_START = b"PROXY "

_HEAD, _VERSION, _LOCAL, _PROXY = 16, 0x20, 0x00, 0x01
_TCP4, _TCP6 = 0x11, 0x21
_BYTES_OF = {_TCP4: 4, _TCP6: 16}


class HeaderError(Exception):
    """What came is no PROXY header; ``str`` is one of few fixed texts."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header of ``size`` bytes. Without ``ends`` (the client's, and the address it connected to) the connection is
    as it looks; ``local`` says that it is the balancer's own, which is how it checks health."""

    size: int
    ends: tuple[Endpoint, Endpoint] | None = None
    local: bool = False


def looks_like_one(received: bytes | bytearray) -> bool:
    """Return whether these first bytes can only be a PROXY header: neither begins like a TLS record (22)."""
    return len(received) >= 6 and (received[:6] in (V1_START, SIGNATURE[:6]))


def read_header(received: bytes | bytearray) -> Header | None:
    """Return the header at the start of `received`; None until it is whole. Raises HeaderError."""
    start = bytes(received[: len(SIGNATURE)])
    if start == SIGNATURE[: len(start)]:
        return _version_2(bytes(received[: _HEAD + V2_BYTES_MAX])) if len(received) >= _HEAD else None
    if start[: len(V1_START)] == V1_START[: len(start)]:
        return _version_1(bytes(received[:V1_BYTES_MAX]))
    raise HeaderError("no PROXY header from a listed network")


def _version_1(received: bytes) -> Header | None:
    line, end, _ = received.partition(b"\r\n")
    if not end:
        if len(received) >= V1_BYTES_MAX:
            raise HeaderError("PROXY header too long")
        return None
    size = len(line) + 2
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Header(size)
    try:
        kind, source, target, source_port, target_port = words[1:]
        hosts = ip_address(source), ip_address(target)
    except ValueError:
        raise HeaderError("PROXY header malformed") from None
    if {host.version for host in hosts} != {{"TCP4": 4, "TCP6": 6}.get(kind, 0)}:
        raise HeaderError("PROXY header malformed")
    return Header(size, ((str(hosts[0]), _port(source_port)), (str(hosts[1]), _port(target_port))))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise HeaderError("PROXY header malformed")
    return int(text)


def _version_2(received: bytes) -> Header | None:
    command, family, length = received[12], received[13], int.from_bytes(received[14:16], "big")
    if command & 0xF0 != _VERSION or command & 0x0F not in (_LOCAL, _PROXY):
        raise HeaderError("PROXY header malformed")
    if length > V2_BYTES_MAX:
        raise HeaderError("PROXY header too long")
    if len(received) < _HEAD + length:
        return None
    size = _HEAD + length
    if command & 0x0F == _LOCAL:
        return Header(size, local=True)
    width = _BYTES_OF.get(family)
    if width is None:  # a Unix socket or unspecified: section 2.2 says to take the connection as it looks
        return Header(size)
    if length < 2 * width + 4:
        raise HeaderError("PROXY header malformed")
    body = received[_HEAD:size]
    ports = body[2 * width : 2 * width + 4]
    source, target = (str(ip_address(body[at : at + width])) for at in (0, width))
    return Header(size, ((source, int.from_bytes(ports[:2], "big")), (target, int.from_bytes(ports[2:], "big"))))
