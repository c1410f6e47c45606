"""Own policies at real nodes: what they refuse doesn't resume, on either hot path, and what goes wrong refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.hooks import SharingPolicy
from meshcache.plugins.policy import PolicyRunner
from tests.nodes import Place, places
from tests.plugins.hooks import AtLookups, Hangs, Mumbles, Raises, Refuses, Stumbles
from tests.support.hot_paths import hot_path  # noqa: F401 - a fixture
from tests.support.waiting import wait_until
from tests.tls.world import VERSIONS, client_context, visit


@pytest.fixture
def place(folder: Path, hot_path: str) -> Iterator[Place]:  # noqa: F811 - the fixture
    yield from places(folder)


def vip(node: MeshNode) -> dict[str, Any]:
    return node.stats()["vips"]["shop"]  # type: ignore[no-any-return]


def hook(node: MeshNode, at: int = 0) -> dict[str, Any]:
    return node.stats()["hooks"][at]  # type: ignore[no-any-return]


def faults(node: MeshNode) -> list[dict[str, Any]]:
    return [event for event in node.events() if event["kind"] == "HookFaulted"]


class Two:
    """Two nodes, the second with policies, and a client that has been at the first."""

    def __init__(self, place: Place, *policies: SharingPolicy, at: int = 1) -> None:
        hooks: list[list[SharingPolicy]] = [[], []]
        hooks[at] = list(policies)
        self.nodes = [place.node(f"edge-{number}", hooks=hooks[number - 1]) for number in (1, 2)]
        self.servers = [place.server(node, version="1.3") for node in self.nodes]
        place.wait_until_met()
        self.client = client_context("1.3")

    def made(self) -> Any:
        return visit(self.servers[0], self.client).session


@pytest.mark.parametrize(("gate", "at"), [("may_send", 0), ("may_accept", 1)])
def test_a_crossing_that_is_refused_gives_full_handshakes(place: Place, gate: str, at: int) -> None:
    policy = Refuses(gate)
    two = Two(place, policy, at=at)
    session = two.made()
    wait_until(lambda: any(asked[0] == gate for asked in policy.asked), what="it is asked")
    assert not visit(two.servers[1], two.client, session=session).resumed
    assert visit(two.servers[0], two.client, session=session).resumed, "where it was made it is good"
    crossing = next(what for asked, what in policy.asked if asked == gate)
    assert (crossing.origin, crossing.node, crossing.vip, crossing.to_vip) == ("edge-1", "edge-2", "shop", "shop")
    assert hook(two.nodes[at])["counts"][f"refused_{gate.removeprefix('may_')}"] > 0
    assert len([what for asked, what in policy.asked if what == crossing and asked == gate]) == 1, "asked once"


def test_answers_that_change_take_back_and_give_again(place: Place) -> None:
    policy = Refuses()
    two = Two(place, policy)
    session = two.made()
    wait_until(lambda: vip(two.nodes[1])["entries"] == 1, what="it is there")
    policy.gates.add("may_accept")
    policy.ask_again()
    wait_until(lambda: vip(two.nodes[1])["sessions"]["recalled"] == 1, what="it is taken back")
    assert not visit(two.servers[1], two.client, session=session).resumed
    policy.gates.clear()
    policy.ask_again()
    wait_until(lambda: visit(two.servers[1], two.client, session=session).resumed, 60, "it is fetched again")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_lookup_asks_whichever_path_finds_the_session(place: Place, version: str) -> None:
    policy = AtLookups()
    node = place.node("edge-1", hooks=[policy])
    server, client = place.server(node, version=version), client_context(version)
    session = visit(server, client).session
    for _ in range(3):
        assert visit(server, client, session=session).resumed
    asked = [what for gate, what in policy.asked if gate == "may_resume"]
    assert len(asked) == 3
    assert (asked[0].vip, asked[0].origin, asked[0].made_here, asked[0].client_certificate) == (
        *("shop", "edge-1"),
        *(True, False),
    )
    assert 0 <= asked[0].age_s < 60 < asked[0].remaining_s
    policy.gates.add("may_resume")
    for _ in range(2):
        assert not visit(server, client, session=session).resumed
    assert vip(node)["lookups"]["refused"] == {"own_policy": 2}
    assert hook(node)["counts"]["refused_resume"] == 2
    policy.gates.clear()
    assert visit(server, client, session=session).resumed


def test_all_policies_must_agree(place: Place) -> None:
    node = place.node("edge-1", hooks=[AtLookups(), AtLookups("may_resume")])
    server, client = place.server(node), client_context()
    session = visit(server, client).session
    assert not visit(server, client, session=session).resumed
    assert [each["counts"].get("refused_resume", 0) for each in node.stats()["hooks"]] == [0, 1]


@pytest.mark.parametrize(("policy", "what"), [(Raises, "raised"), (Mumbles, "wrong_answer"), (Hangs, "slow")])
def test_what_goes_wrong_refuses_and_breaks_no_handshake(place: Place, policy: type[SharingPolicy], what: str) -> None:
    node = place.node("edge-1", hooks=[policy()])
    server, client = place.server(node), client_context()
    session = visit(server, client).session
    for _ in range(5):
        assert not visit(server, client, session=session).resumed
    assert vip(node)["lookups"]["refused"] == {"own_policy": 5}
    assert vip(node)["handshakes"]["full"] == 6
    told = hook(node)
    assert told["name"] == policy.__name__
    assert told["counts"][what] >= 1
    assert told["counts"].get("calls", 0) < 5, "it rests"
    wait_until(lambda: faults(node), what="it is told")
    assert policy.__name__ in faults(node)[0]["text"]
    assert "secret" not in str(node.events()) + str(node.stats())


def test_a_policy_that_hangs_holds_up_one_handshake_for_its_budget(place: Place) -> None:
    policy = Hangs()
    node = place.node("edge-1", hooks=[policy])
    server, client = place.server(node), client_context()
    session = visit(server, client).session
    for _ in range(5):
        assert not visit(server, client, session=session).resumed
    assert policy.asked == 1
    policy.let.set()
    wait_until(lambda: visit(server, client, session=session).resumed, 60, "it is asked again once it is well")


def test_a_policy_that_is_well_again_is_asked_again_without_anybody_coming(place: Place) -> None:
    policy = Raises()
    two = Two(place, policy)
    session = two.made()
    wait_until(lambda: hook(two.nodes[1])["counts"].get("raised"), what="it is asked")
    assert not visit(two.servers[1], two.client, session=session).resumed
    policy.broken = False
    wait_until(lambda: visit(two.servers[1], two.client, session=session).resumed, 120, "what was refused is fetched")


@pytest.mark.parametrize(("fault", "what"), [(RuntimeError("a secret"), "raised"), ("yes", "wrong_answer")])
def test_a_policy_that_stumbles_as_it_is_asked_again_refuses_until_it_has_rested(
    place: Place, fault: Any, what: str
) -> None:
    policy = Stumbles()
    two = Two(place, policy)
    session = two.made()
    wait_until(lambda: vip(two.nodes[1])["entries"] == 1, what="it is there")
    asked = len(policy.asked)
    policy.faults.append(fault)
    policy.ask_again()
    wait_until(lambda: vip(two.nodes[1])["sessions"]["recalled"] == 1, what="unanswered is refused")
    assert hook(two.nodes[1])["counts"][what] == 1
    assert not policy.faults
    wait_until(lambda: len(policy.asked) > asked + 1, 60, "it is asked anew by itself")
    wait_until(lambda: visit(two.servers[1], two.client, session=session).resumed, 60, "what was refused is fetched")


def test_however_many_crossings_it_has_no_answer_to_it_rests_once() -> None:
    changes: list[bool] = []
    policy = Stumbles()
    runner = PolicyRunner(policy, "", lambda _fault: None, changes.append)
    here = Terms("edge-0", "ams1", "shop", "shop", b"d" * 32, REACH_COLO)
    others = [Terms(f"edge-{number}", "ams1", "shop", "shop", b"d" * 32, REACH_COLO) for number in range(1, 11)]

    def allowed() -> int:
        return sum(runner.allows("may_accept", other, here) for other in others)

    runner.start()
    try:
        assert allowed() == 10
        policy.faults += [OSError()] * 9
        policy.ask_again()
        wait_until(lambda: True in changes, what="all were asked about anew")
        assert changes == [False, True]
        assert allowed() == 1 or not runner.health.resting
        rests_s = runner.health.rests_until - time.monotonic()
        assert rests_s <= 1
        assert runner.health.to_plain()["counts"]["raised"] == 9
        wait_until(lambda: allowed() == 10, 60, "it has rested")
    finally:
        runner.close(60)


def test_without_a_question_at_lookups_the_compiled_path_answers_by_itself(place: Place, hot_path: str) -> None:  # noqa: F811
    node = place.node("edge-1", hooks=[Refuses()])
    server, client = place.server(node), client_context()
    port: Any = node.internals.vips.port("shop")
    found: list[bytes] = []
    find = port.find
    port.find = lambda session_id: found.append(session_id) or find(session_id)
    session = visit(server, client).session
    for _ in range(4):
        session = visit(server, client, session=session).session
    assert len(found) == (1 if hot_path == "c" else 4)
