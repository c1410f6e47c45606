"""Tests of what finds wiring from outside, on small modules."""

from __future__ import annotations

import pytest

from tests.support.patching import patches

PARTS = """
from collections.abc import Callable
from dataclasses import dataclass
class Pump:
    def __init__(self) -> None:
        self.chore: Callable[[], None] = print
        self.at = 0.0
    @property
    def pace(self) -> float:
        return self.at
    @pace.setter
    def pace(self, pace: float) -> None:
        self.at = pace
class Node:
    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.other = Pump()
@dataclass
class Row:
    at: float
    told: Callable[[], None]
"""


USER = """
class User:
    def __init__(self, node: Node) -> None:
        self.node = node
    def use(self, pump: Pump, row: Row, any) -> None:
"""


def found(*lines: str) -> list[str]:
    """What is found where a method does this, which has a pump, a node and a row."""
    user = USER + "".join(f"        {line}\n" for line in lines)
    return sorted(each.removeprefix("user: ") for each in patches({"parts": PARTS, "user": user}))


@pytest.mark.parametrize(
    "line",
    [
        "pump.chore = self.use",
        "pump.at = 1.0",
        "pump.at += 1",
        "del pump.at",
        "for pump.at in (1.0, 2.0): pass",
        "with open('f') as pump.at: pass",
        "self.node.pump.at = 1.0",
        "self.node.other.at = 1.0",
        "self.node.pump = pump",
        "row.told = self.use",
        "any.chore = self.use",
        "any.of_another_project = 1",
    ],
)
def test_what_is_set_on_another_object_is_found(line: str) -> None:
    target = line.removeprefix("for ").removeprefix("del ").removeprefix("with open('f') as ").split(" ")[0].rstrip(":")
    assert found(line) == [target]


@pytest.mark.parametrize(
    "line", ["self.at = 1.0", "row.at = 1.0", "row.at += 1", "pump.pace = 1.0", "any.pace = 1.0", "pump = any"]
)
def test_its_own_attributes_setters_and_values_of_records_are_not(line: str) -> None:
    assert found(line) == []


def test_a_value_of_a_record_counts_where_nothing_says_what_an_object_is() -> None:
    assert found("any.at = 1.0") == []
    assert found("any = Pump()", "any.at = 1.0") == ["any.at"]


def test_each_of_several_targets_is_looked_at() -> None:
    assert found("row.at, (pump.at, *any.chore) = 1.0, (2.0, 3.0)", "pump.at = self.at = 1.0") == [
        "any.chore",
        "pump.at",
    ]


def test_setattr_with_a_name_is_an_assignment_too() -> None:
    assert found("setattr(pump, 'chore', print)", "object.__setattr__(self, 'at', 1)") == ["pump.chore"]
    assert found("setattr(pump, any, print)") == ["pump.[any]"]


def test_the_module_of_a_class_may_change_its_plain_values_but_not_what_it_calls() -> None:
    inside = "def help(pump: Pump) -> None:\n    pump.at = 1.0\n    pump.chore = print\n"
    assert patches({"parts": PARTS + inside}) == {"parts: pump.chore"}
