"""A record is what a frozen dataclass with slots is, in all that callers see."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from meshcache.records import record


@record
class One:
    """A record."""

    name: str
    secret: bytes = field(repr=False)
    tags: tuple[str, ...] = ()
    note: str = field(default="none", repr=False)


@dataclass(frozen=True, slots=True)
class Two:
    """The dataclass that it is like."""

    name: str
    secret: bytes = field(repr=False)
    tags: tuple[str, ...] = ()
    note: str = field(default="none", repr=False)


@record
class Empty:
    """A record of nothing."""


@record
class Checked:
    """A record that refuses values."""

    low: int
    high: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_its_values_are_given_and_shown_as_a_dataclasses_are() -> None:
    one, two = One("a", b"secret", note="kept"), Two("a", b"secret", note="kept")
    assert repr(one) == repr(two).replace("Two", "One") == "One(name='a', tags=())"
    assert [each.name for each in fields(one)] == [each.name for each in fields(two)]
    assert One.__match_args__ == Two.__match_args__
    assert list(inspect.signature(One).parameters) == list(inspect.signature(Two).parameters)
    assert One(name="a", secret=b"", tags=("x",)).tags == ("x",)
    for kind in (One, Two):
        with pytest.raises(TypeError, match=rf"{kind.__name__}.__init__\(\) missing 1 required .* 'secret'"):
            kind("a")  # type: ignore[call-arg]
    assert repr(Empty()) == "Empty()"


def test_it_equals_what_is_of_its_kind_and_holds_the_same() -> None:
    one = One("a", b"secret")
    assert one == One("a", b"secret")
    assert hash(one) == hash(One("a", b"secret"))
    for other in (One("a", b"other"), One("a", b"secret", note=""), Two("a", b"secret"), ("a", b"secret", (), "none")):
        assert one != other
    assert Empty() == Empty()
    assert len({Empty(), Empty(), one, replace(one, name="b"), replace(one)}) == 3


def test_it_never_changes() -> None:
    one: Any = One("a", b"secret")
    for name in ("name", "another"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(one, name, "b")
        with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
            delattr(one, name)
    assert not hasattr(one, "__dict__")
    assert one == One("a", b"secret")


def test_it_can_be_copied_and_pickled() -> None:
    one = One("a", b"secret", ("x",))
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one


def test_it_may_check_its_values() -> None:
    assert Checked(0).high == 1
    with pytest.raises(ValueError, match="low is above high"):
        Checked(2)
    with pytest.raises(ValueError, match="low is above high"):
        replace(Checked(0), low=2)


@pytest.mark.parametrize("given", [field(default_factory=list), field(default=0, compare=False), field(init=False)])
def test_a_field_that_needs_a_dataclass_is_refused(given: Any) -> None:
    with pytest.raises(AssertionError):
        record(type("Other", (), {"__annotations__": {"value": "int"}, "value": given}))
