"""Everything that looks for peers, started and stopped together: the configured seeds, and mDNS where it is spoken.

What they find is only a hint; the core decides whether it is worth a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Self

from meshcache.config import MeshSettings
from meshcache.core.values.events import Event, PeerLost
from meshcache.edges.interfaces import on_each_interface
from meshcache.edges.keyring import Keyring
from meshcache.edges.seeds import Seeds
from meshcache.workers.slots import Slot

if TYPE_CHECKING:
    from meshcache.edges.discovery import MdnsDiscovery


class Finders:
    """Runs all that looks for peers: calls `on_candidate` with ``host:port`` and where it is from ("seed", "dns",
    "host" or "mdns"), on other threads.

    A worker has a `slot`, in which it tells the other workers of its host where it listens.
    """

    def __init__(
        self,
        mesh: MeshSettings,
        address: str,
        keyring: Keyring,
        on_candidate: Callable[[str, str], None],
        slot: Slot | None = None,
    ) -> None:
        nearby = None
        if slot is not None:
            slot.publish(mesh.name, keyring.fingerprints[0], address)
            nearby = partial(_nearby, slot, mesh.name, keyring.fingerprints)
        self._seeds = Seeds(mesh.seeds, on_candidate, nearby)
        self.discovery: MdnsDiscovery | None = None
        if mesh.mdns:
            from meshcache.edges.discovery import Announcement, MdnsDiscovery  # here: zeroconf is a tenth of a start

            announcement = Announcement(on_each_interface(mesh, address), mesh.name, keyring.fingerprints)
            self.discovery = MdnsDiscovery(announcement, mesh.interfaces, lambda found: on_candidate(found, "mdns"))

    def start(self) -> Self:
        """Begin to look; returns at once."""
        self._seeds.start()
        if self.discovery is not None:
            self.discovery.start()
        return self

    def take(self, events: Iterable[Event]) -> None:
        """Ask on the LAN anew when these say that a peer was lost: somebody who isn't linked may hear it now."""
        if self.discovery is not None and any(isinstance(event, PeerLost) for event in events):
            self.discovery.ask_anew()

    def close(self) -> None:
        """Stop looking, and say goodbye where mDNS is spoken; may be called again."""
        self._seeds.close()
        if self.discovery is not None:
            self.discovery.close()


def _nearby(slot: Slot, mesh: str, fingerprints: tuple[str, ...]) -> list[str]:
    """Return where other workers of this host listen. They look for this one in the same rounds, so what couldn't be
    told, as on a full disk, is tried with each.
    """
    slot.publish_again()
    return slot.others(mesh, fingerprints)
