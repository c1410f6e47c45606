"""What holds when live values lie over a file."""

from __future__ import annotations

from typing import Any

from meshcache import Settings
from meshcache.core.control.live_policies import GROUP, VIP, LivePolicies
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER
from meshcache.live_policy.overlay import Overlay, Source, hidden, overlay
from tests.core.net import Net, vip


def file(*vips: dict[str, Any]) -> Settings:
    return Settings.model_validate({"node": {"name": "edge-1", "colo": "ams1"}, "vip": list(vips)})


def live(**values: str) -> LivePolicies:
    net = Net()
    made = net.add("edge-1", "ams1", vip("edge-1")).core.live
    if values:
        made.set(VIP, "shop", values, net.now)
    return made


def sharing(holds: Overlay, name: str = "shop") -> Any:
    return next(each.sharing for each in holds.in_force.settings.vips if each.name == name)


SHOP = {"name": "shop"}


def test_without_anything_set_the_file_holds() -> None:
    made = file({**SHOP, "sharing": {"lifetime_s": 60}})
    holds = overlay(made, live(), {})
    assert holds.in_force.settings == made
    assert holds.sources["shop"]["lifetime_s"] == Source("file")
    assert holds.sources["shop"]["reach"] == Source("default")
    assert holds.faults == ()


def test_live_goes_before_the_file_and_this_nodes_own_before_both() -> None:
    holds = overlay(file(SHOP), live(reach="everywhere", lifetime_s="60"), {"shop": {"reach": "server"}})
    assert (sharing(holds).reach, sharing(holds).lifetime_s) == (REACH_SERVER, 60)
    assert holds.sources["shop"]["reach"] == Source("node")
    assert holds.sources["shop"]["lifetime_s"] == Source("live")


def test_what_the_file_forbids_is_shown_as_wanted() -> None:
    made = file({**SHOP, "sharing": {"live": "tighten", "reach": "colo"}})
    holds = overlay(made, live(reach="everywhere"), {})
    assert sharing(holds).reach == REACH_COLO
    assert holds.sources["shop"]["reach"] == Source("live", "everywhere")


def test_a_reach_that_is_the_same_to_a_node_is_in_force_there() -> None:
    made = file({**SHOP, "sharing": {"live": "tighten", "reach": ["ams1", "fra1", "sin1"]}})
    elsewhere = made.model_copy(update={"node": made.node.model_copy(update={"colo": "sin1"})})
    for of_node, own in ((made, "ams1"), (elsewhere, "sin1")):
        for set_live in ("ams1,fra1", "fra1", own):
            holds = overlay(of_node, live(reach=set_live), {})
            assert holds.in_force.notes["shop"].held == (), (own, set_live)
            assert holds.sources["shop"]["reach"] == Source("live")
        holds = overlay(of_node, live(reach="fra1,lon1"), {})
        both = ",".join(sorted(("fra1", own)))
        assert holds.in_force.notes["shop"].held == (f'reach={both} (its file allows no more: live = "tighten")',)


def test_a_file_that_takes_nothing_live_and_says_the_same_is_in_force() -> None:
    made = file({**SHOP, "sharing": {"live": "none", "reach": ["fra1"]}})
    holds = overlay(made, live(reach="ams1,fra1", lifetime_s="3600"), {})
    assert holds.in_force.notes["shop"].held == ()
    assert (holds.sources["shop"]["reach"], holds.sources["shop"]["lifetime_s"]) == (Source("file"), Source("default"))
    assert overlay(made, live(reach="colo"), {}).sources["shop"]["reach"] == Source("file", "colo")


def test_a_file_that_changes_to_what_is_in_force_is_not_hidden() -> None:
    before, after = (file({**SHOP, "sharing": {"reach": reach}}) for reach in ("colo", ["fra1"]))
    assert hidden(before, after, overlay(after, live(reach="ams1,fra1"), {})) == []
    assert hidden(before, after, overlay(after, live(reach="everywhere"), {})) == [("shop", "reach")]
    same = file({**SHOP, "sharing": {"reach": ["ams1"]}})
    assert hidden(before, same, overlay(same, live(reach="everywhere"), {})) == [], "nothing has changed"


