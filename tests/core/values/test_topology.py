"""Records in their order, and rendezvous: everybody who knows the same names agrees."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.values.topology import NodeRecord, best, rank
from tests.core.samples import RECORD, SHOP

nodes = st.lists(st.text("abc-0123456789", min_size=1, max_size=6), unique=True, min_size=1, max_size=20)


@given(nodes, st.randoms())
def test_the_order_in_which_nodes_are_known_makes_no_difference(names: list[str], shuffler: random.Random) -> None:
    shuffled = list(names)
    shuffler.shuffle(shuffled)
    assert rank("duty", names) == rank("duty", shuffled)
    assert best("duty", shuffled) == rank("duty", names)[0]


@given(nodes)
def test_when_one_goes_nothing_else_moves(names: list[str]) -> None:
    order = rank("duty", names)
    for gone in names:
        assert rank("duty", [name for name in names if name != gone]) == [name for name in order if name != gone]


def test_duties_are_spread_over_all_nodes() -> None:
    names = [f"node-{at}" for at in range(10)]
    chosen = Counter(best(f"duty {at}", names) for at in range(1000))
    assert len(chosen) == 10
    assert max(chosen.values()) < 160


def test_nobody_is_best_of_none() -> None:
    assert best("duty", []) is None


def test_a_name_and_a_duty_do_not_run_into_each_other() -> None:
    assert rank("1", ["1a", "a"]) != []
    assert _weights("1", "1a") != _weights("11", "a")


def _weights(duty: str, node: str) -> list[str]:
    others = [f"n{at}" for at in range(64)]
    return rank(duty, [*others, node])


def test_a_higher_incarnation_is_newer_than_any_revision() -> None:
    older = NodeRecord("n", 1, "c", "n:1", 99, ())
    newer = NodeRecord("n", 2, "c", "n:1", 1, ())
    assert newer.age > older.age


def test_a_record_knows_its_terms_by_vip() -> None:
    assert RECORD.terms_of("shop") is SHOP
    assert RECORD.terms_of("blog") is None
