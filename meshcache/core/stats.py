"""Gives the counters and tables the form of ``meshcache stats --json``: programs rely on these names.

Reads, and changes nothing but `crossings`, which follow when somebody looks. No id, DER or key is ever shown.
"""

from __future__ import annotations

from typing import Any

from meshcache.core.control.explain import island_parts
from meshcache.core.state.counters import Traffic, VipCounters
from meshcache.core.state.lag import LagHistogram
from meshcache.core.state.members import Peer
from meshcache.core.state.node_state import NodeState
from meshcache.core.state.served_vips import ServedVip
from meshcache.core.wire.kinds import KINDS
from meshcache.core.wire.messages import FetchReply, Heartbeat, LivePolicyUpdate, Message
from meshcache.core.wire.queries import Query, QueryReply

_KIND_WORDS: dict[type[Message], str] = {
    Heartbeat: "beat",
    FetchReply: "fill",
    LivePolicyUpdate: "live",
    Query: "ask",
    QueryReply: "answer",
}
"""The words of ``kinds`` that programs rely on, where the class has another name by now; else it is the class's."""


def stats(state: NodeState, now: float) -> dict[str, Any]:
    """The whole object, without ``node.uptime_s``, which only the node knows."""
    own = state.identity
    return {
        "node": {"name": own.node, "colo": own.colo, "mesh": own.mesh, "version": own.version},
        "vips": {served.vip.terms.vip: _vip(state, served) for served in state.vips},
        "cache": _cache(state),
        "gossip": _gossip(state),
        "peers": [_peer(state, peer, now) for peer in state.members],
        "refusals": state.refusals.to_plain(now),
        "policy": _policy(state),
    }


def peers(state: NodeState, now: float) -> list[dict[str, Any]]:
    """Every peer, with where it is, what it serves and where its settings differ from ours."""
    return [
        _peer(state, peer, now)
        | {
            "address": peer.address,
            "reaches_us": peer.reaches_us,
            "incarnation": peer.record.incarnation,
            "version": peer.record.version,
            "joining": peer.joining,
            "loss": round(peer.loss, 3),
            "vips": [
                {"name": terms.vip, "group": terms.group, "reach": terms.reach.to_plain()} for terms in peer.record.vips
            ],
        }
        for peer in state.members
    ]


def _peer(state: NodeState, peer: Peer, now: float) -> dict[str, Any]:
    return {
        "name": peer.name,
        "colo": peer.colo,
        "state": peer.state.value,
        "rtt_ms": None if peer.rtt_s is None else round(peer.rtt_s * 1000, 3),
        "queue": state.outbox.waiting(peer.address),
        "last_seen_s": round(max(now - peer.heard_at, 0.0), 3),
        "flaps": peer.flaps,
        "islands": [_island(state, peer, group) for group in sorted(peer.islands)],
    }


def _island(state: NodeState, peer: Peer, group: str) -> dict[str, Any]:
    differs = island_parts(state.vips.record, peer.record, group)
    return {"group": group, "differs": list(differs)} if differs else {"group": group}


def _vip(state: NodeState, served: ServedVip) -> dict[str, Any]:
    share = state.cache.share(served.vip.terms.vip)
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
            "evicted": counters.evicted_before + (share.evicted if share is not None else 0),
        },
        "entries": len(share) if share is not None else 0,
        "bytes": share.bytes if share is not None else 0,
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


def _cache(state: NodeState) -> dict[str, int]:
    return {
        "entries": len(state.cache),
        "bytes": state.cache.bytes_used,
        "max_sessions": sum(served.vip.quota_sessions for served in state.vips),
        "max_bytes": sum(served.vip.quota_bytes for served in state.vips),
    }


def _gossip(state: NodeState) -> dict[str, Any]:
    counters = state.counters
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
        "dropped": {reason.value: count for reason, count in sorted(counters.dropped.items())},
    }


def _lag(lag: LagHistogram) -> dict[str, Any]:
    return {
        "p50": lag.percentile_ms(50),
        "p99": lag.percentile_ms(99),
        "count": lag.count,
        "sum": round(lag.sum_s * 1000, 3),
        "buckets": [list(bucket) for bucket in lag.buckets_ms()],
    }


def _policy(state: NodeState) -> dict[str, Any]:
    made = {served.vip.terms.vip: served.counters.made for served in state.vips}
    others = [peer.record for peer in state.members if peer.usable]
    stamp = (state.members.generation, state.vips.record.revision)
    state.crossings.update(made, state.vips.terms, others, stamp)
    return {"crossings": state.crossings.to_plain()}


def _traffic(traffic: Traffic) -> dict[str, Any]:
    kinds = {_KIND_WORDS.get(kind, kind.__name__.lower()): traffic.kinds[kind] for kind in KINDS if traffic.kinds[kind]}
    return {
        "messages": traffic.messages,
        "bytes": traffic.bytes,
        "sessions": traffic.sessions,
        "kinds": kinds,
    }
