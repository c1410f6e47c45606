"""Ticket rings under splits, stalls and deaths: a slice of seeds, and that the checkers see what they are there for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshcache.core.tickets.ring_nodes import RingNodes
from meshcache.core.tickets.ticket_duty import TicketDuty
from tests.simulation.plants import replaced
from tests.simulation.scenarios import run


@pytest.mark.slow
@pytest.mark.parametrize("seed", (1, 9))
def test_no_ticket_is_refused_by_who_may_open_it_and_none_opens_elsewhere_or_later(seed: int) -> None:
    report = run("rings", seed)
    assert report.passed, str(report)
    assert report.figures["opened"] > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "planted", "seed", "seen"),
    (
        (RingNodes, "without", lambda *_: [], 9, "refused within its lifetime"),
        (TicketDuty, "_end", lambda *_: None, 3, "though it was withdrawn"),
    ),
)
def test_a_key_used_too_soon_and_a_withdraw_that_does_nothing_are_seen(
    owner: type, name: str, planted: Callable[..., object], seed: int, seen: str
) -> None:
    with replaced(owner, name, planted):
        report = run("rings", seed)
    assert seen in report.violations[0]
