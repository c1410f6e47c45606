"""Remembers where peers listened that were forgotten, or known before a restart, and has them tried ever more rarely.

Only says which addresses are worth a hello; `candidates` sends it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from meshcache.core.membership.candidates import Candidates

SOURCE = "bygone"
"""The source of these addresses among the candidates: given up after some tries, like any hint."""

ADDRESSES_MAX = 256
"""Addresses remembered; those that were noted first are forgotten first. One that answers tells of all others behind
the cut."""

REMEMBERED_S = 24 * 3600.0
"""For so long an address is tried: since its peer was forgotten, or since this node started and was told of it."""

_PERIOD_S_MIN = 40.0
"""Between two beginnings of trying one address; a candidate is tried for about as long."""

_PERIOD_SHARE = 0.01
"""And no less than this share of the time for which it has been gone: after 80 minutes 48 s, after a day 14 minutes."""

_JITTER = 0.2


@dataclass(slots=True)
class _Gone:
    since: float
    due_at: float
    heard_at: float


class RememberedAddresses:
    """The addresses of peers that fell silent, not of those that said goodbye, and when to try each again."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._known: OrderedDict[str, _Gone] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, address: str, heard_at: float, now: float) -> None:
        """Try this address now and then; its peer was last heard at `heard_at`, maybe before this node started."""
        self._known.pop(address, None)
        self._known[address] = _Gone(now, now, heard_at)
        if len(self._known) > ADDRESSES_MAX:
            self._known.popitem(last=False)

    def answered(self, address: str) -> None:
        """Note that somebody listens there again, or that it is this node's own."""
        self._known.pop(address, None)

    def heard_at(self) -> dict[str, float]:
        """Return when somebody was last heard at each address."""
        return {address: gone.heard_at for address, gone in self._known.items()}

    def tick(self, now: float, chance: float) -> None:
        """Hint at the addresses that are due. `chance`, from 0 to 1, spreads the next tries in time."""
        for address, gone in list(self._known.items()):
            if now - gone.since > REMEMBERED_S:
                del self._known[address]
            elif gone.due_at <= now:
                period_s = max(_PERIOD_S_MIN, (now - gone.since) * _PERIOD_SHARE)
                gone.due_at = now + period_s * (1 - _JITTER * chance)
                self._candidates.hint(address, SOURCE, now)
                self._candidates.reopen(address, now)  # a seed that answered once isn't dialled else

    def next_due(self) -> float:
        """Return when the next address is due."""
        return min((gone.due_at for gone in self._known.values()), default=float("inf"))
