"""Questions to the whole mesh: every node that can be reached answers once, and the sums are right."""

from __future__ import annotations

from dataclasses import replace

from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.topology import VipNote
from meshcache.core.wire.queries import Figures, Query, QueryKind, QueryReply
from tests.core.net import Host, Net, Puppet, dropped, make, mesh, vip


def three_colos(net: Net) -> list[Host]:
    hosts: list[Host] = []
    for colo in ("ams1", "fra1", "lon1"):
        for i in range(3):
            name, seeds = f"{colo}-{i}", (hosts[0].address,) if hosts else ()
            hosts.append(net.add(name, colo, vip(name, colo, reach=REACH_SERVER), seeds=seeds))
    net.until(lambda: all(len(host.core.records()) == 9 for host in hosts), within=60)
    net.run(15)
    return hosts


def test_every_node_of_every_colo_answers_though_few_are_linked() -> None:
    net = Net()
    hosts = three_colos(net)
    assert any(len(host.core.peers(net.now)) < 8 for host in hosts)
    asker = hosts[4].core
    token = asker.queries.ask(QueryKind.POLICY, 1, net.now, name="shop")
    net.run(0.1)
    answers = asker.queries.answers(token)
    assert [answer.node for answer in answers] == sorted(host.name for host in hosts)
    assert not any(answer.has for answer in answers)


def test_a_node_has_a_policy_when_it_is_in_force_there() -> None:
    net = Net()
    first, second = mesh(net, ["a", "b"])
    net.until(lambda: bool(first.core.peers(net.now)))
    second.core.set_vip(replace(vip("b"), note=VipNote(version=4)), net.now)
    for number, has in ((4, True), (5, False)):
        token = first.core.queries.ask(QueryKind.POLICY, number, net.now, name="shop")
        net.run(0.1)
        assert {answer.node: answer.has for answer in first.core.queries.answers(token)} == {"a": False, "b": has}


def test_versions_of_one_number_are_told_apart_and_what_a_file_holds_back_is_said() -> None:
    net = Net()
    first, second = mesh(net, ["a", "b"])
    net.until(lambda: bool(first.core.peers(net.now)))
    second.core.set_vip(replace(vip("b"), note=VipNote(version=4, digest=b"ours", held=("reach=colo (why)",))), net.now)
    for digest, has in ((b"ours", True), (b"theirs", False), (b"", True)):
        token = first.core.queries.ask(QueryKind.POLICY, 4, net.now, name="shop", digest=digest)
        net.run(0.1)
        answer = first.core.queries.answers(token)[1]
        assert (answer.node, answer.has, answer.held) == ("b", has, ("reach=colo (why)",))


def test_recalls_since_the_change_are_counted_and_older_ones_not() -> None:
    net = Net()
    first, second = mesh(net, ["a", "b"], reach=REACH_EVERYWHERE)
    net.until(lambda: bool(first.core.peers(net.now)) and bool(second.core.peers(net.now)))
    for number in range(5):
        make(net, first, number)
    net.run(1)
    changed_at = net.now
    second.core.set_vip(vip("b", reach=REACH_SERVER), net.now)
    token = first.core.queries.ask(QueryKind.POLICY, 0, net.now, name="shop", since=changed_at)
    net.run(0.1)
    assert sum(answer.sessions for answer in first.core.queries.answers(token)) == 5
    net.run(10)
    token = first.core.queries.ask(QueryKind.POLICY, 0, net.now, name="shop", since=net.now)
    net.run(0.1)
    assert sum(answer.sessions for answer in first.core.queries.answers(token)) == 0


def test_recalls_of_an_earlier_version_are_not_counted_for_a_later_one() -> None:
    """Be it taken over from the mesh's table or heard first from the node whose sessions they were."""
    net = Net()
    first, second = mesh(net, ["a", "b"], reach=REACH_EVERYWHERE)
    net.until(lambda: bool(first.core.peers(net.now)) and bool(second.core.peers(net.now)))
    changed_at = net.now
    for version, changed in ((1, second), (3, first)):
        make(net, first, version)
        net.run(0.1)
        tight = vip(changed.name, reach=REACH_SERVER)
        changed.core.set_vip(replace(tight, note=VipNote(version=version)), net.now)
        net.run(0.1)
        changed.core.set_vip(replace(vip(changed.name), note=VipNote(version=version + 1)), net.now)
        net.run(0.1)
        for number, sessions in ((version, 1), (version + 1, 0)):
            token = first.core.queries.ask(QueryKind.POLICY, number, net.now, name="shop", since=changed_at)
            net.run(0.1)
            assert sum(answer.sessions for answer in first.core.queries.answers(token)) == sessions


