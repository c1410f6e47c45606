"""Applies ``--set KEY=VALUE`` to what the file said, before it is checked; checks only that the key leads somewhere."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

Tables = dict[str, Any]


def apply_overrides(plain: Tables, overrides: Sequence[str]) -> tuple[Tables, list[str]]:
    """Return a copy of `plain` with every override applied, and the faults of those that can't be."""
    changed = deepcopy(plain)
    faults: list[str] = []
    for override in overrides:
        try:
            _apply(changed, override)
        except ValueError as error:
            faults.append(f"--set {override}: {error}")
    return changed, faults


def _apply(tables: Tables, override: str) -> None:
    key, equals, value = override.partition("=")
    key = key.strip()
    if not equals or not key or "" in key.split("."):
        raise ValueError("write it as KEY=VALUE, such as node.name=edge-2 or vip.0.listen=127.0.0.1:8444")
    table, rest = (tables, key.split("."))
    if rest[0] == "vip":
        table, rest = _vip_table(tables, key.removeprefix("vip").removeprefix("."))
    for step in rest[:-1]:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise ValueError(f"{step} is not a table")  # noqa: TRY004 - the key is wrong
    table[rest[-1]] = parse_value(value.strip())


def _vip_table(tables: Tables, rest: str) -> tuple[Tables, list[str]]:
    """Return the VIP that ``0.listen`` or ``NAME.listen`` means, and what is left of the key;
    a name may have dots itself.
    """
    vips = tables.get("vip")
    vips = [vip for vip in vips if isinstance(vip, dict)] if isinstance(vips, list) else []
    names = [str(vip.get("name")) for vip in vips]
    for name, vip in sorted(zip(names, vips, strict=True), key=lambda pair: -len(pair[0])):
        if rest.startswith(name + "."):
            return vip, rest.removeprefix(name + ".").split(".")
    first, _, keys = rest.partition(".")
    if not keys:
        raise ValueError("say which VIP and which key, such as vip.0.listen or vip.NAME.listen")
    if first.isdigit() and int(first) < len(vips):
        return vips[int(first)], keys.split(".")
    raise ValueError(_no_such_vip(first, names))


def _no_such_vip(wanted: str, names: list[str]) -> str:
    if not names:
        return "the file has no VIP"
    if wanted.isdigit():
        return f"the file has {len(names)} VIP(s), counted from 0"
    close = get_close_matches(wanted, names, n=1)
    return f'no VIP is named "{wanted}"; ' + (
        f'did you mean "{close[0]}"?' if close else f"there is {', '.join(names)}"
    )


def parse_value(text: str) -> Any:
    """Return the TOML value that `text` is, or `text` itself: quotes are for shells that have eaten them already."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if set(parsed) == {"value"} else text
