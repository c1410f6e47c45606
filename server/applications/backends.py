"""The backends of each VIP: which one gets the next connection, which ones are down, and what became of connects.

Chooses the one with the fewest open connections for its weight. A backend whose connects fail is left out for a while
(passive), or until its checks succeed again (active, `health`); when all are down all are tried, since a wrong guess
must not close a VIP whose backends are well.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from meshcache import HealthSettings, VipSettings

from ..addresses import split_address
from .leaving import Leaving

FALL = 3
"""Connects that fail one after another before a backend is down, without checks of its own."""

DOWN_S = 10.0
"""How long it is left out then. The next client tries it, and another backend if that fails too."""

TRIES_MAX = 3
"""Backends tried for one client, which waits meanwhile."""

log = logging.getLogger("meshcache.server")


@dataclass(eq=False, slots=True)
class Backend:
    """One place where a VIP's plain bytes go, and how it fares. ``target`` is ``host:port`` or ``unix:/path``."""

    vip: str
    target: str
    weight: int = 1
    open: int = 0
    turn: int = 0
    connects: int = 0
    failures: int = 0
    connect_s: float = 0.0
    failed_in_a_row: int = 0
    well_in_a_row: int = 0
    down: bool = False
    down_until: float = 0.0
    checked: bool = False

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> asyncio.BaseTransport:
        """Return a new connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self.target.startswith("unix:"):
            transport, _ = await loop.create_unix_connection(make, self.target.removeprefix("unix:"))
        else:
            transport, _ = await loop.create_connection(make, *split_address(self.target))
        return transport

    def usable(self, now: float) -> bool:
        """Return whether it may be chosen."""
        return not self.down or (not self.checked and now >= self.down_until)

    def worked(self, rise: int = 1) -> None:
        """A connect succeeded; after `rise` in a row a backend that was down is up."""
        self.failed_in_a_row = 0
        self.well_in_a_row += 1
        if self.down and self.well_in_a_row >= rise:
            self.down = False
            log.info("VIP %s: backend %s is up again", self.vip, self.target)

    def failed(self, why: str, now: float, fall: int = FALL) -> None:
        """A connect failed; after `fall` in a row the backend is down."""
        self.well_in_a_row = 0
        self.failed_in_a_row += 1
        if self.down:
            self.down_until = now + DOWN_S
        elif self.failed_in_a_row >= fall:
            self.down, self.down_until = True, now + DOWN_S
            log.warning("VIP %s: backend %s is down: %s", self.vip, self.target, why)


@dataclass(slots=True)
class Bytes:
    """Plain bytes of one VIP: received from clients, sent to them."""

    received: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Pool:
    """The backends of one VIP, and how they are spoken to. With ``proxy_protocol`` a header names the client first."""

    backends: tuple[Backend, ...]
    connect_timeout_s: float
    proxy_protocol: bool = False
    leaving: Leaving = field(default_factory=Leaving)
    count: Bytes = field(default_factory=Bytes)

    def choose(self, tried: Iterable[Backend], now: float) -> Backend | None:
        """Return the backend for a client that was at those of `tried` in vain; None when it has been at enough of
        them. One of weight 0 gets nobody.

        Short visits leave several at the fewest connections, none; among these it goes by turns, as often as they weigh
        and well mixed (nginx's smooth weighted round robin).
        """
        tried = list(tried)
        left = [each for each in self.backends if each.weight and each not in tried]
        if not left or len(tried) >= TRIES_MAX:
            return None
        usable = [each for each in left if each.usable(now)] or left
        least = min(each.open / each.weight for each in usable)
        equal = [each for each in usable if each.open / each.weight == least]
        for each in equal:
            each.turn += each.weight
        chosen = max(equal, key=lambda each: each.turn)
        chosen.turn -= sum(each.weight for each in equal)
        return chosen


class Backends:
    """All backends of a server, kept over reloads by VIP and target, with the connections that are leaving."""

    def __init__(self) -> None:
        self.leaving = Leaving()
        self.bytes: dict[str, Bytes] = {}
        self._known: dict[tuple[str, str], Backend] = {}
        self._checks: list[asyncio.Task[None]] = []

    def pool(self, vip: VipSettings, connect_timeout_s: float) -> Pool:
        """Return the pool of a VIP as it is configured now."""
        backends = tuple(self._backend(vip.name, target, weight) for target, weight in vip.backends)
        return Pool(
            backends,
            vip.connect_timeout_s or connect_timeout_s,
            vip.proxy_protocol,
            self.leaving,
            self._bytes(vip.name),
        )

    def watch(self, vips: Iterable[VipSettings]) -> None:
        """Check the backends of these VIPs from now on, as each says, and forget those of no VIP."""
        self.stop()
        kept = {}
        for vip in vips:
            for target, weight in vip.backends:
                backend = kept[vip.name, target] = self._backend(vip.name, target, weight)
                backend.checked = vip.health is not None
                if vip.health is not None and weight:
                    check = _check_for_ever(backend, vip.health)
                    self._checks.append(asyncio.get_running_loop().create_task(check))
        self._known = kept

    def stop(self) -> None:
        """End all checks."""
        for check in self._checks:
            check.cancel()
        self._checks = []

    def __iter__(self) -> Iterator[Backend]:
        return iter(list(self._known.values()))

    def _bytes(self, vip: str) -> Bytes:
        return self.bytes.setdefault(vip, Bytes())

    def _backend(self, vip: str, target: str, weight: int) -> Backend:
        backend = self._known.setdefault((vip, target), Backend(vip, target))
        backend.weight = weight
        if not weight:  # drained: nobody goes there, so it may well be gone
            backend.down = False
        return backend


async def _check_for_ever(backend: Backend, health: HealthSettings) -> None:
    while True:
        why = await _why_not(backend, health.timeout_s)
        if why is None:
            backend.worked(health.rise)
        else:
            backend.failed(why, asyncio.get_running_loop().time(), health.fall)
        await asyncio.sleep(health.interval_s)


async def _why_not(backend: Backend, timeout_s: float) -> str | None:
    """Connect and close: what is wrong, or None."""
    try:
        async with asyncio.timeout(timeout_s):
            transport = await backend.connect(asyncio.Protocol)
    except TimeoutError:
        return "no answer in time"
    except socket.gaierror as error:  # its numbers are none of errno's
        return f"its name can't be resolved: {(error.strerror or str(error)).lower()}"
    except OSError as error:
        return (os.strerror(error.errno) if error.errno else str(error)).lower()
    with suppress(OSError):
        transport.close()
    return None
