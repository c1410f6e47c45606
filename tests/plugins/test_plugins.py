"""Hooks as a configuration names them: loaded at the start, told in stats, ended with the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from meshcache import ConfigError, MeshNode
from meshcache.config import HooksSettings
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.policy.own_policy import OwnPolicy
from meshcache.hooks import Observer, SharingPolicy
from meshcache.plugins.plugins import Plugins
from meshcache.runtime.pump.pump import Pump
from tests.nodes import Place, places, settings
from tests.plugins.hooks import Stumbles
from tests.support.waiting import wait_until


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def test_the_file_names_hooks_and_what_they_are_made_with(place: Place) -> None:
    named = {
        "policies": ["tests.plugins.hooks:Refuses"],
        "discoveries": ["tests.plugins.hooks:Tells"],
        "observers": ["tests.plugins.hooks:Sees"],
        "options": {"tests.plugins.hooks:Sees": {"raises": True}},
    }
    node = place.node("edge-1", hooks=named)
    hooks = node.stats()["hooks"]
    assert [(hook["kind"], hook["name"]) for hook in hooks] == [
        ("policy", "tests.plugins.hooks:Refuses"),
        ("discovery", "tests.plugins.hooks:Tells"),
        ("observer", "tests.plugins.hooks:Sees"),
    ]


def test_a_policy_that_cant_be_loaded_keeps_the_node_from_starting(folder: Path) -> None:
    node = MeshNode(settings(folder, hooks={"policies": ["tests.plugins.hooks:Nothing"]}))
    with pytest.raises(ConfigError, match=r"hooks\.policies: tests\.plugins\.hooks:Nothing"):
        node.start()


def test_an_observer_that_cant_be_loaded_is_told_and_the_node_runs(place: Place) -> None:
    node = place.node("edge-1", hooks={"observers": ["tests.plugins.hooks:Nothing"]})
    (hook,) = node.stats()["hooks"]
    assert hook["counts"] == {"not_loaded": 1}
    wait_until(lambda: [event for event in node.events() if event["kind"] == "HookFaulted"], what="it is told")


def test_what_is_no_hook_is_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match="is no hook"):
        MeshNode(settings(folder), hooks=[object()]).start()  # type: ignore[list-item]


def test_a_node_without_hooks_has_none_and_asks_nobody(place: Place) -> None:
    node = place.node("edge-1")
    assert node.stats()["hooks"] == []
    assert Plugins(node.internals.settings.hooks, (), node.stats).policies is None


class HeldUp:
    """A pump whose steps come when a test wants them; notes when the core is to judge anew."""

    def __init__(self) -> None:
        self.core = self
        self.followed = 0
        self.steps: list[Callable[[], None]] = []
        self.call_in_each_step = self.steps.append
        self.clock = time.monotonic

    def follow(self, _policies: OwnPolicy, _now: float) -> None:
        self.followed += 1

    def note(self, _event: Any) -> None:
        """It is told elsewhere."""

    def wake(self) -> None:
        """It comes when it comes."""

    def call_before_sleep(self, until: Callable[[], float]) -> None:
        self.until = until


@pytest.mark.parametrize("late", [False, True])
def test_when_a_policy_has_rested_the_core_judges_anew_also_where_the_pump_comes_late(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshcache.plugins.health.REST_S_MIN", 0.2)
    policy, pump = Stumbles(OSError()), HeldUp()
    plugins = Plugins(HooksSettings(), [policy], dict)
    plugins.join(cast("Pump", pump))
    try:
        assert plugins.policies is not None
        here, there = (Terms(name, "ams1", "shop", "shop", b"d" * 32, REACH_COLO) for name in ("edge-1", "edge-2"))
        assert not plugins.policies.may_accept(there, here)
        assert pump.followed == 1, "as it joined"
        if not late:
            pump.steps[0]()
            assert 0 < pump.until() - time.monotonic() <= 1
        wait_until(lambda: not plugins.stats()[0]["resting"], what="it has rested")
        pump.steps[0]()
        assert pump.followed == 2
        pump.steps[0]()
        assert pump.followed == 2
        assert plugins.policies.may_accept(there, here)
    finally:
        plugins.close()


@pytest.mark.parametrize("resumption", ["tickets", "both"])
def test_tickets_which_no_policy_is_asked_about_are_refused_beside_one(
    folder: Path, place: Place, resumption: str
) -> None:
    vip = [{"name": "shop", "resumption": resumption}]
    with pytest.raises(ConfigError, match=r"vip\[0\]\.resumption: .* set it to sessions"):
        MeshNode(settings(folder, "edge-9", vip=vip), hooks=[SharingPolicy()]).start()
    node = place.node("edge-1", hooks=[SharingPolicy()])
    with pytest.raises(ConfigError, match="set it to sessions"):
        node.reload(settings(folder, "edge-1", vip=vip))
    place.node("edge-2", hooks=[Observer()], vip=vip)
    named = place.node("edge-3", hooks={"policies": ["tests.plugins.hooks:Refuses"]})
    with pytest.raises(ConfigError, match="set it to sessions"):  # it runs with the policy that its new file hasn't
        named.reload(settings(folder, "edge-3", vip=vip))
