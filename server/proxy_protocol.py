"""Writes the PROXY protocol version 2 header that tells a backend who the client is; reads none.

The format is that of HAProxy's proxy-protocol.txt, sections 2.2 (header and addresses) and 2.2.1 to 2.2.6 (TLVs).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_2_PROXY = 0x21
_TCP_OVER_IPV4 = 0x11
_TCP_OVER_IPV6 = 0x21

TYPE_ALPN = 0x01
TYPE_AUTHORITY = 0x02
TYPE_SSL = 0x20
SUBTYPE_SSL_VERSION = 0x21
SUBTYPE_SSL_CN = 0x22
SUBTYPE_SSL_CIPHER = 0x23
CLIENT_SSL = 0x01
CLIENT_CERT_CONN = 0x02
CLIENT_CERT_SESS = 0x04

VALUE_BYTES_MAX = 1024
"""Of one TLV, so that nothing a client chose makes the header large; ALPN and names have at most 255 bytes."""

Endpoint = tuple[str, int]
"""IP address and port, as sockets name them."""


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What a backend may like to know of the client's TLS. Empty values are left out of the header.

    ``common_name`` is of a client certificate that was verified, None without one; ``certificate_shown`` says that it
    was shown on this connection, and not when the resumed session began.
    """

    version: str
    cipher: str = ""
    alpn: bytes = b""
    server_name: bytes = b""
    common_name: str | None = None
    certificate_shown: bool = False


def header(client: Endpoint, server: Endpoint, tls: TlsFacts) -> bytes:
    """Return the header to send to the backend before anything else.

    Raises ValueError if an address is no IP address.
    """
    family, addresses = _addresses(client, server)
    body = addresses + _tlvs(tls)
    return SIGNATURE + bytes((_VERSION_2_PROXY, family)) + len(body).to_bytes(2, "big") + body


def _addresses(client: Endpoint, server: Endpoint) -> tuple[int, bytes]:
    """Return both addresses in one family; an IPv4 address beside an IPv6 one is written in its
    mapped form (RFC 4291).
    """
    source, target = (ip_address(host.partition("%")[0]) for host in (client[0], server[0]))
    if isinstance(source, IPv4Address) and isinstance(target, IPv4Address):
        family, packed = _TCP_OVER_IPV4, source.packed + target.packed
    else:
        family, packed = _TCP_OVER_IPV6, _as_ipv6(source.packed) + _as_ipv6(target.packed)
    return family, packed + client[1].to_bytes(2, "big") + server[1].to_bytes(2, "big")


def _as_ipv6(packed: bytes) -> bytes:
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed


def _tlvs(tls: TlsFacts) -> bytes:
    return b"".join(
        (
            _tlv(TYPE_ALPN, tls.alpn) if tls.alpn else b"",
            _tlv(TYPE_AUTHORITY, tls.server_name) if tls.server_name else b"",
            _tlv(TYPE_SSL, _ssl(tls)),
        )
    )


def _ssl(tls: TlsFacts) -> bytes:
    """Return the SSL TLV. ``verify`` is zero only for a certificate that was verified; without one nothing was."""
    client, verify = CLIENT_SSL, 1
    parts = [_tlv(SUBTYPE_SSL_VERSION, tls.version.encode())]
    if tls.cipher:
        parts.append(_tlv(SUBTYPE_SSL_CIPHER, tls.cipher.encode()))
    if tls.common_name is not None:
        client |= CLIENT_CERT_SESS | (CLIENT_CERT_CONN if tls.certificate_shown else 0)
        verify = 0
        parts.append(_tlv(SUBTYPE_SSL_CN, tls.common_name.encode()))
    return bytes((client,)) + verify.to_bytes(4, "big") + b"".join(parts)


def _tlv(kind: int, value: bytes) -> bytes:
    value = value[:VALUE_BYTES_MAX]
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value
