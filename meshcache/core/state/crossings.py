"""Counts, for each way that a session could leave by, how many the policy let pass and how many it kept back, and why.

A view for an operator, brought up to date when somebody looks: the handshake and the push know nothing of it. What was
made since the last look counts under the verdicts that held then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from meshcache.core.policy.gates import Terms, Verdict, may_send
from meshcache.core.values.topology import NodeRecord

WAYS_MAX = 1024
"""Ways shown: 8 VIPs here, 16 there, in 8 colos. What peers claim to serve must not make the table grow without end."""


Gate: TypeAlias = Callable[[Terms, Iterable[Terms]], Verdict]
"""`may_send`, or what narrows it."""


class Way(NamedTuple):
    """From a VIP in this node's colo to a VIP in that or another one."""

    from_vip: str
    from_colo: str
    to_vip: str
    to_colo: str


class Crossings:
    """All ways from this node's VIPs, with their counts."""

    def __init__(self) -> None:
        self._verdicts: dict[Way, Verdict] = {}
        self._counts: Counter[tuple[Way, Verdict]] = Counter()
        self._made: dict[str, int] = {}
        self._stamp: object = None

    def update(
        self,
        made: Mapping[str, int],
        own: Iterable[Terms],
        others: Iterable[NodeRecord],
        stamp: object,
        gate: Gate | None = None,
    ) -> None:
        """Count what each VIP made since the last update, then judge the ways anew if `stamp` isn't the same.

        ``made`` counts a VIP's sessions since the start; ``others`` are the nodes that this one could send to; `stamp`
        differs whenever anybody's terms do. With a `gate` that looks at more than terms each node is judged by itself.
        """
        self._count(made)
        if stamp != self._stamp:
            self._stamp = stamp
            self._verdicts = _judge(own, others, gate)
            self._counts = Counter({key: n for key, n in self._counts.items() if key[0] in self._verdicts})

    def to_plain(self) -> list[dict[str, Any]]:
        """Return one line for each way and verdict; ``now`` marks the verdict that holds."""
        keys = {(way, verdict) for way, verdict in self._verdicts.items()} | set(self._counts)
        return [
            {**way._asdict(), "verdict": verdict.value, "sessions": self._counts[way, verdict], "now": holds}
            for way, verdict in sorted(keys, key=lambda key: (key[0], key[1].value))
            for holds in (self._verdicts[way] is verdict,)
        ]

    def _count(self, made: Mapping[str, int]) -> None:
        fresh = {vip: count - self._made.get(vip, 0) for vip, count in made.items()}
        self._made = dict(made)
        for way, verdict in self._verdicts.items():
            if fresh.get(way.from_vip, 0) > 0:
                self._counts[way, verdict] += fresh[way.from_vip]


def _judge(own: Iterable[Terms], others: Iterable[NodeRecord], gate: Gate | None) -> dict[Way, Verdict]:
    """Return the verdict for each way: one node there that may have a session is enough for allowed."""
    targets: dict[tuple[str, str], set[Terms]] = {}
    for terms in (terms for node in others for terms in node.vips):
        targets.setdefault((terms.vip, terms.colo), set()).add(terms if gate else replace(terms, node=""))
    asked = gate or may_send
    ways = ((source, vip, colo) for source in own for vip, colo in sorted(targets))
    return {
        Way(source.vip, source.colo, vip, colo): asked(source, targets[vip, colo])
        for source, vip, colo in islice(ways, WAYS_MAX)
    }
