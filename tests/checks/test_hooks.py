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
