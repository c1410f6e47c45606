"""The three gates, from both sides of each border."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.policy.gates import (
    COLOS_MAX,
    REACH_COLO,
    REACH_EVERYWHERE,
    REACH_SERVER,
    Reach,
    ReachKind,
    Terms,
    Verdict,
    may_accept,
    may_cross,
    may_resume,
    may_send,
)

SHOP = Terms("edge-1", "ams1", "shop", "storefront", b"d" * 32, REACH_EVERYWHERE)
COLOS = ("ams1", "fra1", "lhr1")
REACHES = (REACH_SERVER, REACH_COLO, REACH_EVERYWHERE, *(Reach.parse([colo]) for colo in COLOS))
places = st.tuples(st.sampled_from(COLOS), st.sampled_from(REACHES))


def at(colo: str, reach: Reach, node: str = "edge-2", vip: str = "shop") -> Terms:
    return replace(SHOP, node=node, colo=colo, vip=vip, reach=reach)


# --- reach -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reach", "same_colo", "listed", "other"),
    [
        ("server", False, False, False),
        ("colo", True, False, False),
        (["fra1"], True, True, False),
        ("everywhere", True, True, True),
    ],
)
def test_reach_goes_as_far_as_it_says(reach: object, same_colo: bool, listed: bool, other: bool) -> None:
    parsed = Reach.parse(reach)
    assert parsed.allows("ams1", "ams1") is same_colo
    assert parsed.allows("ams1", "fra1") is listed
    assert parsed.allows("ams1", "lhr1") is other


@given(
    st.one_of(st.sampled_from(["server", "colo", "everywhere"]), st.sets(st.text(min_size=1, max_size=64), min_size=1))
)
def test_plain_form_and_parse_are_inverses(plain: object) -> None:
    reach = Reach.parse(sorted(plain) if isinstance(plain, set) else plain)
    assert Reach.parse(reach.to_plain()) == reach


@pytest.mark.parametrize(
    "wrong",
    [
        "Colo",
        "",
        "colos",
        None,
        3,
        [],
        [""],
        ["ams1", 3],
        [None],
        ["x" * 65],
        ["c"] * (COLOS_MAX + 1),
        {"ams1": 1},
        b"colo",
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(wrong: object) -> None:
    with pytest.raises(ValueError, match='a reach is "server", "colo", "everywhere" or a list of colos'):
        Reach.parse(wrong)


def test_reach_reads_as_a_word() -> None:
    assert [str(Reach.parse(plain)) for plain in ("server", "colo", ["fra1", "ams1"], "everywhere")] == [
        "server",
        "colo",
        "ams1,fra1",
        "everywhere",
    ]


# --- gates -----------------------------------------------------------------------------------------------------------


def test_another_group_is_another_world() -> None:
    other = replace(at("ams1", REACH_EVERYWHERE), group="intranet")
    assert may_cross(SHOP, other) is Verdict.OTHER_GROUP


def test_settings_that_differ_are_never_crossed() -> None:
    other = replace(at("ams1", REACH_EVERYWHERE), digest=b"e" * 32)
    assert may_cross(SHOP, other) is Verdict.SETTINGS_DIFFER
    assert may_resume(SHOP, replace(other, node=SHOP.node)) is Verdict.SETTINGS_DIFFER


@given(places, places)
def test_the_stricter_end_wins_and_the_verdict_names_it(source: tuple[str, Reach], target: tuple[str, Reach]) -> None:
    (here, sends), (there, takes) = source, target
    verdict = may_cross(at(here, sends, "edge-1"), at(there, takes))
    if not sends.allows(here, there):
        assert verdict is Verdict.SENDER_REACH
    elif not takes.allows(there, here):
        assert verdict is Verdict.RECEIVER_REACH
    else:
        assert verdict is Verdict.ALLOWED


@given(places, places)
def test_a_crossing_is_allowed_both_ways_or_neither(source: tuple[str, Reach], target: tuple[str, Reach]) -> None:
    one, other = at(*source, node="edge-1"), at(*target)
    assert bool(may_cross(one, other)) == bool(may_cross(other, one))


def test_vips_of_one_group_take_each_others_sessions() -> None:
    assert may_cross(SHOP, at("fra1", REACH_EVERYWHERE, vip="checkout"))


def test_a_node_resumes_its_own_sessions_whatever_the_reach() -> None:
    own = replace(SHOP, reach=REACH_SERVER)
    assert may_resume(own, own)
    assert may_resume(own, replace(own, vip="checkout"))


def test_a_node_that_moved_to_another_colo_still_resumes_its_own() -> None:
    own = replace(SHOP, reach=REACH_COLO)
    assert may_resume(own, replace(own, colo="fra1"))


def test_a_session_that_is_kept_is_judged_again_by_todays_policy() -> None:
    from_afar = at("fra1", REACH_EVERYWHERE)
    assert may_resume(from_afar, SHOP)
    assert may_resume(from_afar, replace(SHOP, reach=REACH_COLO)) is Verdict.RECEIVER_REACH
    assert may_resume(from_afar, replace(SHOP, reach=REACH_SERVER)) is Verdict.RECEIVER_REACH
    assert may_resume(replace(from_afar, reach=REACH_COLO), SHOP) is Verdict.SENDER_REACH


def test_two_hosts_with_one_name_are_no_closer_than_their_reach_says() -> None:
    twin = replace(SHOP, colo="fra1", reach=REACH_COLO)
    assert may_send(replace(SHOP, reach=REACH_COLO), [twin]) is Verdict.SENDER_REACH
    assert may_accept(replace(SHOP, reach=REACH_SERVER), [replace(SHOP, reach=REACH_SERVER)]) is Verdict.SENDER_REACH


@pytest.mark.parametrize("gate", [may_send, may_accept])
def test_a_node_is_worth_its_best_vip(gate) -> None:
    closed, open_ = at("ams1", REACH_SERVER), at("ams1", REACH_COLO, vip="checkout")
    assert gate(SHOP, [closed]) is Verdict.RECEIVER_REACH
    assert gate(SHOP, [closed, open_]) is Verdict.ALLOWED


@pytest.mark.parametrize("gate", [may_send, may_accept])
def test_the_reason_that_came_nearest_is_the_one_told(gate) -> None:
    stranger = replace(at("ams1", REACH_EVERYWHERE), group="intranet")
    differs = replace(at("ams1", REACH_EVERYWHERE), digest=b"e" * 32)
    assert gate(SHOP, []) is Verdict.NO_TERMS
    assert gate(SHOP, [stranger]) is Verdict.OTHER_GROUP
    assert gate(SHOP, [stranger, differs]) is Verdict.SETTINGS_DIFFER
    assert gate(SHOP, [differs, at("ams1", REACH_SERVER), stranger]) is Verdict.RECEIVER_REACH


def test_only_allowed_is_true() -> None:
    assert [verdict for verdict in Verdict if verdict] == [Verdict.ALLOWED]


def test_terms_show_no_digest() -> None:
    assert "ddd" not in repr(SHOP)


def test_reach_kinds_are_the_words_of_the_configuration() -> None:
    assert [kind.value for kind in ReachKind] == ["server", "colo", "colos", "everywhere"]


# --- what mutation testing found nobody to miss ----------------------------------------------------------------------


@pytest.mark.parametrize("reach", [REACH_COLO, Reach.parse(["lhr1"])])
@pytest.mark.parametrize(("own", "other"), [("ams1", "fra1"), ("fra1", "ams1")])
def test_another_colo_is_another_whichever_name_comes_first(reach: Reach, own: str, other: str) -> None:
    assert not reach.allows(own, other)


def test_names_are_compared_by_what_they_say() -> None:
    """Those of a peer were decoded: equal to ours, and never the same object."""
    colo, group = "".join(["am", "s1"]), "".join(["store", "front"])
    assert REACH_COLO.allows("ams1", colo)
    assert may_cross(SHOP, replace(SHOP, node="edge-2", group=group)) is Verdict.ALLOWED


@pytest.mark.parametrize(("maker", "server"), [("edge-1", "edge-2"), ("edge-2", "edge-1")])
def test_another_nodes_session_needs_the_reach_whichever_name_comes_first(maker: str, server: str) -> None:
    there = at("ams1", REACH_SERVER, node=server)
    assert may_resume(replace(SHOP, node=maker), there) is Verdict.RECEIVER_REACH
    assert may_resume(replace(SHOP, node=server), there) is Verdict.ALLOWED


def test_a_reach_may_list_as_many_colos_as_it_says() -> None:
    most = [f"colo-{number}" for number in range(COLOS_MAX)]
    assert len(Reach.parse(most).colos) == COLOS_MAX
    assert Reach.parse(["x" * 64]).colos == {"x" * 64}
    with pytest.raises(ValueError, match="a reach is"):
        Reach.parse([*most, "one-more"])
