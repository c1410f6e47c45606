"""Declares records, frozen values with slots: `@record` is `@dataclass(frozen=True, slots=True)`, three times cheaper.

A dataclass compiles six methods for each class, and every start does so again: with the messages and events alone it
took a tenth of a node's. Here only `__init__` is compiled; the other methods are the same functions for all records.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

Record = TypeVar("Record")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[Record]) -> type[Record]:
    """Make a class of annotations a record. Of `field` it takes ``default`` and ``repr``; `dataclasses.replace` and
    `fields` work. For what is hashed or compared often, a dataclass is the faster one.
    """
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    made.__init__ = _init(made)
    for name, method in _SHARED.items():
        setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def _init(cls: Any) -> Any:
    given = fields(cls)
    assert all(each.default_factory is MISSING and each.compare and each.init for each in given), "see above"
    names: dict[str, Any] = {f"_{each.name}": each.default for each in given} | {"_set": object.__setattr__}
    wanted = ", ".join(each.name if each.default is MISSING else f"{each.name}=_{each.name}" for each in given)
    steps = [f"_set(self, '{each.name}', {each.name})" for each in given]
    if hasattr(cls, "__post_init__"):
        steps.append("self.__post_init__()")
    # As `dataclasses` does it; the text is made of a class's own field names.
    exec(f"def __init__(self, {wanted}):\n " + "\n ".join(steps or ["pass"]), names)  # noqa: S102
    names["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    return names["__init__"]


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__match_args__])


def _repr(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _setattr(_self: Any, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(_self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _reduce(self: Any) -> tuple[Any, ...]:
    return type(self), _values(self)


_SHARED = {
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__reduce__": _reduce,
}
