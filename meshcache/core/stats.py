"""Gives the counters and tables the form of ``meshcache stats --json``: programs rely on these names.

Reads, and changes nothing but `crossings`, which follow when somebody looks. No id, DER or key is ever shown.
"""

from __future__ import annotations

from typing import Any

from meshcache.core.control.explain import island_parts
from meshcache.core.state.counters import Traffic, VipCounters
from meshcache.core.state.lag import LagHistogram
from meshcache.core.state.members import Peer
from meshcache.core.state.node_state import Board
from meshcache.core.state.served_vips import Served
from meshcache.core.wire.kinds import KINDS


def stats(board: Board, now: float) -> dict[str, Any]:
    """The whole object, without ``node.uptime_s``, which only the node knows."""
    own = board.identity
    return {
        "node": {"name": own.node, "colo": own.colo, "mesh": own.mesh, "version": own.version},
        "vips": {served.vip.terms.vip: _vip(board, served) for served in board.vips},
        "cache": _cache(board),
        "gossip": _gossip(board),
        "peers": [_peer(board, peer, now) for peer in board.members],
        "policy": _policy(board),
    }


def peers(board: Board, now: float) -> list[dict[str, Any]]:
    """Every peer, with where it is, what it serves and where its settings differ from ours."""
    return [
        _peer(board, peer, now)
        | {
            "address": peer.address,
            "incarnation": peer.record.incarnation,
            "version": peer.record.version,
            "joining": peer.joining,
            "loss": round(peer.loss, 3),
            "vips": [
                {"name": terms.vip, "group": terms.group, "reach": terms.reach.to_plain()} for terms in peer.record.vips
            ],
        }
        for peer in board.members
    ]


def _peer(board: Board, peer: Peer, now: float) -> dict[str, Any]:
    return {
        "name": peer.name,
        "colo": peer.colo,
        "state": peer.state.value,
        "rtt_ms": None if peer.rtt_s is None else round(peer.rtt_s * 1000, 3),
        "queue": board.post.waiting(peer.address),
        "last_seen_s": round(max(now - peer.heard_at, 0.0), 3),
        "flaps": peer.flaps,
        "islands": [_island(board, peer, group) for group in sorted(peer.islands)],
    }


def _island(board: Board, peer: Peer, group: str) -> dict[str, Any]:
    differs = island_parts(board.vips.record, peer.record, group)
    return {"group": group, "differs": list(differs)} if differs else {"group": group}


def _vip(board: Board, served: Served) -> dict[str, Any]:
    share = board.cache.share(served.vip.terms.vip)
    counters = served.counters
    return {
        "group": served.vip.terms.group,
        "reach": served.vip.terms.reach.to_plain(),
        "handshakes": _handshakes(counters),
        "lookups": _lookups(counters),
        "sessions": {
            "made": counters.made,
            "pushed": counters.pushed,
            "received": counters.received,
            "repaired": counters.repaired,
            "duplicate": counters.duplicate,
            "recalled": counters.recalled,
            "withdrawn": counters.withdrawn,
            "refused": dict(sorted(counters.sessions_refused.items())),
            "evicted": counters.evicted_before + (share.evicted if share else 0),
        },
        "entries": len(share.entries) if share else 0,
        "bytes": share.bytes if share else 0,
        "quota_bytes": served.vip.quota_bytes,
        "quota_sessions": served.vip.quota_sessions,
    }


def _handshakes(counters: VipCounters) -> dict[str, int]:
    return {result: counters.handshakes[result] for result in ("full", "local", "remote", "pulled", "failed")}


def _lookups(counters: VipCounters) -> dict[str, Any]:
    return {
        "local": counters.local,
        "remote": counters.remote,
        "pulled": counters.pulled,
        "miss": counters.miss,
        "expired": counters.expired,
        "refused": dict(sorted(counters.lookups_refused.items())),
        "hit_not_resumed": counters.hit_not_resumed,
    }


def _cache(board: Board) -> dict[str, int]:
    return {
        "entries": len(board.cache),
        "bytes": board.cache.bytes_used,
        "max_sessions": sum(served.vip.quota_sessions for served in board.vips),
        "max_bytes": sum(served.vip.quota_bytes for served in board.vips),
    }


def _gossip(board: Board) -> dict[str, Any]:
    counters = board.counters
    inside, between = counters.lag_inside, counters.lag_between
    return {
        "lag_ms": {
            "p50": inside.percentile_ms(50),
            "p99": inside.percentile_ms(99),
            "intra": _lag(inside),
            "inter": _lag(between),
        },
        "sent": _traffic(counters.sent),
        "received": _traffic(counters.received),
        "repaired": counters.repaired,
        "relayed": counters.relayed,
        "unknown_fields": counters.unknown_fields,
        "dropped": dict(sorted(counters.dropped.items())),
    }


def _lag(lag: LagHistogram) -> dict[str, Any]:
    return {
        "p50": lag.percentile_ms(50),
        "p99": lag.percentile_ms(99),
        "count": lag.count,
        "sum": round(lag.sum_s * 1000, 3),
        "buckets": [list(bucket) for bucket in lag.buckets_ms()],
    }


def _policy(board: Board) -> dict[str, Any]:
    made = {served.vip.terms.vip: served.counters.made for served in board.vips}
    others = [peer.record for peer in board.members if peer.usable]
    stamp = (board.members.generation, board.vips.record.revision)
    board.crossings.update(made, board.vips.terms, others, stamp)
    return {"crossings": board.crossings.to_plain()}


def _traffic(traffic: Traffic) -> dict[str, Any]:
    kinds = {kind.__name__.lower(): traffic.kinds[kind] for kind in KINDS if traffic.kinds[kind]}
    return {
        "messages": traffic.messages,
        "bytes": traffic.bytes,
        "sessions": traffic.sessions,
        "kinds": kinds,
    }
