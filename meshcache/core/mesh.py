"""The core's facade: one node's cache and its place in the mesh, as a calculator.

Bytes, sessions and `now` in; messages, events and the next deadline out. It has no clock, socket, thread or log, and it
is not locked: `node` owns the one lock that handshakes and the pump share. Delegates all of it, decides none of it.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from meshcache.core.events import Event
from meshcache.core.limits import Limits
from meshcache.core.policy import Verdict
from meshcache.core.session import Outcome, Session
from meshcache.core.topology import Identity, LocalVip, Rng

HandshakeResult = Literal["full", "local", "remote", "pulled", "failed"]


class Lookup(NamedTuple):
    """What a lookup found. Without a session, ``verdict`` says why: ALLOWED for a plain miss, else the refusal."""

    session: Session | None
    outcome: Outcome | None
    verdict: Verdict


class Outgoing(NamedTuple):
    """A message for the transport: to whom, what, and how many sessions it carries."""

    address: str
    payload: bytes
    sessions: int = 0


class MeshCore:
    """One node: see the contract of each method. `now` never runs backwards."""

    def __init__(self, identity: Identity, *, rng: Rng, now: float, limits: Limits = Limits()) -> None:  # noqa: B008
        """`rng` breaks ties and picks partners; seed it and the core repeats itself exactly."""
        raise NotImplementedError

    # --- the TLS side: on handshake threads, memory only ---

    def set_vip(self, vip: LocalVip, now: float) -> None:
        """Add a VIP or change it (attach, SIGHUP, live policy).

        The new terms go to every peer. Copies that they no longer allow here are removed and counted
        (`SessionsRecalled`); peers do the same when they learn of them. Raises ValueError when the terms name another
        node or colo than this one, or when there are too many VIPs.
        """
        raise NotImplementedError

    def remove_vip(self, name: str, now: float) -> None:
        """Serve a VIP no longer; its entries go. Unknown names are ignored."""
        raise NotImplementedError

    def session_created(
        self,
        vip: str,
        session_id: bytes,
        der: bytes,
        now: float,
        *,
        born_at: float | None = None,
        client_certificate: bool = False,
        lifetime_s: float | None = None,
    ) -> None:
        """File a session of this node's own and publish it to whom it may concern.

        ``born_at`` is when the full handshake of its lineage ended (default: now), ``lifetime_s`` what OpenSSL gives it
        if that is less than the VIP's. Send when `next_deadline()` is not after `now`.
        """
        raise NotImplementedError

    def lookup(self, vip: str, session_id: bytes, now: float) -> Lookup:
        """Find a session that may resume on this VIP now; counts how it ended."""
        raise NotImplementedError

    def session_unusable(self, vip: str, session_id: bytes, reason: Verdict, now: float) -> None:
        """The TLS edge would not give an entry to OpenSSL: it goes, isn't taken again for a while, and is counted."""
        raise NotImplementedError

    def session_removed(self, vip: str, session_id: bytes) -> None:
        """Forget a session here and only here."""
        raise NotImplementedError

    def handshake(self, vip: str, result: HandshakeResult) -> None:
        """Count how a handshake ended."""
        raise NotImplementedError

    def hit_not_resumed(self, vip: str) -> None:
        """Count a lookup that gave OpenSSL a session which it then didn't resume."""
        raise NotImplementedError

    # --- the mesh side: on the pump's thread ---

    def candidate(self, address: str, source: str, now: float) -> None:
        """A hint from mDNS, a seed or an operator: an address where a member may listen. Malformed ones are counted."""
        raise NotImplementedError

    def receive(self, connection: bytes, payload: bytes, now: float) -> None:
        """Take in one message; `connection` is the transport's name for the link it came on. Never raises for bytes."""
        raise NotImplementedError

    def refused(self, message: Outgoing, now: float) -> None:
        """The transport couldn't take this message (queue full, no link): counted, and repaired later."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Do what is due. Call it when `next_deadline()` has come, and at least then."""
        raise NotImplementedError

    def next_deadline(self) -> float:
        """When `handle_timer` and `messages_to_send` want to be called next."""
        raise NotImplementedError

    def links(self) -> frozenset[str]:
        """The addresses that the transport must keep a link to; ask after every step of the pump."""
        raise NotImplementedError

    def messages_to_send(self, now: float) -> list[Outgoing]:
        """Flush what is due and take everything that waits to be sent, in order for each address."""
        raise NotImplementedError

    def events(self) -> list[Event]:
        """What happened since the last call."""
        raise NotImplementedError

    def leave(self, now: float) -> None:
        """Say goodbye to all peers: send what `messages_to_send` then gives, and stop."""
        raise NotImplementedError

    def withdraw(
        self, now: float, *, vip: str | None = None, group: str | None = None, origin: str | None = None
    ) -> int:
        """Forget, mesh-wide, every session made before `now` that all the given names fit; says how many were here."""
        raise NotImplementedError

    def withdraw_session(self, vip: str, session_id: bytes, now: float) -> bool:
        """Forget one session mesh-wide; says whether it was here."""
        raise NotImplementedError

    def stats(self, now: float) -> dict[str, Any]:
        """The object of ``meshcache stats --json``, without ``node.uptime_s``."""
        raise NotImplementedError

    def peers(self, now: float) -> list[dict[str, Any]]:
        """Every peer with its state, VIPs and islands."""
        raise NotImplementedError
