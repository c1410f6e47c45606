"""The core's facade: one node's cache and its place in the mesh, as a calculator.

Bytes, sessions and `now` in; messages, events and the next deadline out. It has no clock, socket, thread or log, and it
is not locked: `node` owns the one lock that handshakes and the pump share. Delegates all of it, decides none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshcache.core.assembly import Assembly
from meshcache.core.cache.vip_cache import VipCache, VipEntries
from meshcache.core.policy.gates import Terms, Verdict
from meshcache.core.policy.own_policy import OwnPolicy
from meshcache.core.repair.snapshot import CatchUp
from meshcache.core.replication.local_sessions import Filing, HandshakeResult, Lookup, MadeAtDoor, made_at_door
from meshcache.core.state.counters import FoundAtDoor
from meshcache.core.state.members import PeerState
from meshcache.core.state.outbox import Outgoing
from meshcache.core.state.tls_edge import NoTlsEdge, TlsEdge
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import Event
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import LIFETIME_S_MAX_TLS13, Outcome, Session
from meshcache.core.values.topology import Identity, LocalVip, NodeRecord, Rng
from meshcache.core.wire import fields

_NOT_SENT_S = 10.0
"""A peer that is heard and takes nothing for so long is worth a line; a link takes moments to come up."""

__all__ = ["CatchUp", "Filing", "HandshakeResult", "Lookup", "MadeAtDoor", "MeshCore", "Outgoing", "made_at_door"]


class MeshCore:
    """Sans-I/O core of one node. Call `receive` or `handle_timer`, then drain `messages_to_send` and `events`.

    `now` is monotonic and never runs backwards. Nothing here locks: one lock of the caller's is around every call.

    Hostile: every byte given to `receive`, every address given to `candidate`, every session id given to `lookup`.
    What is wrong with them is counted and dropped; none raises. Trusted: the caller's own VIPs, sessions and times.
    Secret: session ids and DERs, and so the payloads of `messages_to_send`. May be lost: any message and any session,
    at any time; what is lost is repaired, or is a full handshake.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        rng: Rng,
        now: float,
        limits: Limits | None = None,
        make_vip_cache: Callable[[int, int], VipEntries] = VipCache,
        edge: TlsEdge | None = None,
    ) -> None:
        """`rng` breaks ties and picks partners; seed it and the core repeats itself exactly. `make_vip_cache` makes
        what holds one VIP's sessions. `edge` is where handshakes keep things for a while; see there.

        Raises ValueError when a name or the address of the identity is not one that can be told to peers.
        """
        _check(identity)
        edge = edge or NoTlsEdge()
        self.duties = Assembly(identity, rng, now, limits or Limits(), make_vip_cache, edge)
        """The tables and duties behind this face, for tests and whoever diagnoses a node: look, change nothing."""
        self._vips, self._cache, self._streams = self.duties.vips, self.duties.cache, self.duties.streams
        self.live, self.queries = self.duties.live, self.duties.queries
        """What operators set on the live mesh, and questions to all nodes with their answers. Called as those below."""
        self.tickets, self.awaiting = self.duties.tickets, self.duties.awaiting
        self.pulling, self.pull_serving = self.duties.pulling, self.duties.pull_serving
        """The ticket keys of the VIPs that have tickets; what handshakes wait for, and fetch. Called as those below."""
        self.withdraws, self.consuming = self.duties.withdraws, self.duties.consuming
        """The withdraws in force, to look at (`withdraw` issues one); single use. Called as those above."""
        self.hand_over, self.tiering = self.duties.hand_over, self.duties.tiering
        """Give sessions to the process that follows this one, and to tiers, and take in what they had."""
        self.receive_known, self.intake_fast_path = self.duties.intake_fast_path.take, self.duties.intake_fast_path
        """Takes in a push like those before it. False, with nothing done, for any other message: `receive` that. Who
        does it lets others file such pushes without asking each time."""
        self.push_made = self.duties.publisher_fast_path.take
        self.settle = edge.settle
        """Have what handshakes filed by themselves handed over, before sessions are looked at or taken back."""

    # --- the TLS side: on handshake threads, which wait for nothing but the lock ---

    def set_vip(self, vip: LocalVip, now: float) -> None:
        """Add a VIP or change it (attach, SIGHUP, live policy). The new terms go to every peer.

        Copies that they no longer allow here are removed and counted (`SessionsRecalled`); peers do the same when they
        learn of them. Raises ValueError for terms of another node or colo than this one's, or of one VIP too many.
        """
        self.duties.woken(now)
        self.duties.vip_changes.set_vip(vip, now)

    def remove_vip(self, name: str, now: float) -> None:
        """Serve a VIP no longer; its entries go. Unknown names are ignored."""
        self.settle()
        self.duties.woken(now)
        self.duties.vip_changes.remove_vip(name, now)

    def follow(self, own_policy: OwnPolicy, now: float) -> None:
        """Ask an operator's own policy about each crossing that terms allow; call it again when its answers change.
        What it forbids of the sessions that are here is removed and counted (`SessionsRecalled`)."""
        self.settle()
        self.duties.woken(now)
        self.duties.vip_changes.follow(own_policy, now)

    @property
    def name(self) -> str:
        """This node's name."""
        return self._vips.record.node

    @property
    def identity(self) -> Identity:
        """Who this node is, in its present life."""
        return self.duties.local.identity

    @property
    def own_policy(self) -> OwnPolicy:
        """The operator's own policy that is asked now."""
        return self._vips.own_policy

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
    ) -> float:
        """File a session that this node made, and queue it for every permitted peer. Returns `next_deadline()`: send
        when it is not after `now`.

        ``born_at`` is when the full handshake of its lineage ended (default: now), ``lifetime_s`` what OpenSSL gives it
        if that is less than the VIP's. Unknown VIPs are ignored.
        """
        served = self._vips.get(vip)
        if served is not None:
            born = now if born_at is None else born_at
            lasts_s = LIFETIME_S_MAX_TLS13 if lifetime_s is None else lifetime_s
            self.duties.sessions.created(served, session_id, der, born, lasts_s, client_certificate, now)
        return self.duties.next_due()

    def sessions_made(self, vip: str, made: list[MadeAtDoor], now: float) -> int:
        """Do that for several that handshakes filed themselves. Return how many were taken, the first ones."""
        served = self._vips.get(vip)
        return 0 if served is None else self.duties.sessions.made(served, made, now)

    def lookup(self, vip: str, session_id: bytes, now: float, *, counts: bool = True) -> Lookup:
        """Find a session that may resume on this VIP now, and count how that ended.

        Without `counts` the caller does that, by `lookup_ended` or `lookup_refused`, once it knows.
        """
        served = self._vips.get(vip)
        if served is None:
            return Lookup(None, None, Verdict.NO_TERMS)
        return self.duties.sessions.lookup(served, session_id, now, counts=counts)

    def filing(self, vip: str) -> Filing | None:
        """Return where a VIP's sessions are and what it asks of them, for those who look without the core, or None."""
        served = self._vips.get(vip)
        if served is None:
            return None
        vip_caches = tuple(
            vip_cache for name in served.filed_under if (vip_cache := self._cache.vip_cache(name)) is not None
        )
        return Filing(vip_caches, served.stream.index, self._cache.epoch, served.vip.lineage_s)

    def stream_of(self, session: Session) -> int:
        """Return the number of a session's stream, as the heads of entries have it."""
        stream = self._streams.get(session.stream)
        assert stream is not None, "sessions here never outlive their stream"
        return stream.index

    def collects_until(self, vip: str, now: float) -> float:
        """Queue what is due; return until when sessions of this VIP may be collected before they are filed."""
        self.duties.publisher.flush(now)
        served = self._vips.get(vip)
        return now if served is None else self.duties.publisher.collects_until(served, now)

    def looked_up(self, vip: str, found: FoundAtDoor) -> None:
        """Count what handshakes found without the core."""
        served = self._vips.get(vip)
        if served is not None:
            served.counters.add_found(found)

    def asked_elsewhere(self, vip: str, step: str, end: str) -> None:
        """Count how one step of looking elsewhere ended, for a handshake that was paused."""
        served = self._vips.get(vip)
        if served is not None:
            served.counters.asked[step, end] += 1

    @property
    def catch_up(self) -> CatchUp:
        """How far this node is with what its peers had before it came. It takes and gives sessions meanwhile."""
        progress = self.duties.snapshot.progress
        return progress._replace(done=progress.done and self.duties.holdings.is_ready)

    def holds(self, vip: str, session_id: bytes) -> bool:
        """Return whether a lookup would find an entry at all, expired or not. Counts nothing."""
        served = self._vips.get(vip)
        return served is not None and self.duties.sessions.holds(served, session_id)

    def lookup_ended(self, vip: str, outcome: Outcome | None) -> None:
        """Count a lookup that found a session, or (None) knew no such id."""
        served = self._vips.get(vip)
        if served is not None:
            self.duties.sessions.ended(served, outcome)

    def session_unusable(
        self, vip: str, session_id: bytes, reason: Verdict, now: float, *, counted: bool = True
    ) -> None:
        """Remove and quarantine a session that `lookup` gave and OpenSSL can't use, and count that. With ``counted`` it
        was counted as a hit, which is taken back."""
        served = self._vips.get(vip)
        if served is not None:
            self.duties.sessions.unusable(served, session_id, reason, now, counted=counted)
            self.pulling.blame(session_id, now)

    def session_removed(self, vip: str, session_id: bytes) -> None:
        """Forget a session here and only here."""
        served = self._vips.get(vip)
        if served is not None:
            self.duties.sessions.removed(served, session_id)

    def lookup_refused(self, vip: str, reason: Verdict) -> None:
        """Count a session that `lookup` would not give, or an id on a connection that may look nothing up."""
        served = self._vips.get(vip)
        if served is not None:
            self.duties.sessions.refused(served, reason)

    def session_refused(self, vip: str, reason: Verdict) -> None:
        """Count a session that a handshake made here and that may not be kept."""
        served = self._vips.get(vip)
        if served is not None:
            served.counters.refuse(reason)

    def handshake(self, vip: str, result: HandshakeResult) -> None:
        """Count how a handshake ended. This method alone needs no lock of the caller's."""
        counters = self.duties.telemetry.counters.vips.get(vip)  # unlike the table of VIPs it only ever grows
        if counters is not None:
            counters.handshakes.add(result)

    def hit_not_resumed(self, vip: str) -> None:
        """Count a lookup that gave OpenSSL a session which it then didn't resume."""
        served = self._vips.get(vip)
        if served is not None:
            served.counters.hit_not_resumed += 1

    # --- the mesh side: on the pump's thread ---

    def candidate(self, address: str, source: str, now: float) -> None:
        """Try an address where a member may listen; a ``"seed"``, which an operator wrote, for ever. Malformed
        addresses are counted, and our own is ignored."""
        self.duties.woken(now)
        self.duties.joining.hinted(address, source, now)

    def remembered(self, address: str, heard_s: float, now: float) -> None:
        """Try an address now and then for a day: an earlier life of this node heard a member there so long ago."""
        self.duties.woken(now)
        self.duties.joining.remembered(address, now - heard_s, now)

    def places(self, now: float) -> dict[str, float]:
        """Return where members listen or listened, with the seconds since one was heard there: for `remembered`."""
        return {address: now - heard_at for address, heard_at in self.duties.joining.places().items()}

    def candidate_lost(self, address: str, source: str = "") -> None:
        """Try an address no longer that only a hint named, or a ``"seed"`` its operator; a linked peer there stays."""
        self.duties.joining.candidates.lost(address, source)

    def receive(self, connection: bytes, payload: bytes, now: float) -> None:
        """Take in one message; `connection` is the transport's name for the link it came on. Never raises for bytes."""
        if not self.receive_known(connection, payload, now):
            self.duties.woken(now)
            self.duties.inbox.receive(connection, payload, now)

    def refused(self, message: Outgoing, now: float) -> None:
        """Count a message that the transport couldn't take (queue full, no link); what it carried is repaired later.

        A hello to an address where nobody answered yet is tried again anyway, and isn't counted.
        """
        peer = self.duties.members.at(message.address)
        if peer is None:
            return
        self.duties.telemetry.drop(Drop.NOT_SENT)
        if peer.state is PeerState.ALIVE:
            self.duties.telemetry.refusals.note(peer.name, peer.address, Drop.NOT_SENT, now, patience_s=_NOT_SENT_S)
        if message.sessions:
            peer.blocked_until = now + self.duties.local.limits.blocked_s

    def handle_timer(self, now: float) -> None:
        """Do what is due. Call it when `next_deadline()` has come, and at least then."""
        self.duties.tick(now)

    def next_deadline(self) -> float:
        """Return when to call `handle_timer` and `messages_to_send` next; it is in the past when messages wait."""
        return self.duties.next_due()

    def rest_s(self, received: int) -> float:
        """Return how long messages may lie unread after so many were read."""
        return self.pull_serving.hurried(self.duties.local.limits.rest_s(len(self.duties.members), received))

    def links(self) -> frozenset[str]:
        """Return the addresses that the transport must keep a link to; ask after every step of the pump."""
        peers = (peer.address for peer in self.duties.members if not self.duties.joining.is_ourselves(peer))
        return frozenset((*peers, *self.duties.joining.candidates.dialling()))

    def ways_back(self) -> dict[str, bytes]:
        """Return where peers are newly heard since the last call, for the transport: connections by address."""
        return self.duties.inbox.ways_back()

    def messages_to_send(self, now: float) -> list[Outgoing]:
        """Flush what is due, and return everything that waits to be sent, in order for each address."""
        self.duties.flush(now)
        return self.duties.outbox.drain()

    def events(self) -> list[Event]:
        """Return what happened since the last call."""
        return self.duties.telemetry.events.drain()

    def note(self, event: Event) -> None:
        """Add to the events what happened beside the core."""
        self.duties.telemetry.events.add(event)

    def leave(self, now: float, *, goodbye: bool = True) -> None:
        """Say goodbye to all peers: send what `messages_to_send` then gives, and stop.

        Without `goodbye` the next life of this node follows at once, which is all that they need to hear. The ticket
        keys stay until that has them: call `TicketDuty.forget` then.
        """
        self.duties.woken(now)
        self.duties.flush_all(now)
        if goodbye:
            self.duties.liveness.leave()
            self.tickets.forget(now)

    def withdraw(self, now: float, *, vip: str = "", group: str = "", origin: str = "") -> int:
        """Forget, mesh-wide, every session made before `now` that all given names fit. Return how many were here."""
        self.settle()
        gone = self.duties.withdraws.issue(now, vip, group, origin)
        self.tickets.follow(now)
        return gone

    def withdraw_session(self, vip: str, session_id: bytes, now: float) -> bool:
        """Forget one session mesh-wide. Return whether it was here, or may be held elsewhere (`copies`): else nothing
        is done."""
        self.settle()
        return self.duties.withdraws.issue_one(vip, session_id, now)

    def records(self) -> list[tuple[NodeRecord, str]]:
        """Return every node that is known, this one first, with its state: own, alive, suspect, lost, or hearsay."""
        return self.duties.rosters.everybody()

    def local_vips(self) -> list[LocalVip]:
        """Return the VIPs that are served here, ordered by name."""
        return [served.vip for served in self._vips]

    def recalled(self, vip: str) -> int:
        """Return how many copies of a VIP's sessions today's policies have taken away here so far."""
        counters = self.duties.telemetry.counters.vips.get(vip)
        return counters.recalled if counters is not None else 0

    def origins(self) -> set[str]:
        """Return every node that sessions here, or streams of them, come from."""
        return {stream.key.origin for stream in self._streams}

    def session_ids(self, vip: str) -> list[bytes]:
        """Return a copy of the ids under which a VIP's sessions are filed; it takes a millisecond for 200,000."""
        self.settle()
        vip_cache = self._cache.vip_cache(vip)
        return vip_cache.ids() if vip_cache is not None else []

    def session_origin(self, vip: str, session_id: bytes) -> tuple[Session, Terms] | None:
        """Return a session that is filed under a VIP here, with the terms it was made under; doesn't count as use."""
        self.settle()
        session = self._cache.peek(vip, session_id)
        stream = None if session is None else self._streams.get(session.stream)
        return None if session is None or stream is None else (session, stream.terms)

    def made_here(self, session: Session) -> bool:
        """Return whether this process made a session, in whichever of its lives."""
        return any(served.made(session) for served in self._vips)

    def stats(self, now: float) -> dict[str, Any]:
        """Return the object of ``meshcache stats --json``, without ``node.uptime_s``."""
        self.settle()
        return self.duties.stats.stats(now)

    def peers(self, now: float) -> list[dict[str, Any]]:
        """Return every peer with its state, VIPs and islands."""
        return self.duties.stats.peers(now)


def _check(identity: Identity) -> None:
    for name in (identity.mesh, identity.node, identity.colo):
        fields.name(name)
    fields.incarnation(identity.incarnation)
    fields.address(identity.address)
    fields.text(0, 32)(identity.version)
