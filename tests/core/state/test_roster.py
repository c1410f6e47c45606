"""What is known of other colos by hearsay."""

from __future__ import annotations

import pytest

from meshcache.core.state.roster import RECALLED_MAX, RosterTable, digest_of
from meshcache.core.values.drops import Drop
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.messages import ColoDigest
from meshcache.core.wire.record_size import ROSTER_BYTES_MAX, weight
from tests.core.samples import large_record


def record(name: str, colo: str = "fra1", incarnation: int = 1, revision: int = 1) -> NodeRecord:
    return NodeRecord(name, incarnation, colo, f"{name}:1", revision, ())


def names(roster: RosterTable, colo: str = "fra1") -> list[str]:
    return [found.node for found in roster.records(colo)]


def roster() -> RosterTable:
    table = RosterTable("ams1", 100, [].append)
    assert table.learn("fra1", [record("b"), record("a")], (), 10, 1000.0)
    return table


def test_a_fresher_set_replaces_the_whole_of_an_older_one() -> None:
    table = roster()
    assert names(table) == ["a", "b"]
    assert not table.learn("fra1", [record("c")], (), 10, 1000.0)
    assert table.learn("fra1", [record("c")], (), 9, 1000.0)
    assert names(table) == ["c"]


def test_nodes_that_do_not_know_each_other_do_not_push_each_other_out() -> None:
    table = roster()
    linked = [record("a"), record("b")]
    alone = digest_of([record("a")])
    assert table.learn("fra1", [record("a")], linked, 0, 1000.0)
    assert names(table) == ["a", "b"]
    assert not table.compare(ColoDigest("fra1", alone, 0), 1005.0)
    assert names(table) == ["a", "b"]
    assert table.digests(1005.0) == [ColoDigest("fra1", digest_of(linked), 0)]


def test_records_of_another_colo_than_the_page_says_are_not_learnt() -> None:
    table = roster()
    table.learn("lon1", [record("x", "lon1"), record("y", "nyc1")], (), 0, 1000.0)
    assert names(table, "lon1") == ["x"]
    assert not table.learn("ams1", [record("z", "ams1")], (), 0, 1000.0)


def test_a_set_that_differs_is_asked_for_only_if_it_is_fresher() -> None:
    table = roster()
    other = digest_of([record("c")])
    assert table.compare(ColoDigest("fra1", other, 5), 1000.0)
    assert not table.compare(ColoDigest("fra1", other, 10), 1000.0)
    assert table.compare(ColoDigest("lon1", other, 500), 1000.0)


def test_an_equal_set_is_only_vouched_for() -> None:
    table = roster()
    same = digest_of([record("a"), record("b")])
    assert not table.compare(ColoDigest("fra1", same, 2), 1000.0)
    assert table.vouched_s("fra1", 1000.0) == 2


def test_peers_who_disagree_for_a_while_cost_one_transfer_each() -> None:
    table = roster()
    first, second = digest_of([record("a"), record("b")]), digest_of([record("a")])
    table.learn("fra1", [record("a")], (), 5, 1000.0)
    for at in range(10):
        table.compare(ColoDigest("fra1", first, 0), 1001.0 + 2 * at)
        assert names(table) == ["a", "b"]
        assert not table.compare(ColoDigest("fra1", second, 0), 1002.0 + 2 * at)
        assert names(table) == ["a"]


def test_a_node_that_speaks_for_itself_is_newer_than_hearsay_and_never_older() -> None:
    table = roster()
    table.note(record("a", revision=2), 300, 1000.0)
    assert [found.revision for found in table.records("fra1")] == [2, 1]
    table.note(record("a", revision=1), 300, 1000.0)
    assert table.find("a") == record("a", revision=2)


def test_the_first_of_a_colo_is_replaced_by_anybodys_whole_set() -> None:
    table = RosterTable("ams1", 100, [].append)
    table.note(record("a"), 300, 1000.0)
    assert names(table) == ["a"]
    assert table.learn("fra1", [record("a"), record("b")], (), 200, 1000.0)


def test_a_colo_that_nobody_vouches_for_is_forgotten() -> None:
    table = roster()
    table.expire(1589.0, 600.0)
    assert table.colos() == ["fra1"]
    table.expire(1591.0, 600.0)
    assert table.colos() == []


