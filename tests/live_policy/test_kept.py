"""What several processes of one server kept becomes one: the last change holds, and nothing that narrows gets lost."""

from __future__ import annotations

import pytest

from meshcache.config import Settings
from meshcache.core.control.live_policies import ENTRIES_MAX, GROUP, KEYS_MAX, VIP
from meshcache.core.values.topology import VIPS_MAX
from meshcache.core.wire.messages import LiveEntry
from meshcache.live_policy.kept import Kept, bounded, concerns, dated, merged, taken_over


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


@pytest.mark.parametrize(
    ("mine", "theirs", "holds"),
    [
        ("server", own("", 3), "server"),  # taken back before
        ("server", own("everywhere", 3), "server"),
        ("everywhere", own("server", 3), "server"),
        ("", own("server", 3), "server"),  # whether 0.1 took it back can't be known
        ("server", own(""), "server"),
    ],
)
def test_what_version_01_wrote_since_holds_if_it_is_stricter(mine: str, theirs: Kept, holds: str) -> None:
    of_01 = own(mine)._replace(of_01=True)
    for older in ([theirs], [theirs, own("", 2), of_01]):
        kept = dated(of_01, older)
        for after in (merged(kept, theirs, "ams1"), merged(theirs, kept, "ams1")):
            assert after.node == {"shop": {"reach": holds}}
            assert merged(after, own("", 4), "ams1").node == {}, "a change since"


def test_what_has_numbers_is_dated_already_and_without_older_files_nothing_is() -> None:
    assert dated(own("colo", 2), [own("", 3)]) == own("colo", 2)
    assert dated(own("colo")._replace(of_01=True), []) == own("colo")


def test_values_are_judged_one_by_one() -> None:
    mine, theirs = own("server", 5), own("60", 4, key="lifetime_s")
    assert merged(mine, theirs, "ams1").node == {"shop": {"reach": "server", "lifetime_s": "60"}}
    assert merged(mine, theirs, "ams1").numbers == {"shop": {"reach": 5, "lifetime_s": 4}}


def test_what_the_mesh_was_told_is_merged_in_the_meshs_own_order() -> None:
    old, new = (LiveEntry("vip", "shop", "reach", number, "edge-1", "colo") for number in (1, 2))
    epoch = LiveEntry("group", "shop", "epoch", 3, "edge-1", "new")
    assert merged(Kept([old], {}), Kept([epoch, new], {}), "ams1") == Kept([epoch, new], {})
    assert merged(Kept([epoch, new], {}), Kept([old], {}), "ams1") == Kept([epoch, new], {})


def numbered(vips: range, number: int = 1, value: str = "") -> Kept:
    """Return so many VIPs with a value of one key, or with one that was taken back."""
    names = [f"vip-{vip}" for vip in vips]
    return Kept([], {name: {"reach": value} for name in names if value}, {name: {"reach": number} for name in names})


class TestBounds:
    OURS = frozenset({(VIP, "shop"), (VIP, "pay"), (GROUP, "storefront")})

    def test_what_there_is_room_for_stays_as_it_is(self) -> None:
        kept = numbered(range(VIPS_MAX), value="server")
        assert bounded(kept, self.OURS) == kept

    def test_of_vips_served_ones_come_first_then_those_with_values_then_the_latest_changes(self) -> None:
        taken_back = numbered(range(VIPS_MAX), 5)
        values = {"pay": {"reach": "server"}, "old": {"reach": "server"}}
        numbers = {"shop": {"reach": 1}, "pay": {"reach": 2}, "old": {"reach": 3}, "late": {"reach": 6}}
        after = bounded(Kept([], values, {**numbers, **taken_back.numbers}), self.OURS)
        assert after.node == values
        assert len(after.numbers) == VIPS_MAX
        assert {vip: after.numbers.get(vip) for vip in numbers} == numbers

    def test_of_more_vips_with_values_than_there_is_room_for_those_that_are_served_stay(self) -> None:
        many = numbered(range(VIPS_MAX), 5, "server")
        after = bounded(Kept([], {**many.node, "shop": {"reach": "colo"}}, many.numbers), self.OURS)
        assert len(after.node) == VIPS_MAX
        assert after.node["shop"] == {"reach": "colo"}
        assert "vip-0" not in after.node

    def test_of_a_vips_keys_those_with_values_come_first_then_the_latest_changes(self) -> None:
        numbers = {f"key-{number}": number for number in range(1, KEYS_MAX + 3)}
        after = bounded(Kept([], {"shop": {"key-1": "1"}}, {"shop": numbers}), self.OURS)
        assert after.node == {"shop": {"key-1": "1"}}
        assert numbers.keys() - after.numbers["shop"].keys() == {"key-2", "key-3"}

    def test_of_what_the_mesh_was_told_too(self) -> None:
        live = [LiveEntry("vip", f"vip-{number}", "reach", 5, "a", "colo") for number in range(ENTRIES_MAX)]
        wanted = [LiveEntry("vip", "shop", "reach", 1, "a", "colo"), LiveEntry("group", "g", "epoch", 1, "a", "new")]
        after = bounded(Kept([*live, *wanted], {}), self.OURS)
        assert len(after.live) == ENTRIES_MAX
        assert set(wanted) <= set(after.live)

    def test_a_merge_loses_nothing_that_a_served_vip_has(self) -> None:
        after = bounded(merged(numbered(range(VIPS_MAX), 9), own("server"), "ams1"), self.OURS)
        assert after.node == {"shop": {"reach": "server"}}


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
