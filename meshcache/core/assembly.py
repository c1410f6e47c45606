"""Puts the duties of one core together: makes each, tells it of the others, and lets each do what is due.

The order of `tick` is the order in which a reader may want to open the files.
"""

from __future__ import annotations

from collections.abc import Callable

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.quarantine import Quarantine
from meshcache.core.cache.streams import Stream, StreamTable
from meshcache.core.cache.vip_cache import VipCache, VipEntries
from meshcache.core.control.live_policies import LivePolicies
from meshcache.core.control.mesh_queries import MeshQueries
from meshcache.core.control.recall import Recall
from meshcache.core.control.vip_changes import VipChanges
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.membership.inbox import Handlers, Inbox
from meshcache.core.membership.joining import Joining
from meshcache.core.membership.links import Links
from meshcache.core.membership.liveness import Liveness
from meshcache.core.membership.roster_exchange import RosterExchange
from meshcache.core.replication.anti_entropy import AntiEntropy
from meshcache.core.replication.audience import Audiences
from meshcache.core.replication.intake import Intake
from meshcache.core.replication.local_sessions import LocalSessions
from meshcache.core.replication.publisher import Publisher
from meshcache.core.replication.repair import Repair
from meshcache.core.replication.serving import Serving
from meshcache.core.replication.snapshot import Snapshot
from meshcache.core.state.counters import Counters
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.node_state import NodeState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.refusals import Refusals
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, NodeRecord, Rng
from meshcache.core.wire import messages, queries
from meshcache.core.wire.fields import FieldError, address


