"""Adds up what several workers of one host say of themselves, so that they look like one server. Plain values only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

Plain = dict[str, Any]

_HANDSHAKES = ("full", "local", "remote", "pulled", "failed")
_STATES = ("alive", "suspect", "lost")


def merged_stats(
    each: Sequence[Plain], node: Plain, *, late: Sequence[Plain] = (), names: Collection[str] = ()
) -> Plain:
    """Return the `stats` of a group, of which there is one at least: counters are sums, of percentiles the worst is
    told, and peers are those outside of the group. `node` is what the group is called, `late` is what workers said
    last that don't answer, `names` are those of others that are none outside.
    """
    total: Plain = merged(each)
    own = {stats["node"]["name"] for stats in each}.union(names)
    total["node"] = {**each[0]["node"], **node, "warm": all(stats["node"]["warm"] for stats in each)}
    total["node"]["workers"] = [*map(_worker, each), *map(_late_worker, late)]
    total["peers"] = merged_peers([stats["peers"] for stats in each], own)
    return total


def merged(each: Iterable[Any], name: str = "") -> Any:
    """Return one of several values of the same form and name: of numbers the sum, of words the first."""
    return _merged(name, each)


def merged_peers(each: Iterable[Sequence[Plain]], own: Iterable[str]) -> list[Plain]:
    """Return the peers that any worker has, without the workers themselves: each as the worker sees it that hears it
    best.
    """
    found: dict[str, Plain] = {}
    for peer in (peer for peers in each for peer in peers):
        known = found.get(peer["name"])
        if peer["name"] not in own and (known is None or _heard(peer) < _heard(known)):
            found[peer["name"]] = peer
    return [found[name] for name in sorted(found)]


def _heard(peer: Plain) -> tuple[int, float]:
    state = _STATES.index(peer["state"]) if peer["state"] in _STATES else len(_STATES)
    last_seen_s = peer.get("last_seen_s")
    return state, float("inf") if last_seen_s is None else float(last_seen_s)


def _worker(stats: Plain) -> Plain:
    node, front = stats["node"], stats.get("front") or {}
    return {
        "name": node["name"],
        "answers": True,
        "uptime_s": node["uptime_s"],
        "warm": node["warm"],
        "ready": bool(front.get("ready")),
        "connections": front.get("connections", {}).get("open", 0),
        "handshakes": {how: sum(vip["handshakes"][how] for vip in stats["vips"].values()) for how in _HANDSHAKES},
    }


def _late_worker(stats: Plain) -> Plain:
    """Return the same of one of which only that is known which it has counted."""
    return {**_worker(stats), "answers": False, "ready": False, "connections": 0}


def unheard(name: str) -> Plain:
    """Return the `stats` of a worker that has said nothing yet."""
    return {"node": {"name": name, "uptime_s": 0.0, "warm": False}, "vips": {}}


def _merged(place: str, values: Iterable[Any]) -> Any:
    present = [value for value in values if value is not None]
    if not present:
        return None
    rule = _RULES.get(place.rpartition(".")[2])
    if rule is not None:
        return rule(present)
    first = present[0]
    if isinstance(first, Mapping):
        keys = dict.fromkeys(key for value in present for key in value)
        return {key: _merged(f"{place}.{key}", (value.get(key) for value in present)) for key in keys}
    if isinstance(first, bool):
        return any(present)
    if isinstance(first, (int, float)):
        total = sum(present)
        # Rounded, since a sum of the same in another order may be less by its last bit, and that is less for a counter.
        return round(total, 6) if isinstance(total, float) else total
    is_table = isinstance(first, list) and all(isinstance(row, Mapping) for rows in present for row in rows)
    return _rows(())(present) if is_table else first


def _rows(keys: Sequence[str]) -> Callable[[Sequence[Sequence[Plain]]], list[Plain]]:
    """Return a rule for lists of rows: those that agree in these keys, or in all that is no number, become one."""

    def rows(each: Sequence[Sequence[Plain]]) -> list[Plain]:
        alike: dict[tuple[Any, ...], list[Plain]] = {}
        for row in (row for rows in each for row in rows):
            key = tuple(row.get(name) for name in keys) if keys else _words(row)
            alike.setdefault(key, []).append(row)
        return [_merged("", same) for same in alike.values()]

    return rows


def _words(row: Plain) -> tuple[Any, ...]:
    return tuple((key, str(value)) for key, value in row.items() if not isinstance(value, (int, float)))


def _first(values: Sequence[Any]) -> Any:
    return values[0]


def _buckets(each: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    return [[bounds[0][0], sum(count for _, count in bounds)] for bounds in zip(*each, strict=True)]


_RULES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "p50": max,
    "p99": max,
    "buckets": _buckets,
    "certificates": _first,
    "reload": _first,
    "weight": _first,
    "backends": _rows(("vip", "backend")),
    "hooks": _rows(("name", "kind")),
    "last_s": min,
    "do": _first,
    "text": _first,
    "refusals": _rows(("node", "address", "reason")),
}
"""By a value's name, where neither the sum, nor "one of them", nor the first word is right."""
