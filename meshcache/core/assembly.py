"""Puts the duties of one core together: makes each, tells it of the others, and lets each do what is due.

The order of `tick` is the order in which a reader may want to open the files.
"""

from __future__ import annotations

from typing import Any

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.quarantine import Quarantine
from meshcache.core.cache.streams import StreamTable
from meshcache.core.control.live_policies import LivePolicies
from meshcache.core.control.mesh_queries import MeshQueries
from meshcache.core.control.recall import Recall
from meshcache.core.control.vip_changes import VipChanges
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.membership.inbox import Handler, Inbox
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
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, NodeRecord, Rng
from meshcache.core.wire import messages, queries
from meshcache.core.wire.fields import FieldError, address


class Assembly:
    """All duties of one core; `MeshCore` is their face."""

    def __init__(self, identity: Identity, rng: Rng, now: float, limits: Limits) -> None:
        state = self.state = _state(identity, rng, now, limits)
        self._now = now
        self._timers_at: float | None = None
        self._sweep_at = now + limits.sweep_s
        quarantine = self._quarantine = Quarantine(limits.quarantine_max, limits.quarantine_s)
        withdraws = self.withdraws = Withdraws(state)
        recall = self._recall = Recall(state)
        self.joining = Joining(state, self._on_peer, self._on_record)
        links = self._links = Links(state, self.joining.candidates, now)
        audiences = Audiences(state, links)
        self.publisher = Publisher(state, audiences)
        self.liveness = Liveness(state, self.joining, self._wants, now)
        self.joining.chooses = self._wants
        intake = self._intake = Intake(state, audiences, recall, quarantine, withdraws, self._on_gap)
        self._repair = Repair(state, intake, self._on_hearsay)
        serving = self._serving = Serving(state, now)
        self._rosters = RosterExchange(state, self.joining.candidates)
        self.live = LivePolicies(state, self._on_hearsay, now)
        self.queries = MeshQueries(state, recall, withdraws, now)
        self._anti_entropy = AntiEntropy(state, self._repair, serving, self._rosters, withdraws, self.live, recall, now)
        # What a silent peer told only some of us should be with all of us soon.
        self.liveness.on_doubt = self._anti_entropy.compare_soon
        self._snapshot = Snapshot(state, self.joining, self._repair, serving, self._anti_entropy, now)
        self.vip_changes = VipChanges(state, self.joining, self.publisher, recall)
        self.sessions = LocalSessions(state, self.publisher, quarantine, withdraws)
        self.inbox = Inbox(state, self.joining.hello, self._on_refuse, self._handlers())

    def tick(self, now: float) -> None:
        """Everything that is due."""
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
        """Something came from outside: timers may be due earlier than was known."""
        self._now = max(self._now, now)
        self._timers_at = None

    def next_due(self) -> float:
        """When something is due; the time of the last step when messages wait. A publish doesn't make it costly."""
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
        """A hint from outside; peers that are linked already need none."""
        try:
            address(where)
        except FieldError:
            self.state.drop("bad_address")
            return
        if where == self.state.identity.address or (source != "seed" and self.state.members.at(where) is not None):
            return
        if not self.joining.candidates.hint(where, source, now):
            self.state.drop("candidates_full")

    def _handlers(self) -> dict[type[messages.Message], Handler]:
        return {
            messages.Heartbeat: self._heartbeat_received,
            messages.Ping: lambda peer, ping, _now: self.liveness.ping_received(peer, ping),
            messages.Pong: self.liveness.pong_received,
            messages.Leave: lambda peer, _leave, now: self.liveness.leave_received(peer, now),
            messages.Push: self._push_received,
            messages.Fetch: self._serving.fetch_received,
            messages.FetchReply: self._reply_received,
            messages.Digest: self._anti_entropy.digest_received,
            messages.Vector: self._anti_entropy.vector_received,
            messages.SnapshotAsk: self._snapshot.request_received,
            messages.SnapshotOffer: self._snapshot.offer_received,
            messages.RosterAsk: self._rosters.request_received,
            messages.Roster: self._rosters.roster_received,
            messages.Withdraw: self.withdraws.received,
            messages.LivePolicyUpdate: self.live.received,
            queries.Query: self.queries.query_received,
            queries.QueryReply: self.queries.reply_received,
        }

    def _heartbeat_received(self, peer: Peer, beat: Any, now: float) -> None:
        self.liveness.heartbeat_received(peer, beat)
        self._repair.heartbeat_received(peer, beat, now)

    def _push_received(self, peer: Peer, push: Any, now: float) -> None:
        self.state.counters.received.sessions += len(push.batch.entries.ids)
        self._intake.push_received(peer, push, now)

    def _reply_received(self, peer: Peer, fill: Any, now: float) -> None:
        self.state.counters.received.sessions += len(fill.batch.entries.ids) if fill.batch else 0
        self._repair.reply_received(peer, fill, now)

    def _wants(self, peer: Peer) -> bool:
        return self._links.wants(peer, self._now)

    def _on_peer(self, peer: Peer, now: float) -> None:
        self.liveness.send_heartbeat(peer)
        self.liveness.ping(peer, now)
        self._anti_entropy.compare(peer, now)

    def _on_record(self, record: NodeRecord, now: float) -> None:
        self._rosters.record_received(record, now)
        self._recall.record_received(record, now)

    def _on_gap(self, stream: Any, now: float) -> None:
        self._repair.gap_seen(stream, now)

    def _on_hearsay(self, now: float) -> None:
        self._anti_entropy.compare_soon(now)

    def _on_refuse(self, sender: str, reason: str, now: float) -> None:
        self.state.drop("refused_by_peer")
        self.joining.refused(sender, "", reason, now)

    def _sweep(self, now: float) -> None:
        limits, state = self.state.limits, self.state
        self._sweep_at = now + limits.sweep_s
        state.cache.expire(now, limits.sweep_entries)
        state.roster.expire(now, limits.forget_s)
        self._recall.by_hearsay(now)
        self.withdraws.expire(now)
        self._quarantine.expire(now)


def _state(identity: Identity, rng: Rng, now: float, limits: Limits) -> NodeState:
    counters, events, streams = Counters(), EventLog(), StreamTable()
    return NodeState(
        identity,
        limits,
        rng,
        counters,
        events,
        streams,
        SessionCache(streams, now),
        ServedVips(identity),
        Members(limits, events),
        RosterTable(identity.colo, limits.roster_max, counters.dropped),
        Outbox(identity, limits, counters),
    )
