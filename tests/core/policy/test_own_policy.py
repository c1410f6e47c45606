"""An operator's own policy narrows every way that a session can take, and widens none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from meshcache.core.policy.gates import (
    REACH_COLO,
    REACH_EVERYWHERE,
    REACH_SERVER,
    Terms,
    Verdict,
    may_accept,
    may_resume,
    may_send,
)
from meshcache.core.policy.own_policy import NO_OWN_POLICY
from meshcache.core.values.events import SessionsRecalled
from tests.core.net import DIGEST, Host, Net, has, make, mesh, vip

HERE = Terms("edge-1", "ams1", "shop", "shop", DIGEST, REACH_COLO)
THERE = Terms("edge-2", "ams1", "shop", "shop", DIGEST, REACH_COLO)


@dataclass
class Policy:
    """Refuses what is in `refused`, and notes what it was asked."""

    refused: set[tuple[str, str, str]] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def may_send(self, source: Terms, target: Terms) -> bool:
        return self._says("send", source, target)

    def may_accept(self, source: Terms, target: Terms) -> bool:
        return self._says("accept", source, target)

    def _says(self, gate: str, source: Terms, target: Terms) -> bool:
        self.asked.append((gate, source.node, target.node))
        return (gate, source.node, target.node) not in self.refused


def no(_source: Terms, _target: Terms) -> bool:
    return False


@pytest.mark.parametrize("gate", [may_send, may_accept])
def test_it_refuses_what_the_terms_allow(gate: Callable[..., Verdict]) -> None:
    assert gate(HERE, [THERE]) is Verdict.ALLOWED
    assert gate(HERE, [THERE], no) is Verdict.OWN_POLICY
    assert may_resume(HERE, THERE, no) is Verdict.OWN_POLICY


@pytest.mark.parametrize("gate", [may_send, may_accept])
def test_what_the_terms_refuse_it_is_not_asked(gate: Callable[..., Verdict]) -> None:
    far = Terms("edge-2", "fra1", "shop", "shop", DIGEST, REACH_SERVER)
    asked: list[Terms] = []

    def yes(source: Terms, _target: Terms) -> bool:
        asked.append(source)
        return True

    assert gate(HERE, [far], yes) is Verdict.SENDER_REACH
    assert not asked


def test_of_this_nodes_own_sessions_only_the_terms_decide() -> None:
    assert may_resume(HERE, HERE, no) is Verdict.ALLOWED
    assert NO_OWN_POLICY.may_send(HERE, THERE)


def met(net: Net, hosts: list[Host]) -> None:
    names = {host.name for host in hosts}
    net.until(lambda: all({peer["name"] for peer in host.core.peers(net.now)} >= names - {host.name} for host in hosts))


@pytest.mark.parametrize(("gate", "who"), [("send", 0), ("accept", 1)])
def test_what_it_refuses_never_arrives_by_push_repair_or_snapshot(gate: str, who: int) -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    policy = Policy({(gate, "a", "b")})
    hosts[who].core.follow(policy, net.now)
    met(net, hosts)
    session, other = make(net, hosts[0], 1), make(net, hosts[1], 2)
    net.until(lambda: has(net, hosts[0], other))
    net.run(30)  # repair, anti-entropy and the snapshot of a joiner had their chance
    assert not has(net, hosts[1], session)
    assert (gate, "a", "b") in policy.asked


def test_a_relay_asks_too() -> None:
    """edge `r` may give what `a` made to `b`, and not to `c`, which gets it from nobody else."""
    net = Net()
    hosts = [*mesh(net, ["a"], reach=REACH_EVERYWHERE), *mesh(net, ["r", "b", "c"], "fra1", REACH_EVERYWHERE)]
    for host in hosts[1:]:
        host.core.follow(Policy({("send", "a", "c")}), net.now)
    met(net, hosts[1:])
    net.run(5)
    hosts[0].core.follow(Policy({("send", "a", "c")}), net.now)
    session = make(net, hosts[0], 1)
    net.until(lambda: has(net, hosts[1], session) and has(net, hosts[2], session))
    net.run(30)
    assert not has(net, hosts[3], session)


def test_a_changed_answer_takes_back_what_is_here_and_lets_it_in_again() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    policy = Policy()
    hosts[1].core.follow(policy, net.now)
    met(net, hosts)
    session, own = make(net, hosts[0], 1), make(net, hosts[1], 2)
    net.until(lambda: has(net, hosts[1], session))
    policy.refused.add(("accept", "a", "b"))
    hosts[1].core.follow(policy, net.now)
    assert not has(net, hosts[1], session)
    assert has(net, hosts[1], own)
    assert [event.sessions for event in hosts[1].happened(SessionsRecalled)] == [1]
    policy.refused.clear()
    hosts[1].core.follow(policy, net.now)
    later = make(net, hosts[0], 3)
    net.until(lambda: has(net, hosts[1], later))
    net.until(lambda: has(net, hosts[1], session), within=60)


def test_a_session_that_lies_here_for_another_vip_is_refused_to_the_one_that_may_not_have_it() -> None:
    net = Net()
    shared = {"group": "store"}
    a = net.add("a", "ams1", vip("a", name="shop", **shared))
    b = net.add("b", "ams1", vip("b", name="shop", **shared), vip("b", name="cart", **shared), seeds=("a:7946",))

    class OnlyShop(Policy):
        def may_accept(self, source: Terms, target: Terms) -> bool:
            return target.vip == "shop"

    b.core.follow(OnlyShop(), net.now)
    met(net, [a, b])
    session = make(net, a, 1)
    net.until(lambda: has(net, b, session, "shop"))
    found = b.core.lookup("cart", session, net.now)
    assert (found.session, found.verdict) == (None, Verdict.OWN_POLICY)
    assert b.core.stats(net.now)["vips"]["cart"]["lookups"]["refused"] == {"own_policy": 1}


def test_refusals_are_counted_where_an_operator_looks() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    hosts[0].core.follow(Policy({("send", "a", "b")}), net.now)
    hosts[1].core.follow(Policy({("accept", "a", "b")}), net.now)
    met(net, hosts)
    verdicts = {way["verdict"] for way in hosts[0].core.stats(net.now)["policy"]["crossings"]}
    assert verdicts == {"own_policy"}
    hosts[0].core.follow(NO_OWN_POLICY, net.now)
    make(net, hosts[0], 1)
    net.until(lambda: "own_policy" in hosts[1].core.stats(net.now)["vips"]["shop"]["sessions"]["refused"])
