"""Turns a node's stats into the lines that `meshcache stats` shows; reads nothing and prints nothing.

With an earlier reading of the same node the figures are rates and parts of what happened since; without one they are
totals. Every line fits into 80 columns as long as names are of ordinary length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from meshcache.cli.figures import NONE, ago, count, cropped, duration, milliseconds, percent, rate, size
from meshcache.cli.front_view import front_warnings
from meshcache.cli.output import Column

Stats = Mapping[str, Any]

NAME_CHARS: Final = 12
"""Of a VIP's name in a table, so that the figures beside it keep their 80 columns."""

BORDERS: Final = frozenset({"other_group", "sender_reach", "receiver_reach", "client_certificate"})
"""Refusals that a policy asked for; every other reason is a sign of trouble."""

TOTALS: Final = (
    Column("VIP"),
    Column("handshakes", number=True),
    Column("resumed", number=True),
    Column("from peers", number=True),
    Column("pushed", number=True),
    Column("received", number=True),
    Column("entries", number=True),
    Column("quota", number=True),
)
RATES: Final = (
    Column("VIP"),
    Column("hs/s", number=True),
    Column("resumed", number=True),
    Column("from peers", number=True),
    Column("entries", number=True),
    Column("quota", number=True),
    Column("shared/s", number=True),
    Column("refused/s", number=True),
)


class Handshakes(NamedTuple):
    """How the handshakes of one VIP ended."""

    full: int
    local: int
    peers: int

    @property
    def done(self) -> int:
        return self.full + self.local + self.peers

    @property
    def resumed(self) -> str:
        return percent(self.local + self.peers, self.done)

    @property
    def from_peers(self) -> str:
        return percent(self.peers, self.done)


def heading(stats: Stats) -> str:
    """Return which node this is, and who is in the mesh with it."""
    node, peers = stats["node"], stats.get("peers", [])
    alive = Counter(str(peer.get("colo")) for peer in peers if peer.get("state") == "alive")
    alive[str(node.get("colo"))] += 1
    colos = ", ".join(f"{colo} {members}" for colo, members in sorted(alive.items()))
    members = f"members {alive.total()}/{len(peers) + 1} ({colos})"
    return f"node {node.get('name')}  colo {node.get('colo')}  up {duration(node.get('uptime_s'))}  {members}"


def total_rows(stats: Stats) -> list[list[str]]:
    """One row for each VIP, under `TOTALS`."""
    return [_total_row(name, vip) for name, vip in stats["vips"].items()]


def rate_rows(before: Stats, after: Stats) -> list[list[str]]:
    """One row for each VIP, under `RATES`, the busiest first."""
    seconds = elapsed_s(before, after)
    busiest = sorted(after["vips"].items(), key=lambda pair: -_since(before, after, pair[0]).done)
    return [_rate_row(name, vip, before, after, seconds) for name, vip in busiest]


def gossip_totals(stats: Stats) -> str:
    """Return how many sessions the mesh has carried so far, in how many bytes."""
    gossip = stats.get("gossip", {})
    ways = "  ".join(
        f"{label} {count(_number(gossip, way, 'sessions'))} ({size(_number(gossip, way, 'bytes'))})"
        for label, way in (("in", "received"), ("out", "sent"))
    )
    return f"gossip  {ways}  lag {_lag(gossip)}"


def gossip_rates(before: Stats, after: Stats) -> str:
    """Return what the mesh carries a second."""
    seconds = elapsed_s(before, after)
    old, new = before.get("gossip", {}), after.get("gossip", {})
    ways = "  ".join(
        f"{label} {size((_number(new, way, 'bytes') - _number(old, way, 'bytes')) / seconds)}/s"
        for label, way in (("in", "received"), ("out", "sent"))
    )
    repaired = _number(new, "repaired") - _number(old, "repaired")
    return f"gossip  {ways}  lag {_lag(new)}  repaired {count(repaired)}"


def remarks(stats: Stats) -> list[str]:
    """Return what was refused or dropped since the start and is no trouble by itself: borders at work, messages lost on
    the way to a peer that was just starting.
    """
    kept = {name: _reasons(vip, BORDERS) for name, vip in stats["vips"].items()}
    dropped = +Counter(stats.get("gossip", {}).get("dropped") or {})
    return [
        *(f"kept in  {name}: {_listed(reasons)}" for name, reasons in kept.items() if reasons),
        *([f"dropped  {_listed(dropped)}"] if dropped else []),
    ]


def warnings(stats: Stats, before: Stats | None = None) -> list[str]:
    """Return what somebody should look at: the server's own trouble, peers that are away, islands, hits that did not
    resume; and what was dropped since `before`, which says little without a time.
    """
    drops = _drop_warnings(stats, before) if before is not None else ()
    return [*front_warnings(stats), *peer_warnings(stats.get("peers", [])), *_vip_warnings(stats, before), *drops]


