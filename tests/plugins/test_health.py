"""How a hook fares: counted, told once a minute, rested for longer each time."""

from __future__ import annotations

import time

from meshcache.core.values.events import HookFaulted
from meshcache.hooks import Observer
from meshcache.plugins.health import REST_S_MAX, Health, name_of


def test_faults_are_counted_and_told_once_for_each_kind() -> None:
    told: list[HookFaulted] = []
    health = Health("policy", "mine", told.append)
    for _ in range(3):
        health.fault("raised", ValueError("a secret"))
    health.fault("slow", "no answer within 0.05 s")
    assert [(fault.what, fault.hook, fault.hook_kind) for fault in told] == [
        ("raised", "mine", "policy"),
        ("slow", "mine", "policy"),
    ]
    plain = health.to_plain()
    assert plain["counts"] == {"raised": 3, "slow": 1}
    assert plain["last_fault"] == "slow: no answer within 0.05 s"
    assert "secret" not in str(told)


def test_pauses_double_up_to_a_minute_and_begin_anew_once_it_goes_right() -> None:
    health = Health("policy", "mine", lambda _: None)
    pauses = [health.fault("raised", "x") for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, REST_S_MAX, REST_S_MAX, REST_S_MAX]
    assert not health.resting, "only where it is asked for"
    health.went_right()
    assert health.fault("raised", "x", rests=True) == 1
    assert health.resting
    assert health.rests_until <= time.monotonic() + 1


def test_a_hook_has_its_own_name_or_the_files_or_its_classs() -> None:
    class Mine(Observer):
        pass

    class Named(Observer):
        name = "named"

    assert [name_of(Mine()), name_of(Mine(), "entry"), name_of(Named(), "entry")] == ["Mine", "entry", "named"]
