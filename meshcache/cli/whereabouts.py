"""Reads where a node is asked out of the plainest of files, without pydantic: that takes twice as long as all the rest
of a command that asks a node.

Finds no fault: whatever isn't plain, or isn't there, is left to `config.load.load_whereabouts`, which says what is
wrong.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

FILE_BYTES_MAX: Final = 64 * 1024
"""Longer files are read by `config.load` alone, which says where they end."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")
"""Of the names that `config.values.parse_name` takes, those that nearly everybody has."""

_PATH = re.compile(r"[A-Za-z0-9_./-]+")
"""Neither a placeholder nor systemd's folder of credentials, see `config.values`."""


def plain_socket(file: Path) -> Path | None:
    """Return the admin socket that `file` names, if it is there; None where the file has to be read with care."""
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        plain = tomllib.loads(content.decode()) if len(content) <= FILE_BYTES_MAX else {}
        socket = _socket(plain.get("node"), plain.get("admin", {}))
        path = None if socket is None else (file.absolute().parent / socket).absolute()
        return path if path is not None and path.exists() else None
    except (OSError, ValueError, RecursionError):
        return None


def _socket(node: Any, admin: Any) -> Path | None:
    if not isinstance(node, dict) or not isinstance(admin, dict):
        return None
    if node.keys() - {"name", "colo", "state_dir"} or admin.keys() - {"socket"}:
        return None
    name = node.get("name")
    state_dir = node.get("state_dir", f"state/{name}")
    socket = admin.get("socket", f"{state_dir}/admin.sock")
    plain = _are(_NAME, name, node.get("colo", name)) and _are(_PATH, state_dir, socket)
    return Path(socket) if plain else None


def _are(kind: re.Pattern[str], *texts: Any) -> bool:
    return all(isinstance(text, str) and kind.fullmatch(text) for text in texts)
