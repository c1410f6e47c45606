"""Verdicts in words: which gate, which reason, which nodes, which setting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.control.explain import VipPlace, explain_session, explain_way, why
from meshcache.core.policy.digest_parts import parts_of
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach, Terms, Verdict
from meshcache.core.policy.scope import ClientAuth, Security, group_digest
from meshcache.core.values.session import Session, StreamKey
from meshcache.core.values.topology import LocalVip, NodeRecord, VipNote

PLAIN = Security("shop", ClientAuth(), 0x0303)
STRICT = replace(PLAIN, tls_floor=0x0304)


def record(
    node: str, colo: str, reach: Reach = REACH_EVERYWHERE, vip: str = "shop", settings: Security = PLAIN
) -> NodeRecord:
    terms = Terms(node, colo, vip, settings.group, group_digest(settings), reach)
    return NodeRecord(node, 1, colo, f"{node}:1", 1, (terms,), "0", (VipNote(parts_of(settings)),))


def way(records: list[NodeRecord], source: tuple[str, str], target: tuple[str, str]) -> dict[str, Any]:
    return explain_way(records, VipPlace(*source), VipPlace(*target))


AMS, FRA = ("shop", "ams1"), ("shop", "fra1")


def test_on_the_way_to_the_node_that_answers_the_gate_is_its_own() -> None:
    records = [record("me", "fra1", REACH_COLO), record("a", "ams1")]
    (towards,) = explain_way(records, VipPlace(*AMS), VipPlace(*FRA), "me")["ways"]
    (away,) = explain_way(records, VipPlace(*FRA), VipPlace(*AMS), "me")["ways"]
    assert (towards["gate"], towards["verdict"]) == ("may_accept", "receiver_reach")
    assert (away["gate"], away["verdict"]) == ("may_send", "sender_reach")


def test_a_way_that_is_open_says_so() -> None:
    told = way([record("a", "ams1"), record("b", "fra1"), record("c", "fra1")], AMS, FRA)
    assert (told["from"], told["to"], told["allowed"]) == ("shop@ams1", "shop@fra1", "all")
    assert told["ways"] == [
        {
            "verdict": "allowed",
            "gate": None,
            "why": "both ends allow it",
            "differs": [],
            "from_nodes": ["a"],
            "to_nodes": ["b", "c"],
            "copies": "all",
            "push": "all",
            "resumption": {"from": "sessions", "to": "sessions"},
            "tickets": None,
        }
    ]


@pytest.mark.parametrize(
    ("copies", "push", "words"),
    [
        (3, True, "both ends allow it; 3 servers of the colo hold a session, the others may fetch it"),
        (1, True, "both ends allow it; 1 server of the colo holds a session, the others may fetch it"),
        (3, False, 'both ends allow it; shop in ams1 has push = "none": nothing is pushed there, servers may fetch it'),
    ],
)
def test_a_way_of_which_not_everybody_gets_copies_says_who_does(copies: int, push: bool, words: str) -> None:
    made = record("a", "ams1")
    made = replace(made, vips=(replace(made.vips[0], copies=copies, push=push),))
    (told,) = way([made, record("b", "fra1")], AMS, FRA)["ways"]
    assert (told["why"], told["copies"], told["push"]) == (words, copies, "all" if push else "none")


def mode(resumption: str, node: str, colo: str, reach: Reach = REACH_EVERYWHERE, vip: str = "shop") -> NodeRecord:
    made = record(node, colo, reach, vip)
    note = replace(made.notes[0], tickets=resumption != "sessions", both=resumption == "both")
    return replace(made, notes=(note,))


@pytest.mark.parametrize(
    ("near", "far", "allowed", "tickets"),
    [
        ("sessions", "sessions", "all", None),
        ("tickets", "tickets", "all", "allowed"),
        ("both", "both", "all", "allowed"),
        ("both", "tickets", "all", "allowed"),
        ("tickets", "sessions", "none", "no_tickets"),
        ("both", "sessions", "none", "no_tickets"),
        ("sessions", "tickets", "all", "no_tickets"),
    ],
)
def test_what_the_one_end_gives_its_clients_is_what_counts(
    near: str, far: str, allowed: str, tickets: str | None
) -> None:
    told = way([mode(near, "a", "ams1"), mode(far, "b", "fra1")], AMS, FRA)
    (only,) = told["ways"]
    assert only["resumption"] == {"from": near, "to": far}
    assert (told["allowed"], only["tickets"] and only["tickets"]["verdict"]) == (allowed, tickets)


def test_tickets_need_one_border_where_sessions_need_two_that_overlap() -> None:
    both_colos = Reach.parse(["ams1", "fra1"])
    records = [mode("tickets", "a", "ams1", both_colos), mode("tickets", "b", "fra1"), mode("both", "c", "ams1")]
    told = way(records, AMS, FRA)
    assert told["allowed"] == "some"
    refused = next(each for each in told["ways"] if each["from_nodes"] == ["a"])
    assert refused["verdict"] == "allowed"
    assert refused["tickets"] == {
        "verdict": "other_ring",
        "why": "keys are for one border, and the reach of shop in ams1 ams1,fra1 and shop in fra1 everywhere are two",
    }


def test_settings_that_differ_are_named_for_tickets_too() -> None:
    strict = record("b", "fra1", settings=STRICT)
    strict = replace(strict, notes=(replace(strict.notes[0], tickets=True),))
    (only,) = way([mode("tickets", "a", "ams1"), strict], AMS, FRA)["ways"]
    assert only["tickets"]["verdict"] == "settings_differ"
    assert "the lowest TLS version" in only["tickets"]["why"]


@pytest.mark.parametrize(
    "near, far, verdict, words",
    [
        (REACH_COLO, REACH_EVERYWHERE, "sender_reach", "the reach of shop in ams1 is colo, which leaves out fra1"),
        (
            REACH_EVERYWHERE,
            REACH_SERVER,
            "receiver_reach",
            "the reach of shop in fra1 is server, which leaves out ams1",
        ),
    ],
)
def test_the_end_whose_reach_is_too_short_is_named(near: Reach, far: Reach, verdict: str, words: str) -> None:
    told = way([record("a", "ams1", near), record("b", "fra1", far)], AMS, FRA)
    assert told["allowed"] == "none"
    assert [(each["verdict"], each["gate"], each["why"]) for each in told["ways"]] == [(verdict, "may_send", words)]


def test_nodes_whose_settings_differ_are_told_apart_with_the_setting() -> None:
    told = way([record("a", "ams1"), record("b", "fra1"), record("c", "fra1", settings=STRICT)], AMS, FRA)
    assert told["allowed"] == "some"
    differing = next(each for each in told["ways"] if each["verdict"] == "settings_differ")
    assert (differing["differs"], differing["to_nodes"]) == (["the lowest TLS version"], ["c"])
    assert differing["why"] == "settings of share group shop differ: the lowest TLS version"


def test_other_groups_are_named() -> None:
    told = way([record("a", "ams1"), record("b", "fra1", settings=replace(PLAIN, group="pay"))], AMS, FRA)
    assert told["ways"][0]["why"] == "share group shop is not share group pay"


def test_within_one_place_a_node_is_not_a_way_to_itself() -> None:
    alone = way([record("a", "ams1", REACH_SERVER)], AMS, AMS)
    assert (alone["ways"], alone["allowed"]) == ([], "all"), "what it makes resumes there"
    assert way([record("a", "ams1"), record("b", "ams1")], AMS, AMS)["allowed"] == "all"


def both(shop: NodeRecord, pay: NodeRecord) -> NodeRecord:
    """Return a node that serves what these two do."""
    return replace(shop, vips=shop.vips + pay.vips, notes=shop.notes + pay.notes)


def test_from_one_vip_of_a_node_to_another_of_it_is_what_a_lookup_there_would_say() -> None:
    pay = ("pay", "ams1")
    grouped = both(record("a", "ams1", REACH_SERVER), record("a", "ams1", vip="pay"))
    told = way([grouped, record("b", "fra1")], AMS, pay)
    assert told["allowed"] == "all", "a node's own sessions skip the reach"
    assert [(each["verdict"], each["from_nodes"], each["to_nodes"]) for each in told["ways"]] == [
        ("allowed", ["a"], ["a"])
    ]
    apart = both(record("a", "ams1"), record("a", "ams1", vip="pay", settings=replace(PLAIN, group="pay")))
    (only,) = (told := way([apart], AMS, pay))["ways"]
    assert (told["allowed"], only["verdict"], only["gate"]) == ("none", "other_group", "may_resume")
    assert only["why"] == "share group shop is not share group pay"


def test_tickets_of_two_vips_of_one_node_are_good_for_both_in_one_ring() -> None:
    pay = ("pay", "ams1")
    for reach, allowed, verdict in ((REACH_SERVER, "all", "allowed"), (REACH_COLO, "none", "other_ring")):
        vips = mode("tickets", "a", "ams1", REACH_SERVER), mode("tickets", "a", "ams1", reach, "pay")
        (only,) = (told := way([both(*vips)], AMS, pay))["ways"]
        assert (told["allowed"], only["verdict"], only["tickets"]["verdict"]) == (allowed, "allowed", verdict)


def test_where_nobody_serves_a_vip_nothing_is_allowed() -> None:
    assert way([record("a", "ams1")], AMS, FRA)["allowed"] == "none"


def test_a_node_that_tells_no_parts_is_no_reason_to_guess() -> None:
    old = replace(record("b", "fra1", settings=STRICT), notes=())
    told = way([record("a", "ams1"), old], AMS, FRA)
    assert told["ways"][0]["differs"] == ["a setting that one of them can't name"]


def test_every_verdict_has_words() -> None:
    terms = record("a", "ams1").vips[0]
    assert all(why(verdict, terms, terms, ("x",)) for verdict in Verdict)


class TestSession:
    OWN = record("a", "ams1", REACH_COLO)
    OTHERS = (
        record("b", "ams1"),
        record("c", "fra1"),
        record("d", "ams1", vip="pay", settings=replace(PLAIN, group="pay")),
        replace(record("e", "ams1"), vips=(), notes=()),
    )

    def told(self, now: float = 100.0, **changes: Any) -> dict[str, Any]:
        session = Session(b"\x01" * 32, b"der", StreamKey("a", 1, "shop"), 5, 1000.0, 50.0)
        local = LocalVip(self.OWN.vips[0], 3600, 500, 1, 1, note=self.OWN.notes[0])
        records = (self.OWN, *self.OTHERS)
        session = session._replace(**changes)
        made_here = session.stream.origin == "a"
        return explain_session(session, self.OWN.vips[0], self.OWN, records, [local], now, made_here=made_here)

    def test_it_says_whose_it_is_and_where_it_may_be_used(self) -> None:
        told = self.told()
        assert (told["origin"], told["made_here"], told["remaining_s"], told["lineage_s"]) == ("a", True, 900, 50)
        assert [(each["vip"], each["verdict"]) for each in told["here"]] == [("shop", "allowed")]
        assert {tuple(each["nodes"]): each["verdict"] for each in told["elsewhere"]} == {
            ("b",): "allowed",
            ("c",): "sender_reach",
            ("d",): "other_group",
            ("e",): "no_terms",
        }

    def test_a_gate_is_named_only_where_one_was_asked(self) -> None:
        gates = {each["verdict"]: each["gate"] for each in self.told()["elsewhere"]}
        assert gates == {"allowed": None, "sender_reach": "may_send", "other_group": "may_send", "no_terms": None}

    def test_ends_of_life_are_told_apart(self) -> None:
        assert self.told(now=1000.0)["here"][0]["verdict"] == "lifetime"
        assert self.told(now=600.0)["here"][0]["why"] == "its lineage began longer ago than lineage_s"

    def test_one_with_a_client_certificate_stays(self) -> None:
        (elsewhere,) = self.told(seq=0, client_certificate=True)["elsewhere"]
        assert (elsewhere["verdict"], elsewhere["gate"]) == ("client_certificate", None)
        assert "never leaves this server" in elsewhere["why"]
        foreign = self.told(stream=StreamKey("b", 1, "shop"), client_certificate=True)
        assert foreign["here"][0]["verdict"] == "client_certificate"


class Refuses:
    """An own policy that keeps sessions of some nodes from some."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs

    def may_send(self, source: Terms, target: Terms) -> bool:
        return (source.node, target.node) not in self.pairs

    may_accept = may_send


def test_what_the_own_policy_refuses_is_told_apart_on_the_ways_of_the_node_that_answers() -> None:
    records = [record("me", "ams1"), record("a", "ams1"), record("b", "fra1"), record("c", "fra1")]
    policy = Refuses(("me", "b"), ("c", "me"), ("a", "b"))
    out = explain_way(records, VipPlace(*AMS), VipPlace(*FRA), "me", policy)
    assert out["allowed"] == "some"
    told = {(tuple(w["from_nodes"]), tuple(w["to_nodes"])): (w["verdict"], w["gate"]) for w in out["ways"]}
    assert told == {
        (("me",), ("b",)): ("own_policy", "may_send"),
        (("me",), ("c",)): ("allowed", None),
        (("a",), ("b", "c")): ("allowed", None),
    }
    back = explain_way(records, VipPlace(*FRA), VipPlace(*AMS), "me", policy)
    told = {(tuple(w["from_nodes"]), tuple(w["to_nodes"])): (w["verdict"], w["gate"]) for w in back["ways"]}
    assert told == {
        (("c",), ("me",)): ("own_policy", "may_accept"),
        (("b",), ("me",)): ("allowed", None),
        (("b", "c"), ("a",)): ("allowed", None),
    }
