"""Asks every node of the mesh what a change has done there, and counts the answers that come back in time.

A question spreads as live policies do and is answered once by each node, back along the way it came. Whoever waits for
the answers decides how long; a node that is silent is simply not among them.
"""

from __future__ import annotations

from collections import OrderedDict

from meshcache.core.cache.cache import SessionCache
from meshcache.core.control.recall import Recall
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.values.topology import VipNote
from meshcache.core.wire.queries import Figures, Query, QueryKind, QueryReply

_PASSED_MAX = 256
"""Questions whose way back is remembered: some seconds of several impatient operators."""

_OWN_MAX = 16
"""Questions of our own whose answers are kept."""

_ANSWERS_MAX = 8192
"""Nodes whose answer to one question is kept; as many as the core can know of."""

_PER_S, _BURST = 20.0, 100.0
"""Questions of all other nodes together: one costs every node a message or two."""

_EARLY_S = 1.0
"""Recalls from so long before the question are counted in: what it is about may have spread faster than it did. An
earlier change's are told apart by their version."""

_TOKENS = 1 << 32


class MeshQueries:
    """Asks this node's own questions and counts their answers; answers others' and passes them on."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        recall: Recall,
        withdraws: Withdraws,
        now: float,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._recall = recall
        self._withdraws = withdraws
        self._own: OrderedDict[int, dict[str, QueryReply]] = OrderedDict()
        self._passed: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._rate = Bucket(_PER_S, _BURST, now)
        self._unix_minus_now_s: float | None = None

    def tell_time(self, unix_minus_now_s: float) -> None:
        """Answer others who ask for the time by a wall clock that is so far ahead of `now`.

        Call it in each step: clocks are set while nodes run. Before the first call a node keeps the time to itself.
        """
        self._unix_minus_now_s = unix_minus_now_s

    def ask(
        self, matter: QueryKind, number: int, now: float, *, name: str = "", since: float = 0.0, digest: bytes = b""
    ) -> int:
        """Ask all nodes, this one too. Return the token by which `answers` finds what came back."""
        own, token = self._local.identity, self._local.rng.randrange(_TOKENS)
        elapsed_s = int(max(now - since, 0.0)) if since else 0
        ask = Query(own.node, own.incarnation, token, matter, number, name, elapsed_s, digest)
        self._own[token] = {own.node: self._answer(ask, now)}
        while len(self._own) > _OWN_MAX:
            self._own.popitem(last=False)
        self._outbox.send_all([peer.address for peer in self._members if peer.usable], ask)
        return token

    def answers(self, token: int) -> list[QueryReply]:
        """Return the answers so far, one of each node, this one's among them, ordered by name."""
        answers = self._own.get(token, {})
        return [answers[node] for node in sorted(answers)]

    def query_received(self, peer: Peer, ask: Query, now: float) -> None:
        """Answer a question to the peer it came from, and pass it on to the other colos' peers."""
        key = (ask.asker, ask.token)
        if ask.asker == self._local.identity.node or key in self._passed:
            return
        if not self._rate.take(1, now):
            self._telemetry.drop(Drop.ASK_RATE)
            return
        self._passed[key] = peer.name
        if len(self._passed) > _PASSED_MAX:
            self._passed.popitem(last=False)
        self._outbox.send(peer.address, self._answer(ask, now))
        others = [other.address for other in self._members if other.usable and other.colo != peer.colo]
        self._outbox.send_all(others, ask)

    def reply_received(self, _peer: Peer, answer: QueryReply, _now: float) -> None:
        """Keep an answer to this node's own question; send another's on, the way its question came."""
        if answer.asker == self._local.identity.node:
            answers = self._own.get(answer.token)
            if answers is not None and len(answers) < _ANSWERS_MAX:
                answers.setdefault(answer.node, answer)
            return
        back = self._members.get(self._passed.get((answer.asker, answer.token), ""))
        if back is not None and back.usable:
            self._outbox.send(back.address, answer)

    def _answer(self, ask: Query, now: float) -> QueryReply:
        node = self._local.identity.node
        if ask.matter is QueryKind.CLOCK:
            offset_s = self._unix_minus_now_s
            unix_ms = 0 if offset_s is None else int((now + offset_s) * 1000)
            return QueryReply(ask.asker, ask.token, node, offset_s is not None, 0, max(unix_ms, 0))
        if ask.matter is QueryKind.FIGURES:
            return QueryReply(ask.asker, ask.token, node, True, colo=self._local.identity.colo, figures=self._figures())
        if ask.matter is QueryKind.WITHDRAW:
            gone = self._withdraws.gone(ask.asker, ask.incarnation, ask.number)
            has, sessions = gone is not None, gone or 0
        else:
            return self._about_policy(ask, now)
        return QueryReply(ask.asker, ask.token, node, has, sessions)

    def _about_policy(self, ask: Query, now: float) -> QueryReply:
        """Answer whether a policy is in force here, by number and digest:
        two operators may have given one number twice.
        """
        served = self._vips.get(ask.name)
        note = VipNote() if served is None else served.vip.note
        has = served is not None and note.version >= ask.number and ask.digest in (b"", note.digest)
        sessions = self._recall.lately(ask.name, now - ask.elapsed_s - _EARLY_S, ask.number)
        return QueryReply(ask.asker, ask.token, self._local.identity.node, has, sessions, held=note.held)

    def _figures(self) -> tuple[Figures, ...]:
        return tuple(map(self._figures_of, self._vips))

    def _figures_of(self, served: ServedVip) -> Figures:
        name, counters = served.vip.terms.vip, served.counters
        ended, vip_cache = counters.handshakes, self._cache.vip_cache(name)
        remote, entries = ended["remote"] + ended["pulled"], len(vip_cache) if vip_cache is not None else 0
        return Figures(name, ended["full"], ended["local"], remote, counters.hit_not_resumed, entries)
