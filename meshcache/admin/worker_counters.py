"""Keeps what workers have counted that ended or don't answer now, so that no counter of their sum ever goes down.

Prometheus takes a counter that goes down for one that began anew, and adds all of it once more. Of what is no counter
nothing is kept: an open connection of a worker that ended isn't open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from meshcache.admin.merging import Plain, merged

ROWS_MAX: Final = 4096
"""Of one table, of workers that ended: ways between VIPs and colos, mostly; a node tells of fewer."""

Answers = Mapping[Path, tuple[int | None, Plain]]
"""By a worker's socket, the process that answered there, and its `stats`."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """A table of rows: the words that tell one from another, what they count, and what is told of a row that no living
    worker has; None where there is none then, as it would be told of what is no more.
    """

    keys: tuple[str, ...]
    counts: tuple[str, ...]
    otherwise: Plain | None = field(default_factory=dict)


_ALL: Final = None
"""Everything below is a counter, whatever its name."""

_COUNTERS: Final[Mapping[str, Any]] = {
    "vips": {
        "*": {
            "handshakes": _ALL,
            "lookups": _ALL,
            "sessions": _ALL,
            "tickets": {"issued": _ALL, "opened": _ALL, "refused": _ALL, "unknown_key": _ALL},
        }
    },
    "gossip": {
        "sent": _ALL,
        "received": _ALL,
        "repaired": _ALL,
        "relayed": _ALL,
        "unknown_fields": _ALL,
        "dropped": _ALL,
        "lag_ms": {scope: {"count": _ALL, "sum": _ALL, "buckets": _ALL} for scope in ("intra", "inter")},
    },
    "policy": {
        "crossings": _Rows(("from_vip", "from_colo", "to_vip", "to_colo", "verdict"), ("sessions",), {"now": False})
    },
    "transport": {"accepted": _ALL, "succeeded": _ALL, "refused": _ALL},
    "faults": _ALL,
    "contexts_changed": _ALL,
    "left_out": _ALL,
    "hooks": _Rows(("name", "kind"), ("counts",), None),
    "tiers": _Rows(("name", "kind"), ("counts",), None),
    "ticket_exports": _Rows(("vip", "format", "path"), ("written", "failed"), None),
    "front": {
        "ended_badly": _ALL,
        "ended_badly_by": _Rows(("kind", "vip", "backend"), ("count",)),
        "handshake_failures": _Rows(("vip", "kind"), ("count",)),
        "access_log_dropped": _ALL,
        "bytes": _ALL,
        "backends": _Rows(("vip", "backend"), ("connects", "failures", "connect_s"), None),
    },
}
"""The counters of `stats`; ``*`` is any name that a living worker has. A test holds it against all of `/metrics`."""


class WorkerCounters:
    """What each worker said last, and one sum of all that ended. `take` what they say, then `complete` the sum of it.

    A worker is known by its socket, whose place the next one takes when it has ended.
    """

    def __init__(self) -> None:
        self._last: dict[Path, tuple[int | None, Plain]] = {}
        self._ended: Plain = {}
        self._flaps: dict[Path, dict[str, int]] = {}

    @property
    def names(self) -> set[str]:
        """How those are called that answered, each as it was last."""
        return {stats["node"]["name"] for _, stats in list(self._last.values())}

    def last(self, path: Path) -> Plain | None:
        """Return what the worker of this socket said last."""
        return self._last[path][1] if path in self._last else None

    def take(self, answers: Answers) -> None:
        """Note what they say; of a worker in whose place another one answers, what it said last."""
        for path, (process, stats) in answers.items():
            known = None
            if path in self._last:
                if _is_another(self._last[path], (process, stats)):
                    self._end(path)
                else:
                    known = self._last[path][0]
            self._last[path] = known if process is None else process, stats

    def complete(self, total: Plain, answered: Answers) -> Plain:
        """Return the sum of those who `answered`, with what the others have counted."""
        others = [_counters(stats) for path, (_, stats) in self._last.items() if path not in answered]
        for more in (*others, self._ended):
            total = _with(total, more, _COUNTERS)
        return {**total, "peers": self._with_flaps(total["peers"])}

    def _end(self, path: Path) -> None:
        stats = self._last[path][1]
        self._ended = _with(self._ended, _counters(stats), _COUNTERS, everywhere=True)
        flaps = self._flaps.get(path, {})
        self._flaps[path] = {peer["name"]: flaps.get(peer["name"], 0) + peer["flaps"] for peer in stats["peers"]}

    def _with_flaps(self, peers: Sequence[Plain]) -> list[Plain]:
        """Each worker sees the same peer come back: the most that one of them, with those before it, has seen."""
        most: dict[str, int] = {}
        for path, (_, stats) in self._last.items():
            before = self._flaps.get(path, {})
            for peer in stats["peers"]:
                name = peer["name"]
                most[name] = max(most.get(name, 0), peer["flaps"] + before.get(name, 0))
        return [{**peer, "flaps": max(peer["flaps"], most.get(peer["name"], 0))} for peer in peers]


def _is_another(before: tuple[int | None, Plain], after: tuple[int | None, Plain]) -> bool:
    """A process that answers at the end of another's life may be asked for its number, and not be the one that gives
    the answer: it is younger then. A number that couldn't be had says nothing.
    """
    has_other_number = before[0] is not None and after[0] is not None and before[0] != after[0]
    return has_other_number or after[1]["node"]["uptime_s"] < before[1]["node"]["uptime_s"]


def _counters(value: Any, form: Any = _COUNTERS) -> Any:
    """Return the counters of `stats`, and the words that tell rows apart."""
    if form is _ALL:
        return value
    if isinstance(form, _Rows):
        return [{key: row.get(key) for key in (*form.keys, *form.counts)} for row in value]
    return {key: _counters(value[key], of) for key, of in _places(value, form) if value[key] is not None}


def _with(known: Any, more: Any, form: Any, name: str = "", *, everywhere: bool = False) -> Any:
    """Return what is known with what others counted: `everywhere`, or in places that are known."""
    if known is None or more is None:
        return more if everywhere and known is None else known
    if form is _ALL:
        return merged([known, more], name)
    if isinstance(form, _Rows):
        return _with_rows(known, more, form, {} if everywhere else form.otherwise)
    places = dict(_places({**known, **more} if everywhere else known, form))
    added = {key: _with(known.get(key), more.get(key), of, key, everywhere=everywhere) for key, of in places.items()}
    return {**known, **added}


def _with_rows(known: Sequence[Plain], more: Sequence[Plain], form: _Rows, otherwise: Plain | None) -> list[Plain]:
    left = {tuple(row[key] for key in form.keys): row for row in more}
    rows = []
    for row in known:
        also = left.pop(tuple(row.get(key) for key in form.keys), {})
        rows.append({**row, **{key: merged([row[key], also[key]]) for key in form.counts if key in also}})
    if otherwise is not None:
        rows += [{**otherwise, **row} for row in left.values()][: max(ROWS_MAX - len(rows), 0)]
    return rows


def _places(value: Mapping[str, Any], form: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in value:
        if key in form or "*" in form:
            yield key, form[key if key in form else "*"]
