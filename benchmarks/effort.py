"""How much work each benchmark does: the full run, the quick one, and the one that only shows that the harness works.

The full run takes about ten minutes on two cores, the quick one two.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Counts for one run. ``blocks`` are pairs of blocks of ``block`` handshakes each; the ratio is their median.

    ``returns`` is how many clients come back for each delay and protocol version: 1,000 is the least that can show
    "999 of 1000". ``lag_s`` is how long sessions are made for at each rate. ``part_s`` ends the pairs of one ratio, or
    the returns of one delay, before their count: a machine that is slow today takes no longer, only fewer.
    """

    clients: int
    blocks: int
    block: int
    returns: int
    part_s: float
    lag_s: float
    batches: int
    sessions: int


FULL = Effort(clients=4, blocks=10, block=500, returns=2_000, part_s=8.0, lag_s=6.0, batches=6_000, sessions=200_000)
QUICK = Effort(clients=4, blocks=3, block=120, returns=200, part_s=1.5, lag_s=0.6, batches=1_200, sessions=200_000)
SMOKE = Effort(clients=2, blocks=1, block=6, returns=6, part_s=2.0, lag_s=0.1, batches=20, sessions=2_000)
