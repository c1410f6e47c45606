"""`check` names hooks that can't be had, with their place in the file."""

from __future__ import annotations

from meshcache import Settings
from meshcache.checks.hooks import hook_faults


def test_hooks_that_can_be_had_are_no_fault() -> None:
    named = {"policies": ["tests.plugins.hooks:Raises"], "observers": ["tests.plugins.hooks:Sees"]}
    assert not hook_faults(Settings.model_validate({"hooks": named}))


def test_each_that_cant_is_named_with_its_place() -> None:
    named = {"policies": ["tests.plugins.hooks:Sees"], "observers": ["tests.plugins.hooks:Sees", "nobody-offers-this"]}
    faults = hook_faults(Settings.model_validate({"hooks": named}))
    assert [fault.partition(":")[0] for fault in faults] == ["hooks.policies[0]", "hooks.observers[1]"]
    assert "is no SharingPolicy" in faults[0]


def test_a_policy_that_says_what_may_be_sent_is_a_fault_beside_what_others_read() -> None:
    store = {"valkey": {"url": "valkey://127.0.0.1:1"}}
    sends, tier = {"policies": ["tests.plugins.hooks:Refuses"]}, {"tiers": ["tests.tiers.tiers:Evicted"]}
    for told in ({"hooks": sends, "tier": store}, {"hooks": sends | tier}):
        (fault,) = hook_faults(Settings.model_validate(told))
        assert "may_send of the policy tests.plugins.hooks:Refuses" in fault
    asked_on_arrival = {"policies": ["tests.plugins.hooks:Raises"]} | tier
    assert not hook_faults(Settings.model_validate({"hooks": asked_on_arrival, "tier": store}))
    ours = sends | {"tiers": ["tests.tiers.tiers:Kept"]}
    assert not hook_faults(Settings.model_validate({"hooks": ours}))
