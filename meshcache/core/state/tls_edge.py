"""What the core asks of the TLS edge around it, without knowing it: a Protocol, which `runtime/vip_ports/ports.py` has.

Handshakes file and count by themselves for a while; the core has that handed over before it looks at its own tables.
"""

from __future__ import annotations

from typing import Protocol

from meshcache.core.values.session_id import Claim


class TlsEdge(Protocol):
    """Where handshakes are done. It is made before the core; all is called with the lock around the core held."""

    def settle(self) -> None:
        """Hand over to the core what handshakes made and counted and it hasn't heard of yet.

        Called before sessions are looked through, taken back or given to a peer that asks.
        """

    def claim_of(self, session_id: bytes) -> Claim | None:
        """Return what an id says of its maker; None for one that no member made. Called where no table knows it."""

    def ticket_keys_changed(self) -> None:
        """Use no copy of ticket keys any more: ask `TicketDuty.of_vip` anew, later, since nothing may be asked in here.

        Called when what that answers may have changed.
        """


class NoTlsEdge:
    """For a core alone: nothing waits anywhere, and nobody can read ids."""

    def settle(self) -> None:
        """All is filed already."""

    def claim_of(self, session_id: bytes) -> Claim | None:  # noqa: ARG002 - no key to read it by
        """Return None."""
        return None

    def ticket_keys_changed(self) -> None:
        """Nobody has a copy."""
