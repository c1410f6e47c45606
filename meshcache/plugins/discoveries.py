"""Lets hooks look for peers, each on a thread of its own, and keeps what they have found before the core."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from meshcache.config import split_address
from meshcache.edges import native
from meshcache.hooks import FOUND_MAX, Discovery, Surroundings
from meshcache.plugins.health import Health, Tell, name_of

AGAIN_S = 20.0
"""After so long the core is told once more of what is found and not lost: it gives a hint up when nobody answers."""

PORT_MAX = 65_535

OnHint = Callable[[str, bool], None]
"""An address, and whether it is found, else lost."""


class DiscoveryRunner:
    """One discovery."""

    def __init__(self, discovery: Discovery, given_name: str, tell: Tell) -> None:
        self.health = Health("discovery", name_of(discovery, given_name), tell)
        self.hook = discovery
        self._on_hint: OnHint = _nobody
        self._found: dict[str, None] = {}
        self._lock = native.Lock()
        self._closed = native.Event()
        self._here: Surroundings | None = None
        self._thread = native.thread(self._run, f"meshcache-hook-{self.health.name}")
        self._reminder = native.thread(self._remind, f"meshcache-hook-{self.health.name}-again")

    def start(self, node: str, colo: str, mesh: str, address: str, on_hint: OnHint) -> None:
        """Begin to look."""
        self._on_hint = on_hint
        self._here = Surroundings(node, colo, mesh, address, self._on_found, self._on_lost)
        self._thread.start()
        self._reminder.start()

    def close(self, within_s: float) -> None:
        """Listen to it no longer; its thread ends when its `run` returns. It need not have started."""
        self._closed.set()
        if self._reminder.is_alive():
            self._reminder.join(within_s)

    def _run(self) -> None:
        here = self._here
        assert here is not None, "start made it"
        while not self._closed.is_set():
            self.health.count("calls")
            try:
                self.hook.run(here)
            except Exception as error:  # noqa: BLE001 - whatever a hook raises is its own fault
                if self._closed.wait(self.health.fault("raised", error)):
                    return
            else:
                return

    def _remind(self) -> None:
        while not self._closed.wait(AGAIN_S):
            for address in list(self._found):
                self._on_hint(address, True)

    def _on_found(self, address: str) -> None:
        if self._closed.is_set() or not self._is_address(address):
            return
        with self._lock:
            full = address not in self._found and len(self._found) >= FOUND_MAX
            if not full:
                self._found[address] = None
        if full:
            self.health.fault("bad_address", f"more than {FOUND_MAX} are found")
            return
        self.health.count("found")
        self.health.went_right()
        self._on_hint(address, True)

    def _on_lost(self, address: str) -> None:
        with self._lock:
            known = self._found.pop(address, "") is None
        if known and not self._closed.is_set():
            self.health.count("lost")
            self._on_hint(address, False)

    def _is_address(self, address: object) -> bool:
        try:
            if not isinstance(address, str):
                raise ValueError  # noqa: TRY004, TRY301 - all that is no address is one kind of fault
            host, port = split_address(address)
            ip_address(host)
            if not 0 < port <= PORT_MAX:
                raise ValueError  # noqa: TRY301 - as above
        except ValueError:
            self.health.fault("bad_address", "found takes an IP address with a port, such as 10.0.0.4:7946")
            return False
        return True


def _nobody(_address: str, _found: bool) -> None:
    """Nobody wants to know yet."""
