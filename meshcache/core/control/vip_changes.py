"""What this node serves, and on which terms: changes at any time, tells the peers, and takes back what has to go."""

from __future__ import annotations

from typing import Protocol

from meshcache.core.control.recall import Recall
from meshcache.core.membership.joining import Greeter
from meshcache.core.state.node_state import Board
from meshcache.core.state.served_vips import Served
from meshcache.core.values.session import StreamKey
from meshcache.core.values.topology import LocalVip


class PendingPushes(Protocol):
    """What waits to be pushed; the publisher, which stands above this room."""

    def drop_vip(self, name: str) -> None:
        """Forget what waits for this VIP."""


class Settings:
    """The one place where terms of this node change: configuration, SIGHUP and live policies all end here."""

    def __init__(self, board: Board, greeter: Greeter, publisher: PendingPushes, recall: Recall) -> None:
        self._board = board
        self._greeter = greeter
        self._publisher = publisher
        self._recall = recall

    def set_vip(self, vip: LocalVip, now: float) -> None:
        """Serve a VIP, or serve it on other terms from now on. Raises ValueError; nothing has changed then."""
        own, terms = self._board.identity, vip.terms
        if (terms.node, terms.colo) != (own.node, own.colo):
            raise ValueError("a VIP's terms are this node's own")
        served = self._board.vips.get(terms.vip)
        if served is None:
            self._add(vip, now)
        else:
            self._change(served, vip, now)

    def remove_vip(self, name: str, now: float) -> None:
        """Serve a VIP no longer."""
        served = self._board.vips.get(name)
        if served is None:
            return
        share = self._board.cache.share(name)
        served.counters.evicted_before += share.evicted if share else 0
        self._publisher.drop_vip(name)
        self._board.post.recall()
        self._board.cache.drop_vip(name)
        self._recall.without_vip(name)
        self._board.vips.remove(name)
        self._board.last_seqs[name] = served.last_seq
        self._greeter.revised(now)

    def _add(self, vip: LocalVip, now: float) -> None:
        board, name = self._board, vip.terms.vip
        key = StreamKey(board.identity.node, board.identity.incarnation, name)
        stream = board.streams.open(vip.terms, key, name, now)
        if stream is None:
            raise ValueError("no room for another stream")
        last_seq = board.last_seqs.get(name, 0)
        board.vips.put(Served(vip, stream, board.counters.vip(name), last_seq, last_seq))
        board.cache.set_quota(name, vip.quota_bytes, vip.quota_sessions)
        self._greeter.revised(now)

    def _change(self, served: Served, vip: LocalVip, now: float) -> None:
        board, old = self._board, served.vip
        served.vip = vip
        served.stream.terms = vip.terms
        board.cache.set_quota(vip.terms.vip, vip.quota_bytes, vip.quota_sessions)
        if vip.lifetime_s < old.lifetime_s:
            self._recall.shortened(vip.terms.vip, old.lifetime_s, vip.lifetime_s, now)
        if vip.lineage_s < old.lineage_s:
            self._recall.renewed_too_long(vip.terms.vip, vip.lineage_s, now)
        if old.export_client_certificates and not vip.export_client_certificates:
            self._recall.certified(vip.terms.vip, now)
        if (vip.terms, vip.note) != (old.terms, old.note):
            board.vips.put(served)
            board.post.recall()
            self._recall.changed(vip.terms.vip, old.terms, vip.terms, now)
            self._recall.learnt(board.vips.record, now)  # what earlier lives of this node made is held to it too
            self._greeter.revised(now)
