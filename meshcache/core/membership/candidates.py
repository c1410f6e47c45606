"""Addresses where a member may listen, from mDNS, seeds, and what peers tell: a bounded list of hints.

A hint is dialled until a hello answers from there; then it is known whose address it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshcache.core.values.limits import Limits

SEED = "seed"
"""The source whose addresses an operator wrote down: they are never given up and never pushed out."""

RELAY = "relay"
"""The source of addresses that this node wants a link to: not given up for as long as that is so."""

SILENT_TRIES = 5
"""Hellos without an answer, over about a second, after which the next best is wanted as well."""

_JITTER = 0.2
"""So that fifty joiners that start together don't go on dialling together."""


@dataclass(slots=True)
class Candidate:
    """An address that is being tried. ``node`` is who answered from it, once somebody did; ``also`` is the source that
    names it besides, where it is a seed.
    """

    address: str
    source: str
    due_at: float
    pause_s: float
    tries: int = 0
    node: str | None = None
    also: str = ""


class Candidates:
    """All hints by address."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[str, Candidate] = {}
        self.generation = 0
        """Grows whenever a candidate falls silent, or a seed is none any more."""

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, address: str) -> bool:
        return address in self._known

    def dialling(self) -> list[str]:
        """Return the addresses that nobody has answered from yet."""
        return [candidate.address for candidate in self._known.values() if candidate.node is None]

    def hint(self, address: str, source: str, now: float) -> bool:
        """Try an address from now on. Return False when there is no room for it."""
        known = self._known.get(address)
        if known is not None:
            if SEED in (source, known.source):
                known.also = next((each for each in (source, known.source) if each != SEED), known.also)
                known.source = SEED
            elif known.source != RELAY:
                known.source = source
            known.tries = 0
            return True
        if len(self._known) >= self._limits.candidates_max and not self._push_out(source):
            return False
        self._known[address] = Candidate(address, source, now, self._limits.hello_s)
        return True

    def silent(self, address: str) -> bool:
        """Return whether this address was tried several times and nobody answered."""
        known = self._known.get(address)
        return known is not None and known.node is None and known.tries >= SILENT_TRIES

    def want(self, nodes: Mapping[str, str], now: float) -> None:
        """Dial these addresses, each of a node that isn't linked, until it is, or until they aren't wanted any more."""
        for candidate in self._known.values():
            if candidate.source == RELAY and candidate.address not in nodes:
                candidate.source = "roster"
        for address, node in nodes.items():
            known = self._known.get(address)
            if known is None:
                self.hint(address, RELAY, now)
                continue
            if known.node is not None:  # it answered once, and then the link ended
                self.missing(node, now)
            if known.source != SEED:
                known.source = RELAY

    def answered(self, address: str, node: str) -> None:
        """Note that a node was reached at this address."""
        known = self._known.get(address)
        if known is None:
            return
        if known.source == SEED:
            known.node = node
        else:
            del self._known[address]

    def ourselves(self, address: str) -> None:
        """Stop trying this address: it is this node's own."""
        self._known.pop(address, None)

    def lost(self, address: str, source: str = "") -> None:
        """Stop trying an address that was only a hint, not one that is wanted as a relay; or, with `SEED`, one that an
        operator wrote and has taken out again.
        """
        known = self._known.get(address)
        if known is None:
            return
        if source == SEED:
            self._no_seed(known)
        elif known.source in (SEED, RELAY):
            known.also = ""
        else:
            del self._known[address]

    def missing(self, node: str, now: float) -> None:
        """Note that a node is gone; whoever listens at its seed now may be another."""
        for candidate in self._known.values():
            if candidate.node == node:
                self._begin_anew(candidate, now)

    def reopen(self, address: str, now: float) -> None:
        """Dial this address though somebody answered there once: there is no link to it now, and there is to be one."""
        known = self._known.get(address)
        if known is not None and known.node is not None:
            self._begin_anew(known, now)

    def _no_seed(self, known: Candidate) -> None:
        """Try an address as what it is known for besides. As `generation` has grown, who is wanted as a relay there is
        dialled anew."""
        if known.source != SEED:
            return
        self.generation += 1
        if known.also and known.node is None:
            known.source, known.also, known.tries = known.also, "", 0
        else:
            del self._known[known.address]

    def _begin_anew(self, candidate: Candidate, now: float) -> None:
        candidate.node, candidate.due_at, candidate.pause_s = None, now, self._limits.hello_s
        candidate.tries = 0

    def due(self, now: float, chance: float) -> list[str]:
        """Return the addresses to send a hello to now. `chance`, from 0 to 1, spreads the next tries in time."""
        due = [known for known in self._known.values() if known.node is None and known.due_at <= now]
        for candidate in due:
            candidate.tries += 1
            self.generation += candidate.tries == SILENT_TRIES
            candidate.due_at = now + candidate.pause_s * (1 + _JITTER * chance)
            candidate.pause_s = min(candidate.pause_s * 2, self._limits.redial_s)
            if candidate.source not in (SEED, RELAY) and candidate.tries > self._limits.candidate_tries:
                del self._known[candidate.address]
        return [candidate.address for candidate in due if candidate.address in self._known]

    def next_due(self) -> float:
        """Return when the next address is due."""
        waiting = [candidate.due_at for candidate in self._known.values() if candidate.node is None]
        return min(waiting, default=float("inf"))

    def _push_out(self, source: str) -> bool:
        kept = (SEED,) if source == SEED else (SEED, RELAY)
        hints = (known for known in self._known.values() if known.source not in kept)
        oldest = next(hints, None)
        if oldest is None or (source != SEED and oldest.tries == 0):
            return False
        del self._known[oldest.address]
        return True
