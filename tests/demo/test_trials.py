"""What the demo expects is what the policies say, and a trial that went otherwise never counts as held."""

from __future__ import annotations

from itertools import product

import pytest

from meshcache.core.policy.gates import Reach, Terms, may_cross, may_resume
from meshcache.demo.clients import PythonClient, Visit
from meshcache.demo.files import SERVERS, VIPS, Endpoint, build
from meshcache.demo.trials import BORDERS, Expectation, Trial, _arrives, endpoint, everywhere, survivors

ALL = [*BORDERS, *everywhere("shop"), *survivors("shop", "edge-2")]


def terms(at: Endpoint) -> Terms:
    return Terms(at.server.name, at.server.colo, at.vip.name, at.vip.group, b"d" * 32, Reach.parse(at.vip.reach))


@pytest.mark.parametrize("expected", ALL, ids=lambda e: f"{e.made} to {e.tried}")
def test_the_core_s_policy_expects_the_same(expected: Expectation) -> None:
    made, tried = terms(expected.made), terms(expected.tried)
    if may_resume(made, tried):
        assert expected.outcome == ("local" if expected.made.server == expected.tried.server else "remote")
    else:
        assert expected.outcome == "full"


@pytest.mark.parametrize(("vip", "here", "there"), list(product(VIPS, SERVERS[:1], SERVERS)))
def test_it_waits_for_exactly_the_sessions_that_the_policy_sends(vip, here, there) -> None:
    made = terms(Endpoint(vip, here))
    sent = here != there and any(may_cross(made, terms(Endpoint(other, there))) for other in VIPS)
    assert _arrives(Endpoint(vip, here), there) is sent


def test_the_borders_show_crossings_and_refusals() -> None:
    assert {expected.outcome for expected in BORDERS} == {"remote", "full"}
    assert all(expected.why for expected in BORDERS)


def test_survivors_are_all_but_the_killed() -> None:
    assert [expected.tried.server.name for expected in survivors("shop", "edge-2")] == [
        "edge-1", "edge-3", "edge-4", "edge-5", "edge-6",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("session", "origin", "resumed", "held"),
    [
        ("remote", "edge-1", True, True),
        ("remote", "edge-3", True, False),
        ("remote", None, True, False),
        ("remote", "edge-1", False, False),
        ("local", None, True, False),
        ("full", None, False, False),
        ("full", None, True, False),
    ],
)
def test_a_trial_holds_only_when_server_client_and_origin_agree(folder, session, origin, resumed, held) -> None:
    expected = Expectation(endpoint("shop", "edge-1"), endpoint("shop", "edge-2"), "remote")
    client = PythonClient(build(folder, mdns=False), "1.3")
    trial = Trial(expected, client, Visit("edge-2", session, origin, resumed, None))
    assert trial.held is held
    assert "shop on edge-1 (ams1) -> shop on edge-2 (ams1), Python ssl, TLS 1.3: expected remote" in str(trial)
