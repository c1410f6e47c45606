"""Turns what the bundled server tells of itself into a line of `meshcache stats`, and its trouble into warnings.

Reads nothing and prints nothing. A program that tells nothing of a front has no line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from meshcache.cli.figures import ago, count, duration

ENDS_SOON_S: Final = 14 * 86_400
"""As `doctor` has it: a certificate with two weeks left was forgotten."""

REFUSALS_TOLD: Final = 5
"""Lines for nodes that aren't heard; `stats --json` and `doctor` have them all."""

Stats = Mapping[str, Any]


def front_lines(stats: Stats) -> Iterator[str]:
    """One line of figures, if there is a front."""
    front = stats.get("front")
    if not front:
        return
    connections, backends = front["connections"], front.get("backends") or ()
    parts = [f"open {count(connections['open'])} of {count(connections['max'])}"]
    if backends:
        used = [each for each in backends if each.get("weight") != 0]
        drained = f", {len(backends) - len(used)} drained" if len(used) < len(backends) else ""
        parts.append(f"backends {sum(bool(each['up']) for each in used)}/{len(used)} up{drained}")
    if front.get("certificates"):
        parts.append(f"certificate ends in {duration(max(0, _soonest(front)))}")
    workers = stats.get("node", {}).get("workers") or ()
    if workers:
        parts.append(f"workers {sum(each['ready'] for each in workers)}/{len(workers)} serve")
    if not front.get("ready", True):
        parts.append("stopping" if stats.get("node", {}).get("warm", True) else "waits for sessions")
    yield "server  " + "  ".join(parts)


def front_warnings(stats: Stats) -> Iterator[str]:
    """Return backends that are down, certificates that end, a reload that failed, nodes that aren't heard."""
    front = stats.get("front") or {}
    for each in front.get("backends") or ():
        if not each["up"]:
            yield f"{each['vip']}: backend {each['backend']} is down"
    for each in front.get("certificates") or ():
        if each["ends_in_s"] < ENDS_SOON_S:
            left_s = each["ends_in_s"]
            when = f"ends in {duration(left_s)}" if left_s > 0 else "has ended"
            yield f"{each['vip']}: the certificate for {each['name'] or 'no name'} {when}"
    last = front.get("reload")
    if last and not last["ok"]:
        yield f"the last reload failed {ago(last['age_s'])}: {'; '.join(last['faults'][:1])}"
    yield from _refusals(stats.get("refusals") or ())


def _refusals(refusals: Sequence[Stats]) -> Iterator[str]:
    for each in refusals[-REFUSALS_TOLD:]:
        who = f"{each['node']} doesn't hear this node" if each.get("by_peer") else f"{each['node']} isn't heard"
        yield f"{who}: {each.get('text') or each['reason']}"
    if len(refusals) > REFUSALS_TOLD:
        yield f"{len(refusals) - REFUSALS_TOLD} more nodes aren't heard: see `meshcache doctor`"


def _soonest(front: Stats) -> float:
    return float(min(each["ends_in_s"] for each in front["certificates"]))
