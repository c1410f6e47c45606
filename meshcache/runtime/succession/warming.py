"""Whether a node that has started has caught up with its peers, and waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from meshcache.core.mesh import CatchUp
from meshcache.edges import native
from meshcache.runtime.pump.pump import Pump

WARM_S = 10.0
"""How long a start waits to be warm, if it isn't said otherwise."""

_LOOK_S = 0.01
"""Between two looks: a start takes tenths of a second, and a program starts once."""


class WarmSide:
    """What a node is asked about being warm; `node.MeshNode` is one, and owns what is asked."""

    _warming: Warming

    def _require(self, state: str, hint: str) -> None:
        raise NotImplementedError

    @property
    def warm(self) -> bool:
        """Whether this node has what its peers had before it came, or has nobody to have it from."""
        self._require("running", "start the node first")
        return self._warming.warm

    def wait_warm(self, timeout_s: float = WARM_S) -> bool:
        """Wait until the node is warm, for `timeout_s` seconds at most; returns whether it is.

        Call it after the contexts are attached and before the program accepts, so that clients who come back after a
        restart find their sessions. With peers near it takes some tenths of a second; a node that looks for peers and
        meets none is warm after two.
        """
        self._require("running", "start the node first")
        return self._warming.wait(timeout_s)

    async def wait_warm_async(self, timeout_s: float = WARM_S) -> bool:
        """Return what `wait_warm` does, with the event loop running meanwhile; may be cancelled."""
        self._require("running", "start the node first")
        return await self._warming.wait_async(timeout_s)

    @property
    def catch_up(self) -> CatchUp:
        """How far the node is with that: from whom, and how many sessions came so far."""
        self._require("running", "start the node first")
        return self._warming.catch_up


class Warming:
    """Whether one node has caught up, and who waits for that. Threads may share it."""

    def __init__(self, pump: Pump, tiers_loaded: Callable[[], bool] = lambda: True, *, alone: bool = False) -> None:
        """`tiers_loaded` is asked at each look; `alone` says that nobody is looked for, so nobody is waited for."""
        self._pump = pump
        self._tiers_loaded = tiers_loaded
        self._alone = alone

    @property
    def warm(self) -> bool:
        """Whether there is nothing more to wait for: sessions of tiers and peers, nor ticket keys."""
        return self._tiers_loaded() and (self._alone or (self.catch_up.done and self._has_ticket_keys()))

    @property
    def catch_up(self) -> CatchUp:
        """How far the node is."""
        with self._pump.lock:
            return self._pump.core.catch_up

    def _has_ticket_keys(self) -> bool:
        """Return whether clients that come with a ticket resume here, as far as others have keys."""
        with self._pump.lock:
            return self._pump.core.tickets.ready()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the node is warm, for `timeout_s` at most; returns whether it is. Blocks its thread."""
        until = time.monotonic() + timeout_s
        while not (warm := self.warm) and time.monotonic() < until:
            native.sleep(_LOOK_S)
        return warm

    async def wait_async(self, timeout_s: float) -> bool:
        """Return what `wait` does, on an event loop that runs on."""
        until = time.monotonic() + timeout_s
        while not (warm := self.warm) and time.monotonic() < until:  # noqa: ASYNC110 - the mesh knows no loop
            await asyncio.sleep(_LOOK_S)
        return warm
