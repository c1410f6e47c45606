"""Puts the duties of one core together: makes each, tells it of the others, and lets each do what is due.

The order of `tick` is the order in which a reader may want to open the files.
"""

from __future__ import annotations

from typing import Any

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.quarantine import Quarantine
from meshcache.core.cache.streams import StreamTable
from meshcache.core.control.live_policies import LivePolicies
from meshcache.core.control.mesh_queries import Polls
from meshcache.core.control.recall import Recall
from meshcache.core.control.vip_changes import Settings
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.membership.inbox import Handler, Inbox
from meshcache.core.membership.joining import Greeter
from meshcache.core.membership.links import Links
from meshcache.core.membership.liveness import Liveness
from meshcache.core.membership.roster_exchange import Rosters
from meshcache.core.replication.anti_entropy import Entropy
from meshcache.core.replication.audience import Audiences
from meshcache.core.replication.intake import Intake
from meshcache.core.replication.local_sessions import Shelf
from meshcache.core.replication.publisher import Publisher
from meshcache.core.replication.repair import Repair
from meshcache.core.replication.serving import Serving
from meshcache.core.replication.snapshot import Snapshot
from meshcache.core.state.counters import Counters
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.node_state import Board
from meshcache.core.state.outbox import Post
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import LocalVips
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, NodeRecord, Rng
from meshcache.core.wire import messages, queries
from meshcache.core.wire.fields import FieldError, address


