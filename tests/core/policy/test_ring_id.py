"""Two VIPs are in one ring exactly where their sessions could go both ways and their borders are the same."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach, Terms, Verdict, may_cross
from meshcache.core.policy.ring_id import RING_ID_BYTES, may_share, ring_id

DIGEST = b"\x01" * 32


def terms(
    node: str = "a", colo: str = "ams1", reach: Reach = REACH_COLO, group: str = "shop", digest: bytes = DIGEST
) -> Terms:
    return Terms(node, colo, "vip", group, digest, reach)


def listed(*colos: str) -> Reach:
    return Reach.parse(list(colos))


@pytest.mark.parametrize(
    ("one", "other"),
    (
        (terms(), terms("b")),
        (terms(reach=REACH_EVERYWHERE), terms("b", "fra1", REACH_EVERYWHERE)),
        (terms(reach=listed("fra1")), terms("b", "fra1", listed("ams1"))),
        (terms(reach=listed("fra1", "ams1")), terms("b", "fra1", listed("ams1"))),
        (terms(reach=listed("ams1")), terms("b")),
    ),
)
def test_one_border_is_one_ring(one: Terms, other: Terms) -> None:
    assert ring_id(one) == ring_id(other)
    assert len(ring_id(one)) == RING_ID_BYTES
    assert may_share(one, other) is Verdict.ALLOWED


@pytest.mark.parametrize(
    ("one", "other", "why"),
    (
        (terms(), terms("b", group="admin"), Verdict.OTHER_GROUP),
        (terms(), terms("b", digest=b"\x02" * 32), Verdict.SETTINGS_DIFFER),
        (terms(), terms("b", "fra1"), Verdict.SENDER_REACH),
        (terms(reach=REACH_SERVER), terms("b", reach=REACH_SERVER), Verdict.SENDER_REACH),
        (terms(), terms("b", reach=REACH_EVERYWHERE), Verdict.OTHER_RING),
        (terms(reach=listed("fra1")), terms("b", "fra1", listed("ams1", "lon1")), Verdict.OTHER_RING),
        (terms(reach=REACH_EVERYWHERE), terms("b", "fra1", REACH_COLO), Verdict.RECEIVER_REACH),
    ),
)
def test_whatever_differs_makes_another_ring(one: Terms, other: Terms, why: Verdict) -> None:
    assert ring_id(one) != ring_id(other)
    assert may_share(one, other) is why
    assert not may_share(other, one)


def test_nobody_shares_a_ring_whose_sessions_may_not_cross_both_ways() -> None:
    reaches = (REACH_SERVER, REACH_COLO, REACH_EVERYWHERE, listed("ams1"), listed("ams1", "fra1"), listed("lon1"))
    nodes = [
        terms(name, colo, reach, group)
        for (name, colo), reach, group in product((("a", "ams1"), ("b", "ams1"), ("c", "fra1")), reaches, ("g", "h"))
    ]
    for one, other in combinations(nodes, 2):
        if one.node != other.node and ring_id(one) == ring_id(other):
            assert may_cross(one, other)
            assert may_cross(other, one)
            assert may_share(one, other)


def test_the_parts_of_a_border_can_t_be_shifted_into_one_another() -> None:
    assert ring_id(terms(reach=listed("ab", "c"))) != ring_id(terms(reach=listed("a", "bc")))
    assert ring_id(terms(group="shopams1", colo="x")) != ring_id(terms(group="shop", colo="ams1x"))
