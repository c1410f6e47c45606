"""Ticket rings under splits, stalls and deaths: a slice of seeds, and that the checkers see what they are there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshcache.core.tickets import rings
from meshcache.core.tickets.ring import Ring
from meshcache.core.tickets.ring_nodes import RingNodes
from meshcache.core.tickets.rings import Rings
from meshcache.core.tickets.ticket_duty import TicketDuty
from tests.simulation.plants import replaced
from tests.simulation.scenarios import run


@pytest.mark.slow
@pytest.mark.parametrize("seed", (1, 9))
def test_no_ticket_is_refused_by_who_may_open_it_and_none_opens_elsewhere_or_later(seed: int) -> None:
    report = run("rings", seed)
    assert report.passed, str(report)
    assert report.figures["opened"] > 100
    assert report.figures["keys_sent"] > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "planted", "seed", "seen"),
    (
        (RingNodes, "without", lambda *_: [], 1, "refused within its lifetime"),
        (TicketDuty, "_send_keys", lambda *_: None, 1, "refused within its lifetime"),
        (TicketDuty, "_end", lambda *_: None, 2, "though it was withdrawn"),
        (Ring, "opens_until", lambda ring, key: ring.encrypts_until(key) + 10 * key.lifetime_s, 1, "beyond its end"),
        (Rings, "of_node", lambda self, _: frozenset(self._terms), 1, "sent across its border"),
        (rings, "may_share", lambda *_: True, 1, "sent across its border"),
        (rings, "ring_id", lambda terms: terms.digest[:16], 2, "opens beyond its border"),
    ),
    ids=("used too soon", "not sent", "withdraw ignored", "kept", "sent to anybody", "shared with anybody", "one ring"),
)
def test_what_is_done_wrong_with_keys_is_seen(
    owner: Any, name: str, planted: Callable[..., object], seed: int, seen: str
) -> None:
    with replaced(owner, name, planted):
        report = run("rings", seed)
    assert seen in report.violations[0]
