"""Checks of changes; each refusal is tried on real nodes in `test_controller`, and here what needs many nodes."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache import PolicyError, Settings
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.values.topology import NodeRecord
from meshcache.live_policy.change_checks import Checks
from meshcache.live_policy.overlay import overlay
from tests.live_policy.test_overlay import live


def checks(
    sharing: dict[str, Any], *colos: str, own: dict[str, Any] | None = None, **values: str
) -> tuple[Checks, Any]:
    made = Settings.model_validate(
        {"node": {"name": "a", "colo": "ams1"}, "vip": [{"name": "shop", "sharing": sharing, **(own or {})}]}
    )
    records = [
        NodeRecord(colo, 1, colo, "h:1", 1, (Terms(colo, colo, "shop", "front", bytes(32), REACH_COLO),))
        for colo in colos
    ]
    found = Checks(made, overlay(made, live(**values), {}), records)
    return found, found.vip("shop")


def test_colos_of_any_known_node_may_be_reached() -> None:
    found, vip = checks({}, "fra1", "lon1")
    assert found.values(vip, {"reach": "ams1, lon1"}) == {"reach": "ams1,lon1"}
    with pytest.raises(PolicyError, match='no colo "nyc1"'):
        found.values(vip, {"reach": "lon1,nyc1"})


def test_values_have_to_go_with_those_that_hold_now() -> None:
    found, vip = checks({}, lineage_s="1000", lifetime_s="500")
    assert found.values(vip, {"lifetime_s": "1000.0"}) == {"lifetime_s": "1000"}
    with pytest.raises(PolicyError, match=r"lineage_s \(1000\) must be at least lifetime_s \(1001\)"):
        found.values(vip, {"lifetime_s": "1001"})
    assert found.values(vip, {"lifetime_s": "2000", "lineage_s": "2000"})


def test_a_file_that_takes_only_stricter_values_names_its_own() -> None:
    found, vip = checks({"live": "tighten", "lifetime_s": 600}, "fra1")
    assert found.values(vip, {"reach": "server", "lifetime_s": "60"})
    with pytest.raises(PolicyError, match=r'live = "tighten" and lifetime_s = 600, and this would be wider'):
        found.values(vip, {"lifetime_s": "601"})


@pytest.mark.parametrize("reach", ["ams1", "fra1", "ams1,fra1", "colo", "server"])
def test_a_reach_that_is_not_wider_is_taken_with_or_without_this_nodes_own_colo(reach: str) -> None:
    found, vip = checks({"live": "tighten", "reach": ["ams1", "fra1"]}, "fra1", "sin1")
    assert found.values(vip, {"reach": reach}) == {"reach": reach}
    for wider in ("everywhere", "sin1", "ams1,fra1,sin1"):
        with pytest.raises(PolicyError, match="this would be wider"):
            found.values(vip, {"reach": wider})


@pytest.mark.parametrize("resumption", ["tickets", "both"])
def test_a_lifetime_needs_room_for_the_ticket_keys_that_open_meanwhile(resumption: str) -> None:
    sharing = {"rotate_s": 900, "lifetime_s": 3600}
    found, vip = checks(sharing, own={"resumption": resumption})
    assert found.values(vip, {"lifetime_s": "21600"})
    with pytest.raises(
        PolicyError, match=r"at most 21600 while rotate_s of VIP shop is 900, 24 times that.* and reload"
    ):
        found.values(vip, {"lifetime_s": "21601"})
    with pytest.raises(PolicyError, match=r"at most 86400 .24 hours. while VIP shop speaks TLS 1.2"):
        found.values(vip, {"lifetime_s": "86401", "lineage_s": "604800"})
    found, vip = checks(sharing)
    assert found.values(vip, {"lifetime_s": "86400"})


def test_names_may_be_those_of_the_file_or_of_any_node() -> None:
    found, _ = checks({}, "fra1")
    for what, name in (("vip", "shop"), ("group", "front"), ("group", "shop"), ("origin", "fra1"), ("origin", "gone")):
        found.known(what, name, {"gone"})
    with pytest.raises(PolicyError, match='no share group "frnt" in this mesh; did you mean "front"'):
        found.known("group", "frnt", set())


@pytest.mark.parametrize("key", ["group", "sharing.group", "bind", "min_tls", "live"])
def test_keys_that_only_the_file_has_are_told_with_the_reason(key: str) -> None:
    found, vip = checks({})
    with pytest.raises(PolicyError, match=r"is not set live: .* Change it in the file"):
        found.values(vip, {key: "x"})


@pytest.mark.parametrize("key", ["await_ms", "tickets", "fetch", "single_use", "resumption", "backend"])
def test_keys_that_each_node_has_from_its_file_are_told_to_be_there(key: str) -> None:
    found, vip = checks({})
    with pytest.raises(
        PolicyError, match=rf"^{key} is not set live: each node has it from its file.* reach, lifetime_s"
    ):
        found.values(vip, {key: "x"})


def test_copies_and_push_are_set_together_where_one_needs_the_other() -> None:
    found, vip = checks({})
    assert found.values(vip, {"copies": "2", "push": "none"}) == {"copies": "2", "push": "none"}
    with pytest.raises(PolicyError, match=r"set how many copies in the same command \(copies=2, say\)"):
        found.values(vip, {"push": "none"})
    found, vip = checks({}, copies="2", push="none")
    assert found.values(vip, {"copies": "3"}) == {"copies": "3"}
    with pytest.raises(PolicyError, match="or push=all"):
        found.values(vip, {"copies": "all"})
    assert found.values(vip, {"copies": "all", "push": "all"})


def test_few_copies_are_refused_where_nothing_is_fetched_and_where_the_file_wants_fewer() -> None:
    found, vip = checks({}, own={"fetch": "off"})
    with pytest.raises(PolicyError, match=r'copies: .* it has fetch = "off", and servers that hold no copy'):
        found.values(vip, {"copies": "3"})
    assert found.values(vip, {"copies": "all"})
    found, vip = checks({"live": "tighten"}, own={"copies": 3, "push": "none"})
    assert found.values(vip, {"copies": "2"})
    for values in ({"copies": "4"}, {"copies": "all", "push": "all"}, {"push": "all"}):
        with pytest.raises(
            PolicyError, match=r'live = "tighten" and (copies = 3|push = none), and this would be wider'
        ):
            found.values(vip, values)
