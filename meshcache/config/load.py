"""Reads one TOML file, applies ``--set`` overrides and returns `Settings`, or names every fault at once.

Opens no other file: whether a certificate exists and fits is `meshcache.checks`' question.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from meshcache.config.crosschecks import cross_faults
from meshcache.config.faults import plain_faults
from meshcache.config.overrides import apply_overrides
from meshcache.config.placeholders import filled_in
from meshcache.config.settings import AdminSettings, HooksSettings, MeshSettings, Settings
from meshcache.config.vip import VipSettings
from meshcache.errors import ConfigError

FILE_BYTES_MAX = 4 * 2**20
"""A thousand VIPs take about 500 kB; anything longer is another file given by mistake."""

Table = TypeVar("Table", VipSettings, MeshSettings, AdminSettings, HooksSettings)

_SYNTAX_PLACE = re.compile(r"(.*?)\s*\(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    placeholders: Mapping[str, object] | None = None,
    content: bytes | None = None,
) -> Settings:
    """Return the settings in the file at `path`, with overrides such as ``node.name=edge-2`` applied to it.

    ``placeholders`` are values for ``{worker}``, ``{pid}`` and ``{host}`` other than 0, this process's and this host's.
    With ``content``, what `read_config` has found in the file, it isn't read again. Raises ConfigError, which names
    every fault with its key's path.
    """
    path = Path(path)
    plain = _parse(path, read_config(path) if content is None else content)
    return read_settings(plain, path.absolute().parent, overrides, placeholders=placeholders)


def read_config(path: Path) -> bytes:
    """Return what is in a file now, for whoever makes more than one thing of it: it may change between two looks.

    Raises ConfigError where it can't be read, or is too long to be a configuration.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; `meshcache init` writes one to start from"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {(error.strerror or str(error)).lower()}"]) from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError([f"{path}: over {FILE_BYTES_MAX // 2**20} MiB, which no configuration is"])
    return content


def load_whereabouts(path: str | Path) -> Settings:
    """Return what a file says of its node and of where that is asked, and defaults for all else: whatever is wrong
    there, a node that runs can be found. Raises ConfigError for faults of these two tables.
    """
    path = Path(path)
    tables = {name: table for name, table in _parse(path, read_config(path)).items() if name in ("node", "admin")}
    return read_settings(tables, path.absolute().parent, placeholders={"pid": 0})


def read_settings(
    plain: dict[str, Any],
    base: Path,
    overrides: Sequence[str] = (),
    *,
    placeholders: Mapping[str, object] | None = None,
) -> Settings:
    """Return the settings in `plain`, as TOML or JSON would give them; relative paths count from `base`.

    Raises ConfigError, which names every fault with its key's path.
    """
    plain, faults = apply_overrides(plain, overrides)
    plain = filled_in(plain, placeholders or {})
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(plain, context={"base": base})
    except ConfigError as error:
        faults += error.faults
    except ValidationError as error:
        faults += plain_faults(error)
        faults += _faults_between_what_is_right(plain, base)
    if settings is None or faults:
        raise ConfigError(faults)
    return settings


def _faults_between_what_is_right(plain: dict[str, Any], base: Path) -> list[str]:
    """Cross-check the parts that can be read, so that one mistake doesn't hide the next."""
    tables = plain.get("vip", [])
    vips = [(index, _read(VipSettings, table, base)) for index, table in enumerate(tables if _is_list(tables) else [])]
    mesh = _read(MeshSettings, plain.get("mesh", {}), base)
    admin = _read(AdminSettings, plain.get("admin", {}), base)
    hooks = _read(HooksSettings, plain.get("hooks", {}), base)
    readable = [(index, vip) for index, vip in vips if vip is not None]
    return cross_faults(
        readable, mesh.listen if mesh else None, admin.http if admin else None, hooks.policies if hooks else ()
    )


def _read(kind: type[Table], plain: Any, base: Path) -> Table | None:
    try:
        return kind.model_validate(plain, context={"base": base})
    except ValidationError:
        return None


def _is_list(plain: object) -> bool:
    return isinstance(plain, list)


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8, which TOML must be"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_fault(path, str(error))]) from None
    except (RecursionError, ValueError):  # tables within tables without end; a number of thousands of digits
        raise ConfigError([f"{path}: holds a value that no configuration has: nested too deep, or too large"]) from None


def _syntax_fault(path: Path, message: str) -> str:
    """tomllib ends its messages with the place, and people look for it first."""
    match = _SYNTAX_PLACE.fullmatch(message)
    if match is None:
        return f"{path}: not TOML: {message}"
    place = f"{path}, line {match[2]}, column {match[3]}" if match[2] else f"{path}, at its end"
    return f"{place}: not TOML: {match[1][:1].lower()}{match[1][1:]}"
