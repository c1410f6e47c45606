"""A policy that says what may be sent doesn't stand beside a tier that others read, where it would be passed by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache import ConfigError, MeshNode
from meshcache.hooks import SharingPolicy
from meshcache.plugins.shared_tiers import defines, shared_tier_faults
from tests.nodes import settings
from tests.plugins.hooks import AtLookups, Raises, Refuses
from tests.tiers.tiers import Evicted, Kept

STORE = {"tier": {"valkey": {"url": "valkey://127.0.0.1:1"}}}
SENDER = {"policies": ["tests.plugins.hooks:Refuses"]}


class Patched(SharingPolicy):
    """Has its question from elsewhere."""

    def __init__(self) -> None:
        self.may_send = lambda _crossing: True  # type: ignore[method-assign]


def test_who_defines_a_question_is_seen_of_policies_and_their_classes() -> None:
    for policy in (Refuses, AtLookups, Refuses(), Patched()):
        assert defines(policy, "may_send")
    for policy in (SharingPolicy, Raises, Raises(), SharingPolicy()):
        assert not defines(policy, "may_send")
    assert not defines(Patched, "may_send")


def test_each_is_named_with_each_tier() -> None:
    assert len(shared_tier_faults(["one", "two"], ["valkey", "mine", "yours"])) == 6
    assert shared_tier_faults([], ["valkey"]) == shared_tier_faults(["one"], []) == []
    (fault,) = shared_tier_faults(["one"], ["valkey"])
    assert fault.startswith("hooks: may_send of the policy one can't be asked")
    assert "in the tier valkey: leave that tier out, or" in fault


@pytest.mark.parametrize(
    ("changes", "given", "what"),
    [
        (STORE, [Refuses()], "Refuses .* valkey"),
        (STORE | {"hooks": SENDER}, [], "tests.plugins.hooks:Refuses .* valkey"),
        ({"hooks": SENDER | {"tiers": ["tests.tiers.tiers:Evicted"]}}, [], "tests.plugins.hooks:Refuses .* evicted"),
        ({}, [Refuses(), Evicted()], "Refuses .* evicted"),
        ({"hooks": SENDER}, [Kept(), Evicted()], "tests.plugins.hooks:Refuses .* evicted"),
    ],
)
def test_a_node_with_both_doesnt_start(tmp_path: Path, changes: dict[str, Any], given: list[Any], what: str) -> None:
    with pytest.raises(ConfigError, match=f"may_send of the policy {what}"):
        MeshNode(settings(tmp_path, **changes), hooks=given).start()


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        (STORE, [Raises()]),
        ({"tier": {"disk": {"max_bytes": "16MiB"}}}, [Refuses()]),
        ({}, [Refuses(), Kept()]),
        ({"hooks": SENDER | {"tiers": ["nowhere:Tier"]}}, []),
    ],
)
def test_what_is_asked_on_the_way_in_and_what_nobody_else_reads_may_be(
    tmp_path: Path, changes: dict[str, Any], given: list[Any]
) -> None:
    with MeshNode(settings(tmp_path, **changes), hooks=given) as node:
        assert node.stats()["tiers"]
