"""The written form of an address, ``host:port`` or ``[ipv6]:port``, as the configuration has checked it."""

from __future__ import annotations

import asyncio


def split_address(address: str) -> tuple[str, int]:
    """Host and port; an IPv6 host comes without its brackets."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """Join a host and a port; the inverse of `split_address`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(transport: asyncio.BaseTransport) -> str:
    """Return the IP address that a connection comes from, a balancer's where there is one."""
    peer = transport.get_extra_info("peername")
    return peer[0] if peer else "0.0.0.0"  # noqa: S104  # it is gone already
