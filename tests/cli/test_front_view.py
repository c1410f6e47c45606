"""What `stats` says of the server before and behind the node, and of nodes that aren't heard."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from meshcache.cli.front_view import ENDS_SOON_S, REFUSALS_TOLD, front_lines, front_warnings
from tests.admin.snapshots import FRONT, REFUSAL


@pytest.fixture
def stats() -> dict[str, Any]:
    return {"front": deepcopy(FRONT), "refusals": []}


def test_one_line_tells_connections_backends_and_the_next_end(stats: dict[str, Any]) -> None:
    (line,) = front_lines(stats)
    assert line == "server  open 214 of 10,000  backends 3/3 up  certificate ends in 40d00h"
    assert len(line) <= 80
    stats["front"]["ready"] = False
    assert next(front_lines(stats)).endswith("  stopping")
    assert next(front_lines(stats | {"node": {"warm": False}})).endswith("  waits for sessions")
    assert list(front_warnings(stats)) == []


def test_a_drained_backend_is_told_apart(stats: dict[str, Any]) -> None:
    stats["front"]["backends"][1]["weight"] = 0
    assert "  backends 2/2 up, 1 drained  " in next(front_lines(stats))
    assert list(front_warnings(stats)) == []


def test_a_front_without_backends_and_certificates_has_connections_only(stats: dict[str, Any]) -> None:
    stats["front"] |= {"backends": [], "certificates": []}
    assert list(front_lines(stats)) == ["server  open 214 of 10,000"]


@pytest.mark.parametrize("nothing", [{}, {"front": None}])
def test_a_program_that_tells_nothing_has_no_line(nothing: dict[str, Any]) -> None:
    assert list(front_lines(nothing)) == list(front_warnings(nothing)) == []


def test_each_trouble_is_a_line(stats: dict[str, Any]) -> None:
    front = stats["front"]
    front["backends"][1]["up"] = False
    front["certificates"][0]["ends_in_s"] = ENDS_SOON_S - 1
    front["certificates"][1]["ends_in_s"] = 0
    front["certificates"][2]["ends_in_s"] = ENDS_SOON_S
    front["reload"] = {"ok": False, "faults": ["vip[0].listen: what", "another"], "age_s": 75.0}
    stats["refusals"] = [REFUSAL, {**REFUSAL, "by_peer": True}]
    assert list(front_warnings(stats)) == [
        "shop: backend 10.0.0.22:8080 is down",
        "shop: the certificate for shop.example ends in 13d23h",
        "checkout: the certificate for checkout.example has ended",
        "the last reload failed 1m15s ago: vip[0].listen: what",
        "edge-9 isn't heard: bears the name of another node that lives",
        "edge-9 doesn't hear this node: bears the name of another node that lives",
    ]


def test_many_that_are_not_heard_end_in_a_number(stats: dict[str, Any]) -> None:
    stats["refusals"] = [{**REFUSAL, "node": f"n{i}"} for i in range(REFUSALS_TOLD + 2)]
    told = list(front_warnings(stats))
    assert len(told) == REFUSALS_TOLD + 1
    assert told[-1].startswith("2 more")
    assert told[0].startswith("n2 "), "the newest are told"