class Assembly:
    """All duties of one core; `MeshCore` is their face."""

    def __init__(
        self,
        identity: Identity,
        rng: Rng,
        now: float,
        limits: Limits,
        make_share: Callable[[int, int], VipEntries] = VipCache,
    ) -> None:
        state = self.state = _state(identity, rng, now, limits, make_share)
        self._now = now
        self._timers_at: float | None = None
        self._sweep_at = now + limits.sweep_s
        quarantine = self._quarantine = Quarantine(limits.quarantine_max, limits.quarantine_s)
        withdraws = self.withdraws = Withdraws(state)
        recall = self._recall = Recall(state)
        self.joining = Joining(state, self)
        links = self._links = Links(state, self.joining.candidates, now)
        audiences = Audiences(state, links)
        self.publisher = Publisher(state, audiences)
        self.liveness = Liveness(state, self.joining, self, now)
        intake = self._intake = Intake(state, audiences, recall, quarantine, withdraws, self)
        self._repair = Repair(state, intake, self)
        serving = self._serving = Serving(state, now)
        self._rosters = RosterExchange(state, self.joining.candidates, self)
        self.live = LivePolicies(state, self, now)
        self.queries = MeshQueries(state, recall, withdraws, now)
        self._anti_entropy = AntiEntropy(state, self._repair, serving, self._rosters, withdraws, self.live, recall, now)
        self._snapshot = Snapshot(state, self.joining, self._repair, serving, self._anti_entropy, now)
        self.vip_changes = VipChanges(state, self.joining, self.publisher, recall)
        self.sessions = LocalSessions(state, self.publisher, quarantine, withdraws)
        joining = self.joining
        self.inbox = Inbox(state, joining.hello, joining.refused_by, joining.old_life, self._handlers())

    def tick(self, now: float) -> None:
        """Do everything that is due."""
        self.woken(now)
        self.liveness.doubt_ourselves(now)
        self._links.tick(now)
        self.joining.tick(now)
        self.liveness.tick(now)
        self.publisher.flush(now)
        self._snapshot.tick(now)
        self._repair.tick(now)
        self._anti_entropy.tick(now)
        if self._sweep_at <= now:
            self._sweep(now)
        self.liveness.rest(now)

    def woken(self, now: float) -> None:
        """Note that something came from outside: timers may be due earlier than was known."""
        self._now = max(self._now, now)
        self._timers_at = None

    def next_due(self) -> float:
        """Return when something is due: the time of the last step when messages wait. Cheap, also after a publish."""
        if self.state.outbox:
            return self._now
        if self._timers_at is None:
            self._timers_at = self._next_timer()
        return min(self.publisher.due_at, self._timers_at)

    def _next_timer(self) -> float:
        return min(
            self._links.next_due(),
            self.joining.next_due(),
            self.liveness.next_due(),
            self._snapshot.next_due(),
            self._repair.next_due(),
            self._anti_entropy.next_due(),
            self._sweep_at,
        )

    def candidate(self, where: str, source: str, now: float) -> None:
        """Take a hint where a member may listen; peers that are linked already need none."""
        if not self._may_dial(where) or (source != "seed" and self.state.members.at(where) is not None):
            return
        if not self.joining.candidates.hint(where, source, now):
            self.state.drop(Drop.CANDIDATES_FULL)

    def remembered(self, where: str, heard_at: float, now: float) -> None:
        """Try an address that an earlier life of this node knew, now and then for a day."""
        if self._may_dial(where) and self.state.members.at(where) is None:
            self.joining.bygone.remember(where, heard_at, now)

    def _may_dial(self, where: str) -> bool:
        try:
            address(where)
        except FieldError:
            self.state.drop(Drop.BAD_ADDRESS)
            return False
        return where != self.state.identity.address

    # --- what duties tell each other: `state.outlet.Outlet` ---

    def wants_link(self, peer: Peer) -> bool:
        """Return whether this node wants a link to a peer."""
        return self._links.wants(peer, self._now)

    def peer_joined(self, peer: Peer, now: float) -> None:
        """Show a new peer that we live, measure the way to it, and compare with it."""
        peer.late_s = max(peer.late_s, self.liveness.stalled_s(now))  # until an answer shows how long the way takes
        self.liveness.send_heartbeat(peer)
        self.liveness.ping(peer, now)
        self._anti_entropy.compare(peer, now)

    def record_heard(self, record: NodeRecord, now: float) -> None:
        """Spread what a peer says of itself, and hold what is here to its newest terms."""
        self._rosters.record_received(record, now)
        self._recall.record_received(record, now)

    def peer_doubted(self, now: float) -> None:
        """Compare soon: what a silent peer told only some of us should be with all of us."""
        self._anti_entropy.compare_soon(now)

    def gap_seen(self, stream: Stream, now: float) -> None:
        """Have a gap filled."""
        self._repair.gap_seen(stream, now)

    def hearsay_heard(self, now: float) -> None:
        """Compare soon: others may not have heard it."""
        self._anti_entropy.compare_soon(now)

    def _handlers(self) -> Handlers:
        handlers = Handlers()
        handlers.add(messages.Heartbeat, self._heartbeat_received)
        handlers.add(messages.Ping, self.liveness.ping_received)
        handlers.add(messages.Pong, self.liveness.pong_received)
        handlers.add(messages.Leave, self.liveness.leave_received)
        handlers.add(messages.Push, self._push_received)
        handlers.add(messages.Fetch, self._serving.fetch_received)
        handlers.add(messages.FetchReply, self._fetch_reply_received)
        handlers.add(messages.Digest, self._anti_entropy.digest_received)
        handlers.add(messages.Vector, self._anti_entropy.vector_received)
        handlers.add(messages.SnapshotAsk, self._snapshot.request_received)
        handlers.add(messages.SnapshotOffer, self._snapshot.offer_received)
        handlers.add(messages.RosterAsk, self._rosters.request_received)
        handlers.add(messages.Roster, self._rosters.roster_received)
        handlers.add(messages.Withdraw, self.withdraws.received)
        handlers.add(messages.LivePolicyUpdate, self.live.received)
        handlers.add(queries.Query, self.queries.query_received)
        handlers.add(queries.QueryReply, self.queries.reply_received)
        return handlers

    def _heartbeat_received(self, peer: Peer, beat: messages.Heartbeat, now: float) -> None:
        self.liveness.heartbeat_received(peer, beat)
        self._repair.heartbeat_received(peer, beat, now)

    def _push_received(self, peer: Peer, push: messages.Push, now: float) -> None:
        self.state.counters.received.sessions += len(push.batch.entries.ids)
        self._intake.push_received(peer, push, now)

    def _fetch_reply_received(self, peer: Peer, reply: messages.FetchReply, now: float) -> None:
        self.state.counters.received.sessions += len(reply.batch.entries.ids) if reply.batch else 0
        self._repair.reply_received(peer, reply, now)

    def name_contested(self, holder: Peer, now: float) -> None:
        """Ask the holder for a sign of life."""
        self.liveness.ping(holder, now)

    def own_name_heard(self, record: NodeRecord, now: float) -> None:
        """Outbid what this node never said."""
        self.joining.heard_of_us(record, now)

    def name_outbid(self, incarnation: int, why: str, now: float) -> None:
        """Go on as a later life."""
        self.publisher.flush_all(now)
        self.vip_changes.outbid(incarnation, why, now)

    def _sweep(self, now: float) -> None:
        limits, state = self.state.limits, self.state
        self._sweep_at = now + limits.sweep_s
        state.cache.expire(now, limits.sweep_entries)
        state.roster.expire(now, limits.forget_s)
        self._recall.by_hearsay(now)
        self.withdraws.expire(now)
        self._quarantine.expire(now)


def _state(
    identity: Identity, rng: Rng, now: float, limits: Limits, make_share: Callable[[int, int], VipEntries]
) -> NodeState:
    counters, events, streams = Counters(), EventLog(), StreamTable()
    return NodeState(
        identity,
        limits,
        rng,
        counters,
        events,
        streams,
        SessionCache(streams, now, make_share=make_share),
        ServedVips(identity),
        Members(limits, events),
        RosterTable(identity.colo, limits.roster_max, counters.dropped),
        Outbox(identity, limits, counters),
        Refusals(events),
    )