def test_a_border_that_can_not_be_read_is_the_strictest_there_is_and_told() -> None:
    wide = {"reach": "everywhere", "client_certificates": "revalidate", "live": "any"}
    unread = live(reach="a new kind", client_certificates="seldom", lifetime_s="60", colour="blue")
    for mode in ("any", "tighten"):
        holds = overlay(file({**SHOP, "sharing": wide | {"live": mode}}), unread, {})
        assert (sharing(holds).reach, sharing(holds).client_certificates) == (REACH_SERVER, "never")
        assert sharing(holds).lifetime_s == 60
        assert [fault.split(";")[-1] for fault in holds.faults] == [" server holds", " never holds"]
        assert "VIP shop: reach, as it was set live" in holds.faults[0]
        assert holds.sources["shop"]["reach"] == Source("live", "a new kind")
        assert holds.in_force.notes["shop"].held == (
            "reach=server (what was set can't be read there)",
            "client_certificates=never (what was set can't be read there)",
        )
    holds = overlay(file({**SHOP, "sharing": wide | {"live": "none"}}), unread, {})
    assert (sharing(holds).reach, sharing(holds).client_certificates) == (REACH_EVERYWHERE, "revalidate")
    assert holds.faults[0].endswith("; the file's holds")


def test_a_border_that_can_not_be_read_is_told_also_where_it_is_the_files() -> None:
    holds = overlay(file({**SHOP, "sharing": {"reach": "server", "live": "any"}}), live(reach="a new kind"), {})
    assert holds.sources["shop"]["reach"] == Source("live", "a new kind")
    assert len(holds.in_force.notes["shop"].held) == 1
    holds = overlay(file({**SHOP, "sharing": {"reach": "server", "live": "none"}}), live(reach="a new kind"), {})
    assert holds.sources["shop"]["reach"] == Source("file", "a new kind")
    assert holds.in_force.notes["shop"].held == ("reach=server (what was set can't be read there)",)


def test_what_this_server_was_told_alone_holds_over_a_border_that_can_not_be_read_and_the_other_way() -> None:
    holds = overlay(file(SHOP), live(reach="a new kind"), {"shop": {"reach": "everywhere"}})
    assert (sharing(holds).reach, holds.sources["shop"]["reach"]) == (REACH_EVERYWHERE, Source("node"))
    holds = overlay(file(SHOP), live(reach="everywhere"), {"shop": {"reach": "a new kind"}})
    assert (sharing(holds).reach, holds.sources["shop"]["reach"]) == (REACH_SERVER, Source("node", "a new kind"))


def test_of_what_is_no_border_and_can_not_be_read_the_file_holds_which_is_told() -> None:
    unread = live(lifetime_s="5m", quota="much", copies="some", push="a bit")
    holds = overlay(file({**SHOP, "sharing": {"lifetime_s": 60}}, {"name": "pay"}), unread, {})
    assert holds.in_force.settings == file({**SHOP, "sharing": {"lifetime_s": 60}}, {"name": "pay"})
    assert holds.sources["shop"]["lifetime_s"] == Source("file", "5m")
    assert holds.in_force.notes["shop"].held == (
        "lifetime_s=60 (what was set can't be read there)",
        "quota=the file's (what was set can't be read there)",
        "copies=all (what was set can't be read there)",
        "push=all (what was set can't be read there)",
    )
    assert all(fault.endswith("; the file's holds") for fault in holds.faults)


def test_a_lifetime_never_outlives_the_lineage_that_another_node_set() -> None:
    holds = overlay(file(SHOP), live(lifetime_s="7200", lineage_s="600"), {})
    assert (sharing(holds).lifetime_s, sharing(holds).lineage_s) == (600, 600)
    assert holds.sources["shop"]["lifetime_s"] == Source("live", "7200")


def test_a_lifetime_never_needs_more_ticket_keys_than_a_node_keeps() -> None:
    made = file({**SHOP, "resumption": "tickets", "sharing": {"rotate_s": 900}})
    holds = overlay(made, live(lifetime_s="86400"), {})
    assert sharing(holds).lifetime_s == 21600
    assert holds.sources["shop"]["lifetime_s"] == Source("live", "86400")
    (held,) = holds.in_force.notes["shop"].held
    assert held == "lifetime_s=21600 (no longer than 24 times rotate_s there: so many ticket keys are kept)"
    assert sharing(overlay(made, live(lifetime_s="21600"), {})).lifetime_s == 21600
    assert (
        sharing(overlay(file({**SHOP, "sharing": {"rotate_s": 900}}), live(lifetime_s="86400"), {})).lifetime_s == 86400
    )


