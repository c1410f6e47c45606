"""Adds up what a change has done on all nodes that answer in time.

Waits for a moment and no longer: a node that is silent has been told all the same, or will be when it is back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from meshcache.core.control.live_policies import VIP
from meshcache.core.wire.queries import Figures, QueryKind, QueryReply
from meshcache.live_policy.overlay import key_of
from meshcache.runtime.pump.pump import Pump

WAIT_S: Final = 2.0
"""For the whole mesh: two links between colos and back take some 0.6 s, and taking a policy over some 0.1 s."""

CLOCKS_S: Final = 1.0
"""For an answer about a clock; a later one would say little."""

_AGAIN_S: Final = 0.1
"""Between two questions, which all nodes answer; `MeshCore.queries` takes in 20 a second."""

_ROUND_S: Final = 0.5
"""How long answers to one question are waited for; across two links and back it is some 0.3 s."""

_LOOK_S: Final = 0.01


class Question(NamedTuple):
    """What `MeshCore.queries` is told to ask; see there."""

    matter: QueryKind
    number: int = 0
    name: str = ""
    since: float = 0.0
    digest: bytes = b""


def ask_withdraw(pump: Pump, expected: Collection[str], number: int) -> dict[str, Any]:
    """Ask until a withdraw of ours was done on every expected node, at most `WAIT_S`; see `_summed`.

    Blocks; call it on a thread that may.
    """
    return _summed(expected, _ask_all(pump, expected, lambda: Question(QueryKind.WITHDRAW, number)))


def ask_policy(pump: Pump, expected: Collection[str], vip: str, keys: Collection[str], since: float) -> dict[str, Any]:
    """Ask until the policy of a VIP as it is known here is in force on every expected node, at most `WAIT_S`.

    See `_summed`: ``differ`` names the nodes that know it and where something else holds for one of `keys`, with what
    and why. Blocks; call it on a thread that may.
    """

    def ask() -> Question:
        with pump.lock:  # anew each time: another operator's change may have come meanwhile, and won
            number, digest = pump.core.live.version(VIP, vip)
        return Question(QueryKind.POLICY, number, vip, since, digest)

    found = _ask_all(pump, expected, ask)
    held = {node: [line for line in answer.held if key_of(line) in keys] for node, answer in sorted(found.items())}
    differ = [{"name": node, "holds": lines} for node, lines in held.items() if lines and found[node].has]
    total = _summed(expected, found)
    return total | {"have": total["have"] - len(differ), "differ": differ}


def _ask_all(pump: Pump, expected: Collection[str], ask: Callable[[], Question]) -> dict[str, QueryReply]:
    found: dict[str, QueryReply] = {}
    deadline = pump.clock() + WAIT_S
    while True:
        _ask_once(pump, expected, found, ask())
        if _complete(expected, found) or pump.clock() >= deadline:
            return found
        time.sleep(_AGAIN_S)


def _summed(expected: Collection[str], found: dict[str, QueryReply]) -> dict[str, Any]:
    """Return ``sessions`` on the ``answered`` nodes; on how many of those ``expected`` it is done, which are
    ``missing``; and on which something else holds, which ``differ``: none, unless a policy was asked about.
    """
    have = {node: answer for node, answer in found.items() if answer.has}
    return {
        "sessions": sum(answer.sessions for answer in found.values()),
        "answered": len(found),
        "have": len(have),
        "expected": len(expected),
        "missing": sorted(set(expected) - set(have)),
        "differ": [],
    }


def ask_clocks(pump: Pump, expected: Collection[str]) -> dict[str, float]:
    """Return by how many seconds other nodes' wall clocks are ahead of ours,
    give or take the time their answer took.
    """
    found: dict[str, float] = {}
    with pump.lock:
        token = pump.core.queries.ask(QueryKind.CLOCK, 0, pump.clock())
        own = {answer.node for answer in pump.core.queries.answers(token)}
    pump.wake()
    asked_at, deadline = time.time(), pump.clock() + CLOCKS_S
    while pump.clock() < deadline and not set(expected) <= set(found) | own:
        time.sleep(_LOOK_S)
        with pump.lock:
            answers = pump.core.queries.answers(token)
        middle = (asked_at + time.time()) / 2
        for answer in answers:
            if answer.has and answer.node not in own:
                found.setdefault(answer.node, round(answer.unix_ms / 1000 - middle, 3))
    return found


def ask_figures(pump: Pump, expected: Collection[str]) -> dict[str, Any]:
    """Return how clients resume on every node that answers in time, VIP by VIP; ``silent`` are those that didn't."""
    found: dict[str, QueryReply] = {}
    _ask_once(pump, expected, found, Question(QueryKind.FIGURES))
    nodes = [
        {"name": node, "colo": answer.colo, "vips": {of.vip: _plain_figures(of) for of in answer.figures}}
        for node, answer in sorted(found.items())
    ]
    return {"nodes": nodes, "silent": sorted(set(expected) - set(found))}


def _plain_figures(of: Figures) -> dict[str, Any]:
    return {
        "handshakes": {"full": of.full, "local": of.local, "remote": of.remote},
        "lookups": {"hit_not_resumed": of.hit_not_resumed},
        "entries": of.entries,
    }


def _ask_once(pump: Pump, expected: Collection[str], found: dict[str, QueryReply], ask: Question) -> None:
    with pump.lock:
        token = pump.core.queries.ask(
            ask.matter, ask.number, pump.clock(), name=ask.name, since=ask.since, digest=ask.digest
        )
    pump.wake()
    until = pump.clock() + _ROUND_S
    while pump.clock() < until:
        with pump.lock:
            answers = {answer.node: answer for answer in pump.core.queries.answers(token)}
        found.update(answers)
        if set(expected) <= set(answers):
            return
        time.sleep(_LOOK_S)


def _complete(expected: Collection[str], found: dict[str, QueryReply]) -> bool:
    return all(node in found and found[node].has for node in expected)
