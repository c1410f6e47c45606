"""Gives the counters and tables the form of ``meshcache stats --json``: programs rely on these names.

Reads, and changes nothing but `crossings`, which follow when somebody looks. No id, DER or key is ever shown.
"""

from __future__ import annotations

from typing import Any

from meshcache.core.cache.cache import SessionCache
from meshcache.core.policy.digest_parts import differing, with_values
from meshcache.core.policy.gates import Terms
from meshcache.core.policy.own_policy import NO_OWN_POLICY
from meshcache.core.state.counters import KEY_AGES, Traffic, VipCounters
from meshcache.core.state.crossings import Crossings
from meshcache.core.state.lag import LagHistogram
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
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


class Stats:
    """Gives what is counted in the tables the form that `node.stats()` has, when somebody asks."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._crossings = Crossings()

    def stats(self, now: float) -> dict[str, Any]:
        """Return the whole object, without ``node.uptime_s``, which only the node knows."""
        own = self._local.identity
        return {
            "node": {
                "name": own.node,
                "colo": own.colo,
                "mesh": own.mesh,
                "version": own.version,
                "address": own.address,
            },
            "vips": {served.vip.terms.vip: self._vip(served) for served in self._vips},
            "cache": self._cache_plain(),
            "gossip": self._gossip(),
            "peers": [self._peer(peer, now) for peer in self._members],
            "refusals": self._telemetry.refusals.to_plain(now),
            "policy": self._policy(),
        }

    def peers(self, now: float) -> list[dict[str, Any]]:
        """Return every peer, with where it is, what it serves and where its settings differ from ours."""
        return [
            self._peer(peer, now)
            | {
                "address": peer.address,
                "reaches_us": peer.reaches_us,
                "incarnation": peer.record.incarnation,
                "version": peer.record.version,
                "joining": peer.joining,
                "loss": round(peer.loss, 3),
                "vips": [_served(terms) for terms in peer.record.vips],
            }
            for peer in self._members
        ]

    def _peer(self, peer: Peer, now: float) -> dict[str, Any]:
        return {
            "name": peer.name,
            "colo": peer.colo,
            "state": peer.state.value,
            "rtt_ms": None if peer.rtt_s is None else round(peer.rtt_s * 1000, 3),
            "queue": self._outbox.waiting(peer.address),
            "last_seen_s": round(max(now - peer.heard_at, 0.0), 3),
            "flaps": peer.flaps,
            "islands": [self._island(peer, group) for group in sorted(peer.islands)],
        }

    def _island(self, peer: Peer, group: str) -> dict[str, Any]:
        mine, theirs = self._vips.island_parts(peer.record, group)
        if not mine or not theirs:
            return {"group": group}
        return {"group": group, "differs": list(differing(mine, theirs)), "values": list(with_values(mine, theirs))}

    def _vip(self, served: ServedVip) -> dict[str, Any]:
        vip_cache = self._cache.vip_cache(served.vip.terms.vip)
        counters = served.counters
        return {
            "group": served.vip.terms.group,
            "reach": served.vip.terms.reach.to_plain(),
            "copies": served.vip.terms.copies or "all",
            "push": "all" if served.vip.terms.push else "none",
            "handshakes": _handshakes(counters),
            "lookups": _lookups(counters),
            "sessions": {
                "made": counters.made,
                "pushed": counters.pushed,
                "received": counters.received,
                "repaired": counters.repaired,
                "restored": counters.restored,
                "duplicate": counters.duplicate,
                "recalled": counters.recalled,
                "withdrawn": counters.withdrawn,
                "consumed": counters.consumed,
                "consumed_elsewhere": counters.consumed_elsewhere,
                "consumed_twice": counters.consumed_twice,
                "refused": dict(sorted(counters.sessions_refused.items())),
                "passed_on_unkept": dict(sorted(counters.passed_on_unkept.items())),
                "evicted": counters.evicted_before + (vip_cache.evicted if vip_cache is not None else 0),
            },
            "tickets": _tickets(served),
            "entries": len(vip_cache) if vip_cache is not None else 0,
            "bytes": vip_cache.bytes if vip_cache is not None else 0,
            "quota_bytes": served.vip.quota_bytes,
            "quota_sessions": served.vip.quota_sessions,
        }

    def _cache_plain(self) -> dict[str, int]:
        return {
            "entries": len(self._cache),
            "bytes": self._cache.bytes_used,
            "max_sessions": sum(served.vip.quota_sessions for served in self._vips),
            "max_bytes": sum(served.vip.quota_bytes for served in self._vips),
        }

    def _gossip(self) -> dict[str, Any]:
        counters = self._telemetry.counters
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

    def _policy(self) -> dict[str, Any]:
        made = {served.vip.terms.vip: served.counters.made for served in self._vips}
        others = [peer.record for peer in self._members if peer.usable]
        stamp = (self._members.generation, self._vips.record.revision)
        gate = None if self._vips.own_policy is NO_OWN_POLICY else self._vips.may_send
        self._crossings.update(made, self._vips.terms, others, stamp, gate)
        return {"crossings": self._crossings.to_plain()}


def _served(terms: Terms) -> dict[str, Any]:
    return {
        "name": terms.vip,
        "group": terms.group,
        "reach": terms.reach.to_plain(),
        "copies": terms.copies or "all",
        "push": "all" if terms.push else "none",
    }


def _tickets(served: ServedVip) -> dict[str, Any]:
    """Counts of tickets; `given` says whether the VIP has any."""
    counters = served.counters.tickets
    return {
        "given": served.vip.rotate_s is not None,
        "issued": counters.issued,
        "opened": {age: counters.opened[age] for age in KEY_AGES},
        "refused": dict(sorted(counters.refused.items())),
        "unknown_key": counters.unknown_key,
    }


def _handshakes(counters: VipCounters) -> dict[str, int]:
    return {result: counters.handshakes[result] for result in ("full", "local", "remote", "pulled", "failed")}


def _lookups(counters: VipCounters) -> dict[str, Any]:
    return {
        "local": counters.local,
        "remote": counters.remote,
        "pulled": counters.pulled,
        "tier": counters.asked["tier", "found"],
        "miss": counters.miss,
        "foreign": counters.foreign,
        "expired": counters.expired,
        "refused": dict(sorted(counters.lookups_refused.items())),
        "hit_not_resumed": counters.hit_not_resumed,
        "asked": _asked(counters),
    }


def _asked(counters: VipCounters) -> dict[str, dict[str, int]]:
    """By step, how often each end was met, where a handshake was paused to look elsewhere."""
    steps: dict[str, dict[str, int]] = {}
    for (step, end), count in sorted(counters.asked.items()):
        steps.setdefault(step, {})[end] = count
    return steps


def _lag(lag: LagHistogram) -> dict[str, Any]:
    return {
        "p50": lag.percentile_ms(50),
        "p99": lag.percentile_ms(99),
        "count": lag.count,
        "sum": round(lag.sum_s * 1000, 3),
        "buckets": [list(bucket) for bucket in lag.buckets_ms()],
    }


def _traffic(traffic: Traffic) -> dict[str, Any]:
    kinds = {_KIND_WORDS.get(kind, kind.__name__.lower()): traffic.kinds[kind] for kind in KINDS if traffic.kinds[kind]}
    return {
        "messages": traffic.messages,
        "bytes": traffic.bytes,
        "sessions": traffic.sessions,
        "kinds": kinds,
    }
