"""Each checker sees what it is there for, in a world that was spoilt by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation import builder
from tests.simulation.budget import Budget
from tests.simulation.run import Run
from tests.simulation.safety import PUSH, ViolationError, kind


def calm(reach: str = "everywhere") -> Run:
    run = Run("by hand", 1, skewed=False)
    builder.plain(run.world, 2, 2, reach)
    run.world.run(5)
    return run


def test_a_session_where_the_policy_forbids_it_is_seen_at_the_change() -> None:
    run = calm()
    run.world.make(run.world.hosts["c00-00"], "shop")
    run.world.run(1)
    host = run.world.hosts["c01-00"]
    policy = {"shop": replace(run.world.truth.policies[host.name][0]["shop"], reach="colo")}
    host.version = run.world.truth.declare(host.name, host.colo, policy, run.world.now)
    with pytest.raises(ViolationError, match="held by a node that may not have it, c01-00"):
        run.safety.scan(host)


def test_a_stricter_origin_binds_those_it_has_told_and_no_others_yet() -> None:
    run = calm()
    session = run.world.make(run.world.hosts["c00-00"], "shop")
    run.world.run(1)
    origin, other = run.world.hosts["c00-00"], run.world.hosts["c01-00"]
    stricter = {"shop": replace(run.world.truth.policies[origin.name][0]["shop"], reach="server")}
    version = run.world.truth.declare(origin.name, origin.colo, stricter, run.world.now)
    assert session.id in other.core.session_ids("shop")
    run.safety.scan(other)
    other.told[origin.name] = version
    with pytest.raises(ViolationError, match="held by"):
        run.safety.scan(other)
    assert run.convergence.forbidden()


def test_what_is_missing_on_one_node_is_named() -> None:
    run = calm()
    session = run.world.make(run.world.hosts["c00-00"], "shop")
    run.world.run(1)
    run.judge()
    run.world.hosts["c01-01"].core.session_removed("shop", session.id)
    with pytest.raises(ViolationError, match="c01-01 lacks a session of c00-00"):
        run.judge()


@pytest.mark.parametrize(("excuse", "value"), [("spoilt", True), ("withdrawn", [("c00-00", 1)])])
def test_what_was_let_go_of_on_purpose_is_not_missing(excuse: str, value: object) -> None:
    run = calm()
    session = run.world.make(run.world.hosts["c00-00"], "shop")
    run.world.run(1)
    run.world.hosts["c01-01"].core.session_removed("shop", session.id)
    setattr(session, excuse, value)
    assert run.convergence.missing() == []


def test_a_resumption_after_the_end_is_seen() -> None:
    run = calm()
    host = run.world.hosts["c00-00"]
    session = run.world.make(host, "shop", lifetime_s=10)
    run.safety.resumed(host, "shop", session.id, session.der)
    run.world.run(20)
    with pytest.raises(ViolationError, match="after its end"):
        run.safety.resumed(host, "shop", session.id, session.der)


def test_a_table_over_its_maximum_is_seen() -> None:
    run = calm()
    run.bounds.check()
    run.world.limits = replace(run.world.limits, peers_max=1)
    with pytest.raises(ViolationError, match="peers, and 1 is the maximum"):
        run.bounds.check()


def test_a_copy_too_few_and_a_repair_too_many_are_seen() -> None:
    run = calm()
    counted = Budget(run.world)
    run.world.watchers.append(counted)
    run.world.make(run.world.hosts["c00-00"], "shop")
    run.world.run(3)
    counted.check()
    run.world.network.lose(lambda _who, _to, payload: kind(payload) == PUSH)
    run.world.make(run.world.hosts["c00-00"], "shop")
    run.world.run(3)  # the relay has it by repair now, and nothing was spread
    with pytest.raises(ViolationError, match="for a session, and"):
        counted.check()