def peer_warnings(peers: Sequence[Stats]) -> Iterator[str]:
    """Yield what somebody should look at among the peers: those that are away, that come and go, that are islands."""
    for peer in peers:
        name = f"{peer.get('name')} ({peer.get('colo')})"
        if peer.get("state") != "alive":
            yield f"{name}: {peer.get('state')}, last seen {ago(peer.get('last_seen_s'))}"
        if peer.get("flaps"):
            times = "once" if peer["flaps"] == 1 else f"{peer['flaps']} times"
            yield f"{name}: was away and came back {times}"
        yield from (f"{name}: an island, its settings of {island} differ" for island in _islands(peer))


def _islands(peer: Stats) -> Iterator[str]:
    """Yield each share group that a peer serves with other settings, and which they are where that is known."""
    for island in peer.get("islands") or ():
        if not isinstance(island, Mapping):
            yield f'share group "{island}"'
            continue
        differs = island.get("differs") or ()
        which = differs if isinstance(differs, str) else ", ".join(map(str, differs))
        yield f'share group "{island.get("group")}"' + (f" ({which})" if which else "")


def elapsed_s(before: Stats, after: Stats) -> float:
    """Return seconds between two readings by the node's own clock, and never nothing to divide by."""
    return max(float(after["node"]["uptime_s"]) - float(before["node"]["uptime_s"]), 1e-3)


def _total_row(name: str, vip: Stats) -> list[str]:
    handshakes, sessions = _handshakes(vip), vip.get("sessions", {})
    return [
        cropped(name, NAME_CHARS),
        count(handshakes.done),
        handshakes.resumed,
        handshakes.from_peers,
        count(sessions.get("pushed")),
        count(sessions.get("received")),
        count(vip.get("entries")),
        percent(vip.get("bytes", 0), vip.get("quota_bytes", 0), digits=0),
    ]


def _rate_row(name: str, vip: Stats, before: Stats, after: Stats, seconds: float) -> list[str]:
    handshakes = _since(before, after, name)
    return [
        cropped(name, NAME_CHARS),
        rate(handshakes.done / seconds),
        handshakes.resumed,
        handshakes.from_peers,
        count(vip.get("entries")),
        percent(vip.get("bytes", 0), vip.get("quota_bytes", 0), digits=0),
        rate(_gained(before, after, name, "sessions", "pushed") / seconds),
        rate((_refused(vip) - _refused(before["vips"].get(name, {}))) / seconds),
    ]


def _since(before: Stats, after: Stats, name: str) -> Handshakes:
    new, old = _handshakes(after["vips"][name]), _handshakes(before["vips"].get(name, {}))
    return Handshakes(*(now - then for now, then in zip(new, old, strict=True)))


def _handshakes(vip: Stats) -> Handshakes:
    of = vip.get("handshakes", {})
    return Handshakes(of.get("full", 0), of.get("local", 0), of.get("remote", 0) + of.get("pulled", 0))


def _gained(before: Stats, after: Stats, name: str, *keys: str) -> float:
    return _number(after["vips"][name], *keys) - _number(before["vips"].get(name, {}), *keys)


def _refused(vip: Stats) -> float:
    return sum(_sum(vip.get(part, {}).get("refused")) for part in ("lookups", "sessions"))


def _reasons(vip: Stats, wanted: frozenset[str]) -> Counter[str]:
    reasons: Counter[str] = Counter()
    for part in ("lookups", "sessions"):
        reasons.update({key: n for key, n in (vip.get(part, {}).get("refused") or {}).items() if n and key in wanted})
    return reasons


def _vip_warnings(stats: Stats, before: Stats | None) -> Iterator[str]:
    for name, vip in stats["vips"].items():
        old = before["vips"].get(name, {}) if before else {}
        missed = _number(vip, "lookups", "hit_not_resumed") - _number(old, "lookups", "hit_not_resumed")
        if missed:
            yield f"{name}: {count(missed)} lookups hit and did not resume"
        every = frozenset(key for part in ("lookups", "sessions") for key in vip.get(part, {}).get("refused") or {})
        trouble = _reasons(vip, every - BORDERS) - _reasons(old, every - BORDERS)
        if trouble:
            yield f"{name}: refused {_listed(trouble)}"
        unkept = sum(_unkept(vip).values()) - sum(_unkept(old).values())
        if unkept:
            yield f"{name}: {count(unkept)} sessions were passed on and not kept meanwhile, see doctor"


def _unkept(vip: Stats) -> Mapping[str, int]:
    return vip.get("sessions", {}).get("passed_on_unkept") or {}


def _drop_warnings(stats: Stats, before: Stats) -> Iterator[str]:
    dropped = Counter(stats.get("gossip", {}).get("dropped") or {})
    dropped -= Counter(before.get("gossip", {}).get("dropped") or {})
    if dropped:
        yield f"gossip: dropped {_listed(dropped)}"


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} {count(number)}" for reason, number in reasons.most_common())


def _lag(gossip: Stats) -> str:
    """Return the time from a handshake's end to a peer's cache: half of all sessions, and all but one in a hundred."""
    lag = gossip.get("lag_ms") or {}
    if lag.get("p50") is None:
        return NONE
    return f"p50 {milliseconds(lag['p50'])} p99 {milliseconds(lag.get('p99'))}"


def _number(content: Stats, *keys: str) -> float:
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, (int, float)) else 0


def _sum(reasons: Mapping[str, float] | None) -> float:
    return sum((reasons or {}).values())