class Workings:
    """All duties of one core; `MeshCore` is their face."""

    def __init__(self, identity: Identity, rng: Rng, now: float, limits: Limits) -> None:
        board = self.board = _board(identity, rng, now, limits)
        self._now = now
        self._timers_at: float | None = None
        self._sweep_at = now + limits.sweep_s
        quarantine = self._quarantine = Quarantine(limits.quarantine_max, limits.quarantine_s)
        withdraws = self.withdraws = Withdraws(board)
        recall = self._recall = Recall(board)
        self.greeter = Greeter(board, self._on_peer, self._on_record)
        links = self._links = Links(board, self.greeter.candidates, now)
        audiences = Audiences(board, links)
        self.publisher = Publisher(board, audiences)
        self.liveness = Liveness(board, self.greeter, self._wants, now)
        self.greeter.chooses = self._wants
        intake = self._intake = Intake(board, audiences, recall, quarantine, withdraws, self._on_gap)
        self._repair = Repair(board, intake, self._on_hearsay)
        serving = self._serving = Serving(board, now)
        self._rosters = Rosters(board, self.greeter.candidates)
        self.live = LivePolicies(board, self._on_hearsay, now)
        self.polls = Polls(board, recall, withdraws, now)
        self._entropy = Entropy(board, self._repair, serving, self._rosters, withdraws, self.live, recall, now)
        self.liveness.on_doubt = self._entropy.hurry  # what it told only some of us should be with all of us soon
        self._snapshot = Snapshot(board, self.greeter, self._repair, serving, self._entropy, now)
        self.settings = Settings(board, self.greeter, self.publisher, recall)
        self.shelf = Shelf(board, self.publisher, quarantine, withdraws)
        self.inbox = Inbox(board, self.greeter.hello, self._on_refuse, self._handlers())

    def tick(self, now: float) -> None:
        """Everything that is due."""
        self.woken(now)
        self.liveness.doubt_ourselves(now)
        self._links.tick(now)
        self.greeter.tick(now)
        self.liveness.tick(now)
        self.publisher.flush(now)
        self._snapshot.tick(now)
        self._repair.tick(now)
        self._entropy.tick(now)
        if self._sweep_at <= now:
            self._sweep(now)
        self.liveness.rest(now)

    def woken(self, now: float) -> None:
        """Something came from outside: timers may be due earlier than was known."""
        self._now = max(self._now, now)
        self._timers_at = None

    def next_due(self) -> float:
        """When something is due; the time of the last step when messages wait. A publish doesn't make it costly."""
        if self.board.post:
            return self._now
        if self._timers_at is None:
            self._timers_at = self._next_timer()
        return min(self.publisher.due_at, self._timers_at)

    def _next_timer(self) -> float:
        return min(
            self._links.next_due(),
            self.greeter.next_due(),
            self.liveness.next_due(),
            self._snapshot.next_due(),
            self._repair.next_due(),
            self._entropy.next_due(),
            self._sweep_at,
        )

    def candidate(self, where: str, source: str, now: float) -> None:
        """A hint from outside; peers that are linked already need none."""
        try:
            address(where)
        except FieldError:
            self.board.drop("bad_address")
            return
        if where == self.board.identity.address or (source != "seed" and self.board.members.at(where) is not None):
            return
        if not self.greeter.candidates.hint(where, source, now):
            self.board.drop("candidates_full")

    def _handlers(self) -> dict[type[messages.Message], Handler]:
        return {
            messages.Beat: self._beaten,
            messages.Ping: lambda peer, ping, _now: self.liveness.pinged(peer, ping),
            messages.Pong: self.liveness.ponged,
            messages.Leave: lambda peer, _leave, now: self.liveness.left(peer, now),
            messages.Push: self._pushed,
            messages.Fetch: self._serving.fetched,
            messages.Fill: self._filled,
            messages.Digest: self._entropy.compared,
            messages.Vector: self._entropy.told,
            messages.SnapshotAsk: self._snapshot.asked,
            messages.SnapshotOffer: self._snapshot.offered,
            messages.RosterAsk: self._rosters.asked,
            messages.Roster: self._rosters.told,
            messages.Withdraw: self.withdraws.received,
            messages.Live: self.live.received,
            queries.Ask: self.polls.asked,
            queries.Answer: self.polls.answered,
        }

    def _beaten(self, peer: Peer, beat: Any, now: float) -> None:
        self.liveness.beaten(peer, beat)
        self._repair.beaten(peer, beat, now)

    def _pushed(self, peer: Peer, push: Any, now: float) -> None:
        self.board.counters.received.sessions += len(push.batch.entries.ids)
        self._intake.pushed(peer, push, now)

    def _filled(self, peer: Peer, fill: Any, now: float) -> None:
        self.board.counters.received.sessions += len(fill.batch.entries.ids) if fill.batch else 0
        self._repair.filled(peer, fill, now)

    def _wants(self, peer: Peer) -> bool:
        return self._links.wants(peer, self._now)

    def _on_peer(self, peer: Peer, now: float) -> None:
        self.liveness.beat(peer)
        self.liveness.ping(peer, now)
        self._entropy.compare(peer, now)

    def _on_record(self, record: NodeRecord, now: float) -> None:
        self._rosters.spoke(record, now)
        self._recall.learnt(record, now)

    def _on_gap(self, stream: Any, now: float) -> None:
        self._repair.noticed(stream, now)

    def _on_hearsay(self, now: float) -> None:
        self._entropy.hurry(now)

    def _on_refuse(self, sender: str, reason: str, now: float) -> None:
        self.board.drop("refused_by_peer")
        self.greeter.refused(sender, "", reason, now)

    def _sweep(self, now: float) -> None:
        limits, board = self.board.limits, self.board
        self._sweep_at = now + limits.sweep_s
        board.cache.expire(now, limits.sweep_entries)
        board.roster.expire(now, limits.forget_s)
        self._recall.by_hearsay(now)
        self.withdraws.expire(now)
        self._quarantine.expire(now)


def _board(identity: Identity, rng: Rng, now: float, limits: Limits) -> Board:
    counters, events, streams = Counters(), EventLog(), StreamTable()
    return Board(
        identity,
        limits,
        rng,
        counters,
        events,
        streams,
        SessionCache(streams, now),
        LocalVips(identity),
        Members(limits, events),
        RosterTable(identity.colo, limits.roster_max, counters.dropped),
        Post(identity, limits, counters),
    )