def test_every_node_says_how_its_clients_resume() -> None:
    net = Net()
    first, second = mesh(net, ["a", "b"])
    net.until(lambda: bool(first.core.peers(net.now)) and bool(second.core.peers(net.now)))
    make(net, first, 1)
    second.core.handshake("shop", "remote")
    net.run(1)
    token = first.core.queries.ask(QueryKind.FIGURES, 0, net.now)
    net.run(0.1)
    answers = first.core.queries.answers(token)
    assert [(answer.node, answer.colo) for answer in answers] == [("a", "ams1"), ("b", "ams1")]
    assert [answer.figures for answer in answers] == [
        (Figures("shop", 0, 0, 0, 0, 1),),
        (Figures("shop", 0, 0, 1, 0, 1),),
    ]


def test_a_withdraw_is_asked_after_by_its_number() -> None:
    net = Net()
    first, second = mesh(net, ["a", "b"])
    net.until(lambda: bool(first.core.peers(net.now)) and bool(second.core.peers(net.now)))
    for number in range(3):
        make(net, first, number)
    net.run(1)
    assert second.core.withdraw(net.now, vip="shop") == 3
    net.run(0.1)
    issued = second.core.withdraws.number
    for number, gone in ((issued, 6), ((issued + 1) % 2**32, 0)):
        token = second.core.queries.ask(QueryKind.WITHDRAW, number, net.now)
        net.run(0.1)
        answers = second.core.queries.answers(token)
        assert sum(answer.sessions for answer in answers) == gone
        assert all(answer.has == (gone > 0) for answer in answers)


def test_a_question_is_answered_once_and_comes_not_back_to_who_asked() -> None:
    net = Net()
    host = net.add("h", "ams1", vip("h"))
    puppet = Puppet(net, "p")
    puppet.joins(host)
    for _ in range(3):
        puppet.says(host, Query("p", 7, 5, QueryKind.POLICY, 1, "shop"))
        puppet.says(host, Query("h", 1, 6, QueryKind.POLICY, 1, "shop"))
    assert [answer.token for answer in puppet.hears(QueryReply)] == [5]


def test_a_flood_of_questions_costs_little() -> None:
    net = Net()
    host = net.add("h", "ams1", vip("h"))
    puppet = Puppet(net, "p")
    puppet.joins(host)
    for token in range(1000):
        puppet.says(host, Query("p", 7, token, QueryKind.POLICY, 1, "shop"))
    assert len(puppet.hears(QueryReply)) <= 100
    assert dropped(host, net)["ask_rate"] >= 900


def test_answers_that_nobody_asked_for_go_nowhere() -> None:
    net = Net()
    host = net.add("h", "ams1", vip("h"))
    puppet = Puppet(net, "p")
    puppet.joins(host)
    puppet.says(host, QueryReply("h", 99, "p", True, 1000))
    puppet.says(host, QueryReply("elsewhere", 99, "p", True, 1000))
    assert host.core.queries.answers(99) == []
    token = host.core.queries.ask(QueryKind.POLICY, 1, net.now, name="shop")
    puppet.says(host, QueryReply("h", token, "p", True, 1))
    puppet.says(host, QueryReply("h", token, "p", True, 1000))
    assert [answer.sessions for answer in host.core.queries.answers(token) if answer.node == "p"] == [1]


def test_only_the_newest_questions_are_kept() -> None:
    net = Net()
    host = net.add("h", "ams1", vip("h"))
    tokens = [host.core.queries.ask(QueryKind.POLICY, 1, net.now, name="shop") for _ in range(20)]
    assert host.core.queries.answers(tokens[0]) == []
    assert host.core.queries.answers(tokens[-1])
