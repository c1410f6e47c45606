"""What a node answers about its mesh, turned into problems with what to do."""

from __future__ import annotations

from typing import Any

from meshcache.core.state.refusals import Refusals
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import EventLog
from meshcache.doctor.finding import Finding, FindingState
from meshcache.doctor.mesh import CLOCK_OFF_S, mesh_findings


def peer(name: str = "edge-2", state: str = "alive", *islands: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "colo": "fra1", "state": state, "islands": list(islands)}


def found(
    stats: dict[str, Any] | None = None, policies: Any = (), clocks: dict[str, float] | None = None
) -> dict[str, Finding]:
    stats = {"peers": [peer()], **(stats or {})}
    return {finding.name: finding for finding in mesh_findings(stats, policies, clocks or {})}


def problems(findings: dict[str, Finding]) -> list[str]:
    return [name for name, finding in findings.items() if finding.state is FindingState.PROBLEM]


def test_a_mesh_that_is_well_has_no_problem() -> None:
    assert problems(found(clocks={"edge-2": 0.1})) == []


def test_one_other_node_is_spoken_of_as_one() -> None:
    one = found(clocks={"edge-2": 0.1})
    assert one["members"].text == "one other node, alive"
    assert one["clocks"].text == "the other node's agrees with this one within 30 s"
    two = found({"peers": [peer("a"), peer("b")]}, clocks={"a": 0.1, "b": 0.0})
    assert two["members"].text == "2 other nodes, all alive"
    assert two["clocks"].text == "2 other nodes' agree with this one within 30 s"


def test_members_that_are_away_are_named() -> None:
    told = found({"peers": [peer(f"e{i}", "lost") for i in range(7)]})["members"]
    assert told.text == "e0 (fra1), e1 (fra1), e2 (fra1), e3 (fra1), e4 (fra1) and 2 more not heard"
    assert found({"peers": []})["members"].state is FindingState.NOTE
    alone = found({"peers": [], "node": {"workers": [{}, {}]}})["members"]
    assert (alone.state, alone.text) == (FindingState.FINE, "no other server; its 2 workers share with each other")


def test_a_member_of_another_colo_that_no_link_leads_to_is_named_when_it_gives_no_answer() -> None:
    told = {
        finding.name: finding for finding in mesh_findings({"peers": [peer("edge-2")]}, (), {}, ["edge-2", "edge-4"])
    }
    assert (told["members"].state, told["members"].text) == (FindingState.PROBLEM, "edge-4 not heard")


def test_an_island_is_named_with_the_setting_that_differs() -> None:
    islands = [peer("a", "alive", {"group": "pay", "differs": ["the lowest TLS version"]})] * 2
    told = found({"peers": [*islands, peer("b", "alive", {"group": "front"})]})
    assert "Different: the lowest TLS version" in told["island in group pay"].text
    assert "which one they don't tell" in told["island in group front"].text
    assert told["island in group pay"].do


def refusal(reason: str, *, by_peer: bool = False) -> dict[str, Any]:
    refusals = Refusals(EventLog())
    if by_peer:
        refusals.note_by_peer("x", "x:1", reason, 0.0)
    else:
        refusals.note("x", "x:1", Drop(reason), 0.0)
    return refusals.to_plain(1.0)[0]


def test_refused_connections_and_names_are_told() -> None:
    told = found({"transport": {"refused": {"another mesh key": 3}}, "refusals": [refusal("name_taken")]})
    assert told["connections"].text == "3 refused since the start: another mesh key 3"
    assert told["connections"].state is FindingState.NOTE
    assert "compare fingerprints" in told["connections"].do
    probed = found({"transport": {"refused": {"closed during the handshake": 3}}})
    assert "port checks, scanners" in probed["connections"].do
    assert "refused: name_taken" in problems(told)
    assert told["refused: name_taken"].text.startswith("x (at x:1) isn't heard here: it bears the name of another")
    assert told["refused: name_taken"].do
    assert found({"refusals": [refusal("other_mesh")]})["refused: other_mesh"].state is FindingState.NOTE


def test_a_node_that_is_refused_by_others_has_a_problem_and_is_told_what_to_do() -> None:
    told = found({"refusals": [refusal("old_incarnation", by_peer=True)]})
    assert "refused: old_incarnation" in problems(told)
    assert told["refused: old_incarnation"].text.startswith("x doesn't hear this node, which speaks as an earlier life")


def test_clocks_that_are_off_are_named_and_ours_when_most_differ() -> None:
    assert problems(found(clocks={"a": CLOCK_OFF_S - 1, "b": 0})) == []
    told = found(clocks={"a": CLOCK_OFF_S, "b": -0.5, "c": 0})
    assert told["clocks"].text == "a is 30 s ahead"
    told = found(clocks={"a": 500, "b": 501, "c": 0})
    assert told["clocks"].text.startswith("this machine's is 501 s earlier")
    assert "later" in found(clocks={"a": -500})["clocks"].text


def test_a_policy_that_is_not_everywhere_is_worth_a_note() -> None:
    nodes = {"others": [{"name": "edge-4", "version": 6}]}
    told = found(policies=[{"vip": "shop", "version": 7, "nodes": nodes}])["policy of shop"]
    assert (told.state, told.text) == (FindingState.NOTE, "version 7 is not in force everywhere: edge-4 at 6")


def test_server_names_that_the_certificate_does_not_cover_are_told_when_they_are_many() -> None:
    def told(apart: int, full: int) -> Finding | None:
        vip = {"sessions": {"refused": {"name_class": apart}}, "handshakes": {"full": full}}
        return found({"vips": {"shop": vip}}).get("server names of VIP shop")

    assert told(0, 1000) is None
    assert told(10, 10) is None
    few, most = told(50, 1000), told(900, 1000)
    assert few is not None
    assert few.state is FindingState.NOTE
    assert most is not None
    assert most.state is FindingState.PROBLEM
    assert "900 of 1000 full handshakes" in most.text
    assert "subject alternative names" in most.do


def test_sessions_found_and_not_resumed_are_a_problem_when_they_are_many() -> None:
    few = {"vips": {"shop": {"lookups": {"local": 10_000, "hit_not_resumed": 100}}}}
    many = {"vips": {"shop": {"lookups": {"local": 10_000, "hit_not_resumed": 101}}}, "faults": {"shop": {"get": 1}}}
    assert problems(found(few)) == []
    assert problems(found(many)) == ["VIP shop", "TLS callbacks"]
