"""Plausible snapshots of a busy mesh, for what only shows numbers: the same seed gives the same minutes."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

COLOS = {"ams1": ("edge-1", "edge-2", "edge-3"), "fra1": ("edge-4", "edge-5", "edge-6")}
VIPS = {
    "shop": ("storefront", "everywhere", 40),
    "checkout": ("storefront", "everywhere", 14),
    "pay": ("pay", "colo", 5),
}
SESSIONS = ("made", "pushed", "received", "repaired", "restored", "duplicate", "recalled", "withdrawn", "evicted")
USED_UP = ("consumed", "consumed_elsewhere", "consumed_twice")
LAG_MS = (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000)


def _backend(vip: str, backend: str) -> dict[str, Any]:
    counts = {"open": 71, "connects": 20_412, "failures": 1, "connect_s": 20.4}
    return {"vip": vip, "backend": backend, "up": True, **counts}


FRONT: dict[str, Any] = {
    "ready": True,
    "connections": {"open": 214, "max": 10_000},
    "ended_badly": {"handshake timeout": 2},
    "ended_badly_by": [{"kind": "handshake timeout", "vip": "shop", "backend": "", "count": 2}],
    "handshake_failures": [{"vip": "shop", "kind": "handshake timeout", "count": 2}],
    "bytes": {"shop": {"received": 81_200_000, "sent": 4_410_211_000}, "pay": {"received": 100_000, "sent": 20_000}},
    "backends": [
        _backend("shop", "10.0.0.21:8080"),
        _backend("shop", "10.0.0.22:8080"),
        _backend("pay", "unix:/run/pay"),
    ],
    "certificates": [
        {"vip": "shop", "name": "shop.example", "ends_in_s": 62 * 86_400},
        {"vip": "checkout", "name": "checkout.example", "ends_in_s": 40 * 86_400},
        {"vip": "pay", "name": "pay.example", "ends_in_s": 81 * 86_400},
    ],
    "reload": {"ok": True, "changed": [], "restart": [], "faults": [], "age_s": 4003.0},
}

EXPORT: dict[str, Any] = {
    "vip": "shop",
    "format": "nginx",
    "path": "/run/meshcache/shop",
    "state": "ok",
    "keys": ["0a1b2c3d"],
    "left_out": 0,
    "written": 3,
    "failed": 1,
    "written_s_ago": 12.0,
    "stale_s": 0.0,
    "why": "",
}
"""One server of another kind that is well."""

REFUSAL: dict[str, Any] = {
    "node": "edge-9",
    "address": "10.0.0.9:7946",
    "reason": "name_taken",
    "by_peer": False,
    "count": 12,
    "last_s": 3.1,
    "text": "bears the name of another node that lives",
    "do": "give each node a node.name of its own",
}


class GeneratedNode:
    """Looks like a node to the admin interface; `advance` lets time pass and traffic flow."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = Random(seed)
        self.uptime_s = 0.0
        self.peers_plain = [_peer(name, colo) for colo, names in COLOS.items() for name in names if name != "edge-1"]
        self.vips = {name: _vip(group, reach) for name, (group, reach, _) in VIPS.items()}
        self.gossip = _gossip()
        self.lags: dict[str, list[float]] = {"intra": [], "inter": []}
        self.crossings = _crossings()
        self.transport = {"links": 5, "accepted": 6, "succeeded": 5, "refused": {"unknown_key": 1}}
        self.front: dict[str, Any] | None = deepcopy(FRONT)
        self.hangs, self.warm = False, True
        self.refusals: list[dict[str, Any]] = []
        counts = {"calls": 40, "refused_send": 3}
        self.tiers = [
            {"name": "disk", "kind": "tier", "open": True, "resting": False, "counts": {"written": 8}, "last_fault": ""}
            | {"waiting": 0, "entries": 8, "bytes": 3000, "file_bytes": 40_960, "max_bytes": 536_870_912}
        ]
        self.hooks = [{"name": "same_region", "kind": "policy", "resting": False, "counts": counts, "last_fault": ""}]
        self.faults: dict[str, dict[str, int]] = {}
        self.log: list[dict[str, Any]] = []

    def advance(self, seconds: float) -> None:
        self.uptime_s = round(self.uptime_s + seconds, 3)
        for name, (_, _, rate) in VIPS.items():
            self._serve(name, rate * seconds * self.rng.uniform(0.8, 1.2))
        for peer in self.peers_plain:
            if peer["state"] == "alive":
                peer["last_seen_s"] = round(self.rng.uniform(0, 1), 1)
                peer["rtt_ms"] = round((0.4 if peer["colo"] == "ams1" else 9.1) * self.rng.uniform(0.9, 1.3), 2)
        for way in ("sent", "received"):
            self.gossip[way]["kinds"]["push"] += int(40 * seconds)
            self.gossip[way]["kinds"]["beat"] += int(5 * seconds)
            self.gossip[way]["messages"] += int(45 * seconds)
            self.gossip[way]["bytes"] += int(self.rng.uniform(30_000, 38_000) * seconds)

    def happen(self, kind: str, level: str, node: str, colo: str, text: str) -> None:
        event = {"seq": len(self.log) + 1, "kind": kind, "level": level, "node": node, "colo": colo, "text": text}
        self.log.append({**event, "at_s": self.uptime_s})

    def lose(self, name: str) -> None:
        peer = next(peer for peer in self.peers_plain if peer["name"] == name)
        peer.update(state="lost", rtt_ms=None, last_seen_s=31.0)
        self.happen("PeerLost", "warning", name, peer["colo"], f"{name} ({peer['colo']}) lost")

    def trouble(self) -> None:
        """Something of each kind goes wrong before and behind the node."""
        assert self.front is not None
        self.front["backends"][1].update(up=False, failures=18, open=0)
        self.front["certificates"][1]["ends_in_s"] = 9 * 86_400
        fault = 'vip[0].sharing.reach: no colo named "fra2"'
        self.front["reload"] = {"ok": False, "changed": [], "restart": [], "faults": [fault], "age_s": 75.0}
        self.refusals = [REFUSAL]

    def stats(self) -> dict[str, Any]:
        if self.hangs:
            raise RuntimeError("no answer")
        cache = {key: sum(vip[key] for vip in self.vips.values()) for key in ("entries", "bytes")}
        return {
            "node": {
                "name": "edge-1",
                "colo": "ams1",
                "mesh": "prod",
                "version": "0.1.0",
                "hot_path": "c",
                "host": "edge-1",
                "address": "10.0.0.4:7946",
                "warm": self.warm,
                "uptime_s": self.uptime_s,
            },
            "vips": self.vips,
            "cache": {**cache, "max_sessions": 100_000, "max_bytes": 64 * 2**20},
            "gossip": {**self.gossip, "lag_ms": self._lag()},
            "peers": self.peers_plain,
            "policy": {"crossings": self.crossings},
            "transport": self.transport,
            "faults": self.faults,
            "refusals": self.refusals,
            "front": self.front,
            "hooks": self.hooks,
            "ticket_exports": [EXPORT],
            "tiers": self.tiers,
            "contexts_changed": {},
            "left_out": {},
        }

    def peers(self) -> list[dict[str, Any]]:
        return self.peers_plain

    def policy(self) -> list[dict[str, Any]]:
        return [{"vip": name, "group": vip["group"], "reach": vip["reach"]} for name, vip in self.vips.items()]

    def events(self, since: int) -> list[dict[str, Any]]:
        return [event for event in self.log if event["seq"] > since]

    def _serve(self, name: str, handshakes: float) -> None:
        vip, wide = self.vips[name], VIPS[name][1] == "everywhere"
        full, local = round(handshakes * 0.16), round(handshakes * (0.17 if wide else 0.3))
        remote = round(handshakes * (0.67 if wide else 0.54))
        for results in (vip["handshakes"], vip["lookups"]):
            results["local"] += local
            results["remote"] += remote
        vip["handshakes"]["full"] += full
        vip["lookups"]["miss"] += round(full * 0.3)
        made = full + local + remote
        vip["sessions"]["made"] += made
        vip["sessions"]["pushed"] += made
        vip["sessions"]["received"] += made * (5 if wide else 2)
        vip["entries"] = min(vip["sessions"]["made"] + vip["sessions"]["received"], vip["quota_bytes"] // 340)
        vip["bytes"] = vip["entries"] * 330
        self._gossip_of(name, made)

    def _gossip_of(self, name: str, made: int) -> None:
        self.gossip["sent"]["sessions"] += made * 3
        self.gossip["received"]["sessions"] += made * 5
        for crossing in self.crossings:
            if crossing["from_vip"] == name:
                crossing["sessions"] += made
        self.lags["intra"] += [self.rng.lognormvariate(-0.5, 0.6) for _ in range(made)]
        self.lags["inter"] += [self.rng.lognormvariate(2.4, 0.3) for _ in range(made)]

    def _lag(self) -> dict[str, Any]:
        return {**_quantiles(self.lags["intra"]), **{key: _histogram(lags) for key, lags in self.lags.items()}}


def _quantiles(lags: list[float]) -> dict[str, float | None]:
    ordered = sorted(lags)
    at = {name: ordered[int(len(ordered) * q)] if ordered else None for name, q in (("p50", 0.5), ("p99", 0.99))}
    return {name: None if value is None else round(value, 2) for name, value in at.items()}


def _histogram(lags: list[float]) -> dict[str, Any]:
    buckets = [[le, sum(lag <= le for lag in lags)] for le in LAG_MS]
    return {**_quantiles(lags), "count": len(lags), "sum": round(sum(lags), 3), "buckets": buckets}


def _vip(group: str, reach: str) -> dict[str, Any]:
    return {
        "group": group,
        "reach": reach,
        "copies": "all",
        "push": "all",
        "handshakes": dict.fromkeys(("full", "local", "remote", "pulled", "failed"), 0),
        "lookups": {
            **dict.fromkeys(("local", "remote", "pulled", "miss", "foreign", "expired", "hit_not_resumed"), 0),
            "refused": {},
        },
        "sessions": {**dict.fromkeys((*SESSIONS, *USED_UP), 0), "refused": {}, "passed_on_unkept": {}},
        "tickets": {
            "given": True,
            "issued": 7,
            "opened": {"1h": 5, "6h": 1, "24h": 0, "older": 0},
            "refused": {"lifetime": 3},
            "unknown_key": 2,
        },
        "entries": 0,
        "bytes": 0,
        "quota_bytes": 64 * 2**20 // len(VIPS),
        "quota_sessions": 100_000 // len(VIPS),
    }


def _gossip() -> dict[str, Any]:
    return {"sent": _way(), "received": _way(), "repaired": 4, "relayed": 0, "unknown_fields": 0, "dropped": {}}


def _way() -> dict[str, Any]:
    return {"messages": 0, "bytes": 0, "sessions": 0, "kinds": {"push": 0, "beat": 0}}


def _peer(name: str, colo: str) -> dict[str, Any]:
    return {
        "name": name,
        "colo": colo,
        "state": "alive",
        "rtt_ms": 0.4 if colo == "ams1" else 9.1,
        "queue": 0,
        "last_seen_s": 0.5,
        "flaps": 0,
        "islands": [],
    }


def _crossings() -> list[dict[str, Any]]:
    ways = [(source, target, colo) for source in VIPS for target in VIPS for colo in COLOS]
    return [
        {
            "from_vip": source,
            "from_colo": "ams1",
            "to_vip": target,
            "to_colo": colo,
            "verdict": _verdict(source, target, colo),
            "sessions": 0,
            "now": True,
        }
        for source, target, colo in ways
    ]


def _verdict(source: str, target: str, colo: str) -> str:
    if VIPS[source][0] != VIPS[target][0]:
        return "other_group"
    return "allowed" if colo == "ams1" or VIPS[source][1] == "everywhere" else "sender_reach"
