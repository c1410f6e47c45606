"""Says in plain words what pydantic found: the key's path, what is wrong, what would be right."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from meshcache.config.settings import Settings
from meshcache.config.values import shown

FAULTS_MAX = 100
"""More than anybody repairs in one go; a wrong file given by mistake has thousands."""

Location = tuple[int | str, ...]

_CONSEQUENCES = frozenset({"default_factory_not_called"})
"""Errors that only say that another value, named already, is wrong."""

_LISTS = frozenset({"vip", "vip.more_certificates", "tickets.export"})
"""Tables that there may be several of."""

_KINDS = {
    "string_type": "a string",
    "string_too_short": "text that isn't empty",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "finite_number": "a number",
}


def plain_faults(error: ValidationError) -> list[str]:
    """One line for each thing to repair, table by table."""
    details = [detail for detail in error.errors(include_url=False) if detail["type"] not in _CONSEQUENCES]
    faults = [f"{place(detail['loc'])}: {_sentence(detail)}" for detail in details[:FAULTS_MAX]]
    if len(details) > FAULTS_MAX:
        faults.append(f"and {len(details) - FAULTS_MAX} more faults; is this the right file?")
    return faults


def place(location: Location) -> str:
    """Return a key's path as people write it: ``vip[1].sharing.reach``, counted from 0."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _sentence(detail: ErrorDetails) -> str:
    kind, location, context = detail["type"], detail["loc"], detail.get("ctx", {})
    found = shown(detail["input"])
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return f"is missing; give one{_example(location)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return _not_a_table(location, found)
    if kind == "literal_error":
        return f"must be {_quoted(context['expected'])}, not {found}"
    if kind == "bool_type":
        return f"must be true or false, not {found}"
    if kind == "tuple_type" and _path(location) in _LISTS:
        return f"must be a list of tables, each written as [[{_path(location)}]], not {found}"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}{_example(location)}, not {found}"
    return _out_of_bounds(kind, context, found) or f"{detail['msg'].lower()}{_example(location)}, not {found}"


def _out_of_bounds(kind: str, context: dict[str, Any], found: str) -> str | None:
    words = {
        "greater_than_equal": ("at least", "ge"),
        "less_than_equal": ("at most", "le"),
        "greater_than": ("above", "gt"),
    }
    if kind in words:
        text, key = words[kind]
        return f"must be {text} {_number(context[key])}, not {found}"
    if kind == "too_long":
        return f"has {context['actual_length']} entries; at most {context['max_length']} fit"
    if kind == "string_too_long":
        return f"is too long: at most {context['max_length']} characters"
    return None


def _number(value: float) -> str:
    return f"{int(value)}" if value == int(value) else f"{value}"


def _quoted(expected: str) -> str:
    return expected.replace("'", '"')


def _example(location: Location) -> str:
    field = _field(location)
    examples = field.examples if field is not None else None
    return f" such as {_toml(examples[0])}" if examples else ""


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return shown(value)


def _not_a_table(location: Location, found: str) -> str:
    name = _path(location)
    header = f"[[{name}]]" if name in _LISTS else f"[{name}]"
    return f"must be a table, written as {header} with its keys below, not {found}"


def _path(location: Location) -> str:
    return ".".join(step for step in location if isinstance(step, str))


def _unknown_key(location: Location) -> str:
    """Return the table that has this very key, else the nearest key of the same table, else all there are."""
    key = str(location[-1])
    valid = _keys(_table(location[:-1]))
    elsewhere = [table for table, keys in _all_tables(Settings, "").items() if key in keys]
    if elsewhere:
        return f"unknown key here; it belongs in {elsewhere[0]}"
    close = get_close_matches(key, valid, n=1, cutoff=0.6)
    if close:
        return f'unknown key; did you mean "{close[0]}"?'
    return f"unknown key; there is {', '.join(valid)}"


def _all_tables(model: type[BaseModel], name: str) -> dict[str, list[str]]:
    tables = {f"[[{name}]]" if name in _LISTS else f"[{name}]": _keys(model)} if name else {}
    for key, field in _fields(model).items():
        inner = _model_of(field.annotation)
        if inner is not None:
            tables |= _all_tables(inner, f"{name}.{key}".removeprefix("."))
    return tables


def _table(location: Location) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    for step in location:
        if isinstance(step, str):
            model = _model_of(_fields(model)[step].annotation) or model
    return model


def _field(location: Location) -> FieldInfo | None:
    """Return the field that a place belongs to: an item of a list has the list's."""
    names = [step for step in location if isinstance(step, str)]
    return _fields(_table(tuple(names[:-1]))).get(names[-1]) if names else None


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _keys(model: type[BaseModel]) -> list[str]:
    return list(_fields(model))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the table in an annotation such as ``tuple[VipSettings, ...]`` or ``ClientAuthSettings | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_of(inner)) is not None), None)
