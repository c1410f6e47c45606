"""What `policy show` has to say, beside what `test_controller` sees of it on real nodes."""

from __future__ import annotations

from dataclasses import replace

from meshcache.core.control.live_policies import VIP
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.values.topology import NodeRecord, VipNote
from meshcache.live_policy.overlay import overlay
from meshcache.live_policy.policy_view import nodes_of, shown_vip
from tests.core.net import Net, vip
from tests.live_policy.test_overlay import SHOP, file

TERMS = Terms("a", "ams1", "shop", "shop", bytes(32), REACH_COLO)


def record(node: str, note: VipNote) -> NodeRecord:
    return NodeRecord(node, 1, "ams1", f"{node}:1", 1, (replace(TERMS, node=node),), "0", (note,))


def test_who_has_the_newest_version_and_how_far_the_others_are() -> None:
    net = Net()
    live = net.add("a", "ams1", vip("a")).core.live
    live.set(VIP, "shop", {"reach": "server"}, net.now)
    old = live.version(VIP, "shop")
    new = live.set(VIP, "shop", {"reach": "colo"}, net.now)
    records = [
        (record("a", VipNote(b"", *new)), "own"),
        (record("b", VipNote(b"", *old)), "lost"),
        (record("c", VipNote(b"", *new)), "alive"),
        (record("d", VipNote(b"", new.number, b"another.")), "hearsay"),
        (replace(record("e", VipNote()), notes=()), "alive"),
        (replace(record("f", VipNote()), vips=(), notes=()), "alive"),
    ]
    told = nodes_of("shop", live, records)
    assert (told["serving"], told["have"]) == (5, 2)
    assert [(other["name"], other["version"], other["state"]) for other in told["others"]] == [
        ("b", 1, "lost"),
        ("d", 2, "hearsay"),
        ("e", 0, "alive"),
    ]
    shown = shown_vip(file(SHOP).vips[0], overlay(file(SHOP), live, {}), live, records)
    assert (shown["version"], shown["author"], shown["epoch"], shown["live"]) == (2, "a", 0, "any")


def test_whoever_took_the_last_value_back_is_the_author() -> None:
    live = Net().add("a", "ams1", vip("a")).core.live
    holds = overlay(file(SHOP), live, {})
    assert shown_vip(file(SHOP).vips[0], holds, live, [])["author"] is None
    live.set(VIP, "shop", {"lifetime_s": "60"}, 0.0)
    live.set(VIP, "shop", {"lifetime_s": ""}, 1.0)
    shown = shown_vip(file(SHOP).vips[0], holds, live, [])
    assert (shown["version"], shown["author"]) == (2, "a")


def test_which_nodes_say_other_copies_and_why_another_value_holds_here() -> None:
    live = Net().add("a", "ams1", vip("a")).core.live
    live.set(VIP, "shop", {"copies": "3"}, 0.0)
    made = file({**SHOP, "fetch": "off"})
    holds = overlay(made, live, {})
    of = {name: record(name, VipNote()) for name in "abcd"}
    told = [
        (of["a"], "own"),
        (replace(of["b"], vips=(replace(TERMS, node="b", copies=3),)), "alive"),
        (replace(of["c"], vips=(replace(TERMS, node="c", copies=2, push=False),)), "hearsay"),
        (replace(of["d"], vips=(replace(TERMS, node="d", copies=5),)), "lost"),
    ]
    shown = shown_vip(holds.in_force.settings.vips[0], holds, live, told)
    assert (shown["copies"], shown["push"], shown["fetch"]) == ("all", "all", "off")
    assert shown["other_copies"] == [
        {"name": "b", "copies": 3, "push": "all"},
        {"name": "c", "copies": 2, "push": "none"},
    ]
    assert shown["sources"]["copies"] == {
        "from": "live",
        "wanted": "3",
        "why": 'its file has fetch = "off", and who holds no session has to fetch it',
    }
