"""Results of changes and explanations as lines."""

from __future__ import annotations

from typing import Any

from meshcache.cli.reach import (
    explained_session,
    explained_way,
    in_force_everywhere,
    named,
    what_differs,
    who_has_it,
)


def way(verdict: str = "allowed", **more: Any) -> dict[str, Any]:
    gate = None if verdict == "allowed" else "may_send"
    return {"verdict": verdict, "gate": gate, "why": "because", "from_nodes": ["a"], "to_nodes": ["b"], **more}


def test_who_has_a_change_and_who_is_silent() -> None:
    assert who_has_it({"have": 5, "expected": 6, "missing": ["edge-4"]}) == (
        "5 of 6 nodes (not yet, or no answer: edge-4)"
    )
    assert who_has_it({"have": 1, "expected": 1, "missing": []}) == "1 of 1 node"


def test_who_differs_and_whose_value_won_is_told() -> None:
    nodes = {"missing": [], "differ": [{"name": f"edge-{i}", "holds": ["reach=colo (why)"]} for i in range(8)]}
    done = {
        "nodes": nodes,
        "superseded": {"quota": {"value": "", "author": "b"}, "reach": {"value": "x", "author": "c"}},
    }
    lines = what_differs(done)
    assert lines[0] == "  not on edge-0: reach=colo (why)"
    assert lines[-3:] == [
        "  nor on 2 more, which --json names",
        "  no quota is in force instead: it was set on b at the same time",
        "  reach=x is in force instead: it was set on c at the same time",
    ]


def test_a_change_holds_everywhere_when_nobody_lacks_it_differs_or_won() -> None:
    fine: dict[str, Any] = {"nodes": {"missing": [], "differ": []}, "superseded": {}}
    assert in_force_everywhere(fine)
    assert in_force_everywhere({"nodes": None})
    assert not in_force_everywhere({**fine, "nodes": {"missing": ["a"], "differ": []}})
    assert not in_force_everywhere({**fine, "nodes": {"missing": [], "differ": [{}]}})
    assert not in_force_everywhere({**fine, "superseded": {"reach": {}}})


def test_long_lists_of_names_end_in_a_number() -> None:
    assert named([f"n{i}" for i in range(9)]) == "n0, n1, n2, n3, n4, n5 and 3 more"


def test_a_way_is_told_with_its_reason() -> None:
    found = {"from": "shop@ams1", "to": "shop@fra1", "allowed": "some", "ways": [way(), way("sender_reach")]}
    lines, fine = explained_way(found | {"lost": ["c"], "notes": ["some stay"]})
    assert not fine
    assert lines == [
        "shop@ams1 to shop@fra1: allowed between some nodes only",
        "  a to b: allowed",
        "  a to b: refused at may_send, sender_reach: because",
        "  not reachable now, whatever the policy: c",
        "  but some stay",
    ]
    assert explained_way(found | {"ways": [], "allowed": "none"})[1]


def test_a_session_is_told_with_where_it_may_be_used() -> None:
    found = {
        "found": True,
        "session": "0123456789ab",
        "vip": "shop",
        "group": "front",
        "origin": "edge-2",
        "origin_colo": "ams1",
        "remaining_s": 60,
        "lineage_s": 5,
        "client_certificate": True,
        "here": [{"vip": "shop", "verdict": "allowed", "gate": None, "why": ""}],
        "elsewhere": [
            way("receiver_reach", nodes=["edge-3"]),
            way("no_terms", nodes=["edge-4"]) | {"gate": None},
        ],
    }
    lines, fine = explained_session(found)
    assert not fine
    assert lines[0] == "session 0123456789ab: of VIP shop, share group front, made by edge-2 in ams1"
    assert "a client certificate was shown for it" in lines[1]
    assert lines[2] == "  here, under VIP shop: allowed"
    assert lines[3] == "  on edge-3: refused at may_send, receiver_reach: because"
    assert lines[4] == "  on edge-4: refused, no_terms: because"
    lines, fine = explained_session({"found": False, "session": "0123456789ab", "why": "gone"})
    assert (lines, fine) == (["session 0123456789ab: gone"], False)


def test_a_way_of_tickets_is_told_as_such() -> None:
    ring = {"verdict": "other_ring", "why": "their reach differs"}
    open_ = {"verdict": "allowed", "why": "both ends allow it"}
    none = {"verdict": "no_tickets", "why": "pay keeps sessions"}

    def told(mode: str, tickets: dict[str, str] | None) -> str:
        one = way(resumption={"from": mode, "to": "tickets"}, tickets=tickets)
        lines, _ = explained_way({"from": "shop@ams1", "to": "shop@fra1", "allowed": "all", "ways": [one]})
        return lines[1].removeprefix("  a to b: ")

    assert told("sessions", None) == "allowed"
    assert told("tickets", open_) == "tickets allowed"
    assert told("tickets", ring) == "tickets refused at the ring of keys, other_ring: their reach differs"
    assert told("both", open_) == "TLS 1.3 by session allowed; tickets allowed"
    assert told("both", ring).startswith("TLS 1.3 by session allowed; tickets refused at the ring of keys, other_ring")
    assert told("sessions", none) == "allowed; no tickets are given (pay keeps sessions)"
