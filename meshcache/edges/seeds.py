"""Offers the configured seeds as candidates, again and again, and keeps looking up those that are names.

Resolving blocks, so it has a thread of its own. Knows nothing of who answers.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence

from meshcache.config.values import join_address, split_address
from meshcache.edges import native

AGAIN_S = 30.0
"""How often names are looked up: as long as DNS records of headless services live."""

ADDRESSES_MAX = 256
"""Of one name. A service with more members needs only some of them: the members tell of the rest."""

STOP_S = 1.0
"""How long closing waits for a look-up; one that hangs in the resolver ends with the process."""

log = logging.getLogger("meshcache.edges")


class Seeds:
    """Calls `on_candidate` with ``host:port``, always an IP address, on a thread of its own.

    With it comes "seed" for an address that an operator wrote, and "dns" for one that a name has today.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        on_candidate: Callable[[str, str], None],
        nearby: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        """`nearby` gives the addresses of workers on this host, which are offered as "host"."""
        self._seeds = tuple(seeds)
        self._nearby = nearby
        self._on_candidate = on_candidate
        self._closing = native.Event()
        self._silent: set[str] = set()
        self._thread = native.thread(self._run, "meshcache-seeds")

    def start(self) -> None:
        """Begin with the first round; without seeds and workers there is none."""
        if self._seeds or self._nearby is not None:
            self._thread.start()

    def close(self) -> None:
        """No candidate comes after this; may be called again."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            for address in self._nearby() if self._nearby is not None else ():
                self._on_candidate(address, "host")
            for seed in self._seeds:
                for address in self._addresses(seed):
                    if self._closing.is_set():
                        return
                    self._on_candidate(address, "seed" if address == seed else "dns")
            self._closing.wait(AGAIN_S)

    def _addresses(self, seed: str) -> Iterator[str]:
        host, port = split_address(seed.removeprefix("dns:"))
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            self._name_once(seed, error)
            return
        self._silent.discard(seed)
        yield from dict.fromkeys(join_address(str(entry[4][0]), port) for entry in found[:ADDRESSES_MAX])

    def _name_once(self, seed: str, error: OSError) -> None:
        if seed not in self._silent:
            self._silent.add(seed)
            log.warning("seed %s can't be resolved and is tried again every %d s: %s", seed, AGAIN_S, error)