def test_a_lifetime_that_the_protocol_cuts_is_told_with_that_reason() -> None:
    holds = overlay(file(SHOP), live(lifetime_s="86401", lineage_s="604800"), {})
    assert sharing(holds).lifetime_s == 86400
    (held,) = holds.in_force.notes["shop"].held
    assert held == "lifetime_s=86400 (no longer than the TLS versions there allow)"


def test_a_quota_lies_over_the_files_and_the_rest_is_divided_anew() -> None:
    holds = overlay(file(SHOP, {"name": "pay"}), live(quota="80%"), {})
    assert holds.in_force.settings.quota_of("shop") == 0.8
    assert round(holds.in_force.settings.quota_of("pay"), 6) == 0.2


def test_quotas_that_do_not_fit_here_leave_the_files() -> None:
    made = file(SHOP, {"name": "pay", "sharing": {"quota": "60%"}})
    holds = overlay(made, live(quota="80%", reach="everywhere"), {})
    assert (sharing(holds).quota, sharing(holds).reach) == (None, REACH_EVERYWHERE)
    assert holds.sources["shop"]["quota"] == Source("default", "0.8")
    assert holds.in_force.notes["shop"].held == ("quota=the file's (more does not fit beside its other quotas)",)
    assert "don't fit" in holds.faults[0]


def test_epochs_and_versions_are_those_of_the_groups_and_vips_here() -> None:
    net = Net()
    made = net.add("edge-1", "ams1", vip("edge-1")).core.live
    for _ in range(3):
        made.set(GROUP, "front", {"epoch": "new"}, net.now)
    made.set(GROUP, "elsewhere", {"epoch": "new"}, net.now)
    version = made.set(VIP, "shop", {"reach": "server"}, net.now)
    holds = overlay(file({**SHOP, "sharing": {"group": "front"}}, {"name": "pay"}), made, {})
    assert holds.in_force.epochs == {"front": 3}
    assert (holds.in_force.notes["shop"].version, holds.in_force.notes["shop"].digest) == version
    assert holds.in_force.notes["pay"].version == 0


def test_copies_and_push_lie_over_the_vips_own_table() -> None:
    holds = overlay(file({**SHOP, "copies": 3}), live(copies="2", push="none"), {})
    (shop,) = holds.in_force.settings.vips
    assert (shop.copies, shop.copies_told, shop.push) == (2, 2, "none")
    assert (holds.sources["shop"]["copies"], holds.sources["shop"]["push"]) == (Source("live"), Source("live"))
    assert holds.in_force.notes["shop"].held == ()
    holds = overlay(file({**SHOP, "copies": 3}), live(), {"shop": {"copies": "all"}})
    assert (holds.in_force.settings.vips[0].copies, holds.sources["shop"]["push"]) == ("all", Source("default"))


def test_a_file_that_fetches_nothing_keeps_all_copies_and_says_why() -> None:
    holds = overlay(file({**SHOP, "fetch": "off"}), live(copies="2", push="none"), {})
    (shop,) = holds.in_force.settings.vips
    assert (shop.copies, shop.push) == ("all", "all")
    assert holds.sources["shop"]["copies"] == Source("live", "2")
    assert holds.sources["shop"]["push"] == Source("live", "none")
    assert holds.in_force.notes["shop"].held == (
        'copies=all (its file has fetch = "off", and who holds no session has to fetch it)',
        'push=all (nobody would have to fetch anything: copies = "all" there)',
    )


def test_when_copies_are_taken_back_and_push_is_not_all_colos_get_them_again() -> None:
    made = live(copies="2", push="none")
    made.set(VIP, "shop", {"copies": ""}, 0.0)
    holds = overlay(file(SHOP), made, {})
    assert (holds.in_force.settings.vips[0].copies, holds.in_force.settings.vips[0].push) == ("all", "all")
    assert holds.sources["shop"]["push"] == Source("default", "none")