def test_records_are_bounded_in_all_colos_together() -> None:
    table = RosterTable("ams1", 3, [].append)
    assert table.learn("fra1", [record("a"), record("b")], (), 0, 1000.0)
    assert not table.learn("lon1", [record("c", "lon1"), record("d", "lon1")], (), 0, 1000.0)
    assert table.learn("lon1", [record("c", "lon1")], (), 0, 1000.0)
    assert len(table) == 3
    table.note(record("z"), 300, 1000.0)
    assert len(table) == 3


def test_few_sets_are_remembered() -> None:
    table = roster()
    for at in range(20):
        table.learn("fra1", [record(f"n{at}")], (), 0, 1001.0 + at)
    assert table.sets_of("fra1") == RECALLED_MAX


def heavy(colo: str, count: int, revision: int = 1) -> list[NodeRecord]:
    return [large_record(f"n{at:02}", colo, revision) for at in range(count)]


@pytest.mark.slow
def test_records_are_bounded_by_their_weight_in_all_colos_together() -> None:
    dropped: list[Drop] = []
    table = RosterTable("ams1", 4096, dropped.append)
    fit = ROSTER_BYTES_MAX // weight(heavy("c0", 1)[0])
    assert not table.learn("c0", heavy("c0", fit + 1), (), 0, 1000.0)
    assert table.learn("c0", heavy("c0", fit - 1), (), 0, 1000.0)
    assert not table.learn("c1", heavy("c1", 2), (), 0, 1000.0)
    assert table.learn("c1", heavy("c1", 1), (), 0, 1000.0)
    table.note(large_record("more", "c1"), 300, 1000.0)
    assert names(table, "c1") == ["n00"]
    assert table.learn("fra1", [record("a"), record("b")], (), 0, 1000.0)
    assert dropped == [Drop.TOO_HEAVY] * 3


@pytest.mark.slow
def test_sets_that_are_only_remembered_weigh_too_and_make_room() -> None:
    table = RosterTable("ams1", 4096, [].append)
    fit = ROSTER_BYTES_MAX // weight(heavy("c0", 1)[0])
    for at in range(RECALLED_MAX):
        table.learn("c0", heavy("c0", fit // 2, revision=at), (), 0, 1001.0 + at)
        assert table.weight_of("c0") <= ROSTER_BYTES_MAX
    assert table.learn("c1", heavy("c1", fit // 2), (), 0, 1010.0)
    assert table.weight_of("c0") + table.weight_of("c1") <= ROSTER_BYTES_MAX
    assert (len(names(table, "c0")), len(names(table, "c1"))) == (fit // 2, fit // 2)


def test_a_set_that_is_remembered_comes_back_only_where_it_fits() -> None:
    dropped: list[Drop] = []
    table = RosterTable("ams1", 3, dropped.append)
    both = [record("a"), record("b")]
    table.learn("fra1", both, (), 5, 1000.0)
    table.learn("fra1", [record("a")], (), 4, 1000.0)
    table.learn("lon1", [record("c", "lon1"), record("d", "lon1")], (), 0, 1000.0)
    assert not table.compare(ColoDigest("fra1", digest_of(both), 0), 1001.0)
    assert (names(table), dropped) == (["a"], [Drop.ROSTER_FULL])


def test_a_node_that_speaks_again_costs_no_room_when_the_table_is_full() -> None:
    table = RosterTable("ams1", 2, [].append)
    table.learn("fra1", [record("a"), record("b")], (), 5, 1000.0)
    table.note(record("a", revision=2), 300, 1000.0)
    assert table.find("a") == record("a", revision=2)


def test_a_set_that_was_told_while_another_life_was_linked_is_asked_for_again_when_that_is_gone() -> None:
    """Seed 782 of `mixed`: the record of a copy stayed, as it had been merged into what its colo told."""
    table = RosterTable("ams1", 100, [].append)
    says = NodeRecord("x", 1, "fra1", "x:1", 1, (), "0")
    copy = NodeRecord("x", 2, "fra1", "copy:1", 1, (), "0")
    table.learn("fra1", (says,), (copy,), 0, 10.0)
    assert table.find("x") == copy
    told = ColoDigest("fra1", digest_of((says,)), 0)
    assert not table.compare(told, 20.0), "it was told that already"
    assert table.find("x") == copy
    table.ask_anew("fra1")
    table.ask_anew("nowhere")
    assert table.compare(told, 30.0)
    table.learn("fra1", (says,), (), 0, 30.0)
    assert table.find("x") == says
