"""Puts one core together: makes the tables and the duties, gives each what it needs, and lets each do what is due.

The order of `tick` is the order in which a reader may want to open the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.consumed_ids import ConsumedIds
from meshcache.core.cache.filed_in_c import FiledInC
from meshcache.core.cache.quarantine import Quarantine
from meshcache.core.cache.streams import Stream, StreamTable
from meshcache.core.cache.vip_cache import VipEntries
from meshcache.core.control.live_policies import LivePolicies
from meshcache.core.control.mesh_queries import MeshQueries
from meshcache.core.control.recall import Recall
from meshcache.core.control.vip_changes import VipChanges
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.holders.audience import Audiences
from meshcache.core.holders.awaiting import Awaiting
from meshcache.core.holders.holdings_readiness import HoldingsReadiness
from meshcache.core.holders.placement import Placement
from meshcache.core.holders.relay_retention import RelayRetention
from meshcache.core.membership.connections import Connections
from meshcache.core.membership.inbox import Handlers, Inbox
from meshcache.core.membership.joining import Joining
from meshcache.core.membership.links import Links
from meshcache.core.membership.liveness import Liveness
from meshcache.core.membership.roster_exchange import RosterExchange
from meshcache.core.membership.superseded_lives import SupersededLives
from meshcache.core.policy.gates import Terms
from meshcache.core.repair.anti_entropy import AntiEntropy
from meshcache.core.repair.copy_fetching import CopyFetching
from meshcache.core.repair.copy_telling import CopyTelling
from meshcache.core.repair.hand_over import HandOver
from meshcache.core.repair.holdings import Holdings
from meshcache.core.repair.pull_serving import PullServing
from meshcache.core.repair.pulling import Pulling
from meshcache.core.repair.relay_turns import RelayTurns
from meshcache.core.repair.repair import Repair
from meshcache.core.repair.seen_streams import SeenStreams
from meshcache.core.repair.serving import Serving
from meshcache.core.repair.snapshot import Snapshot
from meshcache.core.replication.consuming import Consuming
from meshcache.core.replication.intake import Intake
from meshcache.core.replication.intake_fast_path import IntakeFastPath
from meshcache.core.replication.local_sessions import LocalSessions
from meshcache.core.replication.publisher import Publisher
from meshcache.core.replication.publisher_fast_path import PublisherFastPath
from meshcache.core.replication.relaying import Relaying
from meshcache.core.replication.tiering import Tiering
from meshcache.core.state.counters import Counters
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.outlet import Fits
from meshcache.core.state.refusals import Refusals
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.state.tls_edge import TlsEdge
from meshcache.core.stats import Stats
from meshcache.core.tickets.ticket_duty import TicketDuty
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, NodeRecord, Rng
from meshcache.core.wire import messages, queries, single_use, ticket_messages


class Assembly:
    """The tables of one core, and all duties, each made with the tables it may touch; `MeshCore` is their face.

    Every one has a public name, for tests and for whoever has to find out why a node does what it does: look, change
    nothing.
    """

    def __init__(
        self,
        identity: Identity,
        rng: Rng,
        now: float,
        limits: Limits,
        make_vip_cache: Callable[[int, int], VipEntries],
        edge: TlsEdge,
    ) -> None:
        self._now = now
        self._edge = edge
        self._timers_at: float | None = None
        self._sweep_at = now + limits.sweep_s
        self._make_tables(identity, rng, now, limits, make_vip_cache)
        self._make_duties(now)

    def _make_tables(
        self, identity: Identity, rng: Rng, now: float, limits: Limits, make_vip_cache: Callable[[int, int], VipEntries]
    ) -> None:
        counters, events = Counters(), EventLog()
        self.local = LocalNode(identity, limits, rng)
        self.telemetry = Telemetry(counters, events, Refusals(events))
        self.streams = StreamTable()
        self.cache = SessionCache(self.streams, now, make_vip_cache=make_vip_cache)
        self.filed_in_c = FiledInC(self.cache)
        self.quarantine = Quarantine(limits.quarantine_max, limits.quarantine_s)
        self.consumed = ConsumedIds(limits.consumed_max, limits.consumed_s, now)
        self.vips = ServedVips(identity)
        self.members = Members(limits, events)
        self.roster = RosterTable(identity.colo, limits.roster_max, self.telemetry.drop)
        self.outbox = Outbox(self.local, self.telemetry)

    def _make_duties(self, now: float) -> None:
        local, telemetry, streams, cache = self.local, self.telemetry, self.streams, self.cache
        vips, members, roster, outbox = self.vips, self.members, self.roster, self.outbox
        limits = local.limits
        self.withdraws = Withdraws(local, telemetry, cache, vips, members, outbox, self)
        self.recall = Recall(telemetry, cache, vips, members, roster, outbox)
        self.joining = Joining(local, telemetry, streams, vips, members, outbox, self)
        self.superseded_lives = SupersededLives(self.recall.ages, members, roster, self.joining.tell_life, now)
        candidates = self.joining.candidates
        self.links = Links(local, vips, members, roster, candidates, now)
        self.audiences = Audiences(local, vips, members, self.links)
        self.placement = Placement(local, vips, members, self.audiences)
        self.publisher = Publisher(limits, telemetry, vips, outbox, self.audiences, self.placement)
        self.liveness = Liveness(local, telemetry, vips, members, outbox, self.joining, self, now)
        self.relaying = Relaying(local, telemetry, members, outbox, self.audiences, self.placement)
        self.awaiting = Awaiting(local, vips, members, self.placement)
        self.relay_retention = RelayRetention(local, telemetry, cache, outbox, self.placement)
        self.intake = Intake(
            local,
            telemetry,
            cache,
            vips,
            self.relaying,
            self.recall,
            self.quarantine,
            self.withdraws,
            self.consumed,
            self.awaiting,
            self.placement,
            self.relay_retention,
            self,
        )
        self.repair = Repair(
            local, telemetry, streams, vips, members, outbox, self.recall, self.relaying, self.intake, self
        )
        self.pulling = Pulling(
            local,
            telemetry,
            vips,
            members,
            outbox,
            self.relaying,
            self.intake,
            self.awaiting,
            self.placement,
            now,
        )
        self.pull_serving = PullServing(local, telemetry, cache, vips, members, outbox, self.publisher, self._edge, now)
        self.seen = SeenStreams(local, streams, vips)
        self.serving = Serving(local, cache, vips, outbox, self.seen, self.placement, now)
        self.relay_turns = RelayTurns(cache, vips, outbox, self.audiences, now)
        self.holdings_readiness = HoldingsReadiness(local, vips, members, outbox, now)
        self.copy_telling = CopyTelling(local, cache, outbox, self.placement, self.holdings_readiness, now)
        self.copy_fetching = CopyFetching(local, cache, vips, members, self.recall, self.repair)
        self.holdings = Holdings(
            local, cache.streams, vips, members, self.holdings_readiness, self.copy_telling, self.copy_fetching
        )
        self.rosters = RosterExchange(local, telemetry, vips, members, roster, outbox, candidates, self)
        self.live = LivePolicies(local, telemetry, vips, members, outbox, self, now)
        self.queries = MeshQueries(local, telemetry, cache, vips, members, outbox, self.recall, self.withdraws, now)
        self.anti_entropy = AntiEntropy(
            local, vips, members, outbox, self.seen, self.repair, self.rosters, self.withdraws, self.live, now
        )
        self.snapshot = Snapshot(
            local, telemetry, vips, members, outbox, self.joining, self.repair, self.serving, self.seen, now
        )
        self.vip_changes = VipChanges(local, telemetry, cache, vips, self.joining, self.publisher, self.recall, self)
        self.tiering = Tiering(local, cache, vips, self.intake, self.withdraws)
        self.consuming = Consuming(
            local,
            telemetry,
            cache,
            vips,
            members,
            roster,
            outbox,
            self.audiences,
            self.awaiting,
            self.tiering,
            self.consumed,
            self._edge,
        )
        self.sessions = LocalSessions(
            cache, self.filed_in_c, self.publisher, self.quarantine, self.withdraws, self.tiering
        )
        self.publisher_fast_path = PublisherFastPath(self.filed_in_c, vips, self.publisher, self.withdraws)
        self.tickets = TicketDuty(
            local, telemetry, vips, members, roster, outbox, self.withdraws, self.joining, self._edge, now
        )
        self.hand_over = HandOver(
            local, cache, vips, members, self.seen, self.intake, self.withdraws, self.consumed, self.tickets
        )
        connections = Connections(limits)
        self.intake_fast_path = IntakeFastPath(
            local,
            telemetry,
            cache,
            self.filed_in_c,
            vips,
            members,
            self.quarantine,
            self.withdraws,
            self.consumed,
            self.awaiting,
            connections,
        )
        self.inbox = Inbox(
            telemetry,
            members,
            self.joining.hello,
            self.joining.refused_by,
            self.joining.old_life,
            self.intake_fast_path.learn,
            self._handlers(),
            connections,
        )
        self.stats = Stats(local, telemetry, cache, vips, members, outbox)

    def tick(self, now: float) -> None:
        """Do everything that is due."""
        self.woken(now)
        self.liveness.doubt_ourselves(now)
        self.links.tick(now)
        self.joining.tick(now)
        self.liveness.tick(now)
        self.flush(now)
        self.snapshot.tick(now)
        self.repair.tick(now)
        self.anti_entropy.tick(now)
        self.relay_turns.tick(now)
        self.holdings.tick(now)
        self.relay_retention.tick(now)
        self.tickets.tick(now)
        if self._sweep_at <= now:
            self._sweep(now)
        self.liveness.rest(now)

    def woken(self, now: float) -> None:
        """Note that something came from outside: timers may be due earlier than was known."""
        self._now = max(self._now, now)
        self._timers_at = None

    def next_due(self) -> float:
        """Return when something is due: the time of the last step when messages wait. Cheap, also after a publish."""
        if self.outbox:
            return self._now
        if self._timers_at is None:
            self._timers_at = self._next_timer()
        return min(self.publisher.due_at, self.consuming.due_at, self._timers_at)

    def flush(self, now: float) -> None:
        """Queue messages for what is due of what handshakes made and used up."""
        self.consuming.flush(now)
        self.publisher.flush(now)

    def flush_all(self, now: float) -> None:
        """Queue messages for all of it: this life ends."""
        self.consuming.flush_all(now)
        self.publisher.flush_all(now)

    def _next_timer(self) -> float:
        return min(
            self.links.next_due(),
            self.joining.next_due(),
            self.liveness.next_due(),
            self.snapshot.next_due(),
            self.repair.next_due(),
            self.anti_entropy.next_due(),
            self.relay_turns.next_due(),
            self.holdings.next_due(),
            self.relay_retention.next_due(),
            self.tickets.next_due(),
            self._sweep_at,
        )

    # --- what duties tell each other: `state.outlet.Outlet` ---

    def wants_link(self, peer: Peer) -> bool:
        """Return whether this node wants a link to a peer."""
        return self.links.wants(peer, self._now)

    def gets_all(self, terms: Terms, peer: Peer) -> bool:
        """Return whether a peer that may have some is given all of it: as everybody is, or to relay it."""
        return not terms.copies or peer in self.audiences.of_own(terms).relays

    def peer_joined(self, peer: Peer, now: float) -> None:
        """Show a new peer that we live, measure the way to it, and compare with it."""
        peer.late_s = max(peer.late_s, self.liveness.stalled_s(now))  # until an answer shows how long the way takes
        self.liveness.send_heartbeat(peer)
        self.liveness.ping(peer, now)
        self.anti_entropy.compare(peer, now)
        self.snapshot.peer_joined(peer, now)

    def vip_added(self, now: float) -> None:
        """Catch up with what peers have of it."""
        self.snapshot.begin(now)

    def record_heard(self, record: NodeRecord, now: float) -> None:
        """Spread what a peer says of itself, and hold what is here to its newest terms."""
        self.rosters.record_received(record, now)
        self.recall.record_received(record, now)

    def terms_replaced(self) -> None:
        """Take back what waits to be sent."""
        self.recall.unsent()

    def peer_doubted(self, now: float) -> None:
        """Compare soon: what a silent peer told only some of us should be with all of us."""
        self.anti_entropy.compare_soon(now)

    def sessions_withdrawn(self, ids: Sequence[bytes], fits: Fits, now: float) -> None:
        """Take them back from the tiers; those on their way here are known by their ids, or else by their ages."""
        self.tiering.sessions_withdrawn(ids, fits)
        if not ids:
            self.liveness.withdrawn(now)

    def gap_seen(self, peer: Peer, stream: Stream, now: float) -> None:
        """Have a gap filled."""
        self.repair.gap_seen(peer, stream, now)

    def hearsay_heard(self, now: float) -> None:
        """Compare soon: others may not have heard it."""
        self.anti_entropy.compare_soon(now)

    def _handlers(self) -> Handlers:
        handlers = Handlers()
        handlers.add(messages.Heartbeat, self._heartbeat_received)
        handlers.add(messages.Ping, self.liveness.ping_received)
        handlers.add(messages.Pong, self.liveness.pong_received)
        handlers.add(messages.Leave, self.liveness.leave_received)
        handlers.add(messages.Push, self.intake.push_received)
        handlers.add(messages.Fetch, self.serving.fetch_received)
        handlers.add(messages.FetchReply, self.repair.reply_received)
        handlers.add(messages.Pull, self.pull_serving.pull_received)
        handlers.add(messages.PullReply, self.pulling.reply_received)
        handlers.add(messages.Digest, self.anti_entropy.digest_received)
        handlers.add(messages.Vector, self.anti_entropy.vector_received)
        handlers.add(messages.Holding, self.holdings.received)
        handlers.add(messages.SnapshotAsk, self.snapshot.request_received)
        handlers.add(messages.SnapshotOffer, self.snapshot.offer_received)
        handlers.add(messages.RosterAsk, self.rosters.request_received)
        handlers.add(messages.Roster, self.rosters.roster_received)
        handlers.add(messages.Withdraw, self._withdraw_received)
        handlers.add(single_use.Consumed, self.consuming.received)
        handlers.add(messages.LivePolicyUpdate, self.live.received)
        handlers.add(ticket_messages.TicketStatus, self.tickets.status_received)
        handlers.add(ticket_messages.TicketKeys, self.tickets.keys_received)
        handlers.add(queries.Query, self.queries.query_received)
        handlers.add(queries.QueryReply, self.queries.reply_received)
        return handlers

    def _heartbeat_received(self, peer: Peer, beat: messages.Heartbeat, now: float) -> None:
        self.liveness.heartbeat_received(peer, beat)
        self.repair.heartbeat_received(peer, beat, now)

    def _withdraw_received(self, peer: Peer, withdraw: messages.Withdraw, now: float) -> None:
        self.withdraws.received(peer, withdraw, now)
        self.tickets.follow(now)

    def name_contested(self, holder: Peer, now: float) -> None:
        """Ask the holder for a sign of life."""
        self.liveness.ping(holder, now)

    def own_name_heard(self, record: NodeRecord, now: float) -> None:
        """Outbid what this node never said."""
        self.joining.heard_of_us(record, now)

    def name_outbid(self, incarnation: int, why: str, now: float) -> None:
        """Go on as a later life."""
        self.flush_all(now)
        self.vip_changes.outbid(incarnation, why, now)

    def _sweep(self, now: float) -> None:
        limits = self.local.limits
        self._sweep_at = now + limits.sweep_s
        self.cache.expire(now, limits.sweep_entries)
        self.roster.expire(now, limits.forget_s)
        self.superseded_lives.sweep(now)
        self.recall.by_hearsay(now)
        self.withdraws.expire(now)
        self.quarantine.expire(now)
        self.consumed.expire(now)
