"""What several processes of one server kept becomes one: the last change holds, and nothing that narrows gets lost."""

from __future__ import annotations

import pytest

from meshcache.config import Settings
from meshcache.core.control.live_policies import GROUP, KEYS_MAX, VIP
from meshcache.core.values.topology import VIPS_MAX
from meshcache.core.wire.messages import LiveEntry
from meshcache.live_policy.kept import Kept, concerns, merged, taken_over


def own(value: str, number: int = 0, key: str = "reach") -> Kept:
    return Kept([], {"shop": {key: value}} if value else {}, {"shop": {key: number}} if number else {})


@pytest.mark.parametrize(
    ("mine", "theirs", "holds"),
    [
        (own(""), own("server"), "server"),  # a worker that has nothing, and a file of version 0.1
        (own("server"), own(""), "server"),
        (own("colo", 3), own("server", 4), "server"),
        (own("server", 3), own("everywhere", 4), "everywhere"),  # an operator's last word, whatever it was
        (own("server", 4), own("everywhere", 3), "server"),
        (own("server", 3), own("", 4), ""),  # taken back since
        (own("", 4), own("server", 3), ""),
        (own("server", 3), own("", 0), "server"),
        (own("everywhere", 3), own("ams1,fra1", 3), "ams1,fra1"),
        (own("server", 3), own("", 3), "server"),
        (own("", 3), own("server", 3), "server"),
        (own("everywhere"), own("colo"), "colo"),
    ],
)
def test_the_last_change_holds_and_else_the_stricter_value(mine: Kept, theirs: Kept, holds: str) -> None:
    after = merged(mine, theirs, "ams1")
    assert after.node == ({"shop": {"reach": holds}} if holds else {})
    assert after.highest == max(mine.highest, theirs.highest)
    assert merged(after, theirs, "ams1") == after, "once is enough"


def test_values_are_judged_one_by_one() -> None:
    mine, theirs = own("server", 5), own("60", 4, key="lifetime_s")
    assert merged(mine, theirs, "ams1").node == {"shop": {"reach": "server", "lifetime_s": "60"}}
    assert merged(mine, theirs, "ams1").numbers == {"shop": {"reach": 5, "lifetime_s": 4}}


def test_what_the_mesh_was_told_is_merged_in_the_meshs_own_order() -> None:
    old, new = (LiveEntry("vip", "shop", "reach", number, "edge-1", "colo") for number in (1, 2))
    epoch = LiveEntry("group", "shop", "epoch", 3, "edge-1", "new")
    assert merged(Kept([old], {}), Kept([epoch, new], {}), "ams1") == Kept([epoch, new], {})
    assert merged(Kept([epoch, new], {}), Kept([old], {}), "ams1") == Kept([epoch, new], {})


def test_no_more_vips_and_keys_than_a_file_can_have() -> None:
    many = Kept([], {f"vip-{number}": {"reach": "server"} for number in range(VIPS_MAX)})
    after = merged(own("colo", 1), many, "ams1")
    assert len(after.node) == VIPS_MAX
    assert after.node["shop"] == {"reach": "colo"}
    keys = Kept([], {"shop": {f"key-{number}": "1" for number in range(KEYS_MAX)}})
    assert len(merged(own("colo", 1), keys, "ams1").node["shop"]) == KEYS_MAX


def test_what_concerns_a_node_are_its_vips_and_their_groups() -> None:
    file = Settings.model_validate(
        {
            "mesh": {"name": "prod", "key_file": "mesh.key"},
            "node": {"name": "edge-1", "colo": "ams1"},
            "vip": [{"name": "shop"}, {"name": "pay", "sharing": {"group": "money"}}],
        }
    )
    assert concerns(file) == {(VIP, "shop"), (GROUP, "shop"), (VIP, "pay"), (GROUP, "money")}


def test_what_changed_is_said_in_words() -> None:
    before = merged(own("server", 1), own("60", 1, key="lifetime_s"), "ams1")
    after = merged(before, Kept([LiveEntry("group", "g", "epoch", 3, "edge-1", "new")], *own("", 2)[1:]), "ams1")
    assert taken_over(before, after) == [
        "epoch of group g: new",
        "reach of vip shop, set for this server alone: server taken back",
    ]
    assert taken_over(after, after) == []
