"""Checks addresses that peers and mDNS name before anything connects to them; resolves no names.

libzmq would take more than an address: another transport (``ipc://``), a wildcard, a source address behind a semicolon,
or a host name, which it resolves on the thread that moves all messages. None of that gets past here.
"""

from __future__ import annotations

from ipaddress import ip_address

from meshcache.config.values import join_address

ADDRESS_CHARS_MAX = 64
"""``[IPv6 with a zone]:65535`` takes 63 at most; longer is not parsed at all."""


def dialable(address: str) -> str | None:
    """Return the address in its one written form, or None for what is not an IP address of one machine and a port."""
    if len(address) > ADDRESS_CHARS_MAX:
        return None
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        return None
    try:
        ip = ip_address(bare)
    except ValueError:
        return None
    if ip.is_unspecified or ip.is_multicast or (ip.version == 6) is not (host != bare):
        return None
    return join_address(str(ip), int(port))
