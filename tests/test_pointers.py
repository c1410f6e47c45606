"""What a docstring names in backquotes is there: a pointer that leads nowhere costs its reader more than none."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests.test_layering import SOURCES

ROOT = Path(__file__).parent.parent
TOPS = (ROOT / "meshcache", ROOT / "meshcache/core", ROOT)


def test_each_pointer_in_a_docstring_leads_somewhere() -> None:
    found = [(path, name) for path in SOURCES for name in _pointers(path)]
    assert len(found) > 100
    lost = sorted({f"{path.relative_to(ROOT)}: {name}" for path, name in found if not _leads(path, name)})
    assert not lost


def test_pointers_that_lead_nowhere_are_found() -> None:
    here = ROOT / "meshcache/core/mesh.py"
    there = [
        "core.policy.scope",
        "gates.may_send",
        "MeshCore.lookup",
        "core.values.limits.Limits.flush_s",
        "os.path.join",
    ]
    nowhere = ["core.scope", "MeshCore.own_policy_changed", "core.values.limits.Limits.flush", "policy.gates.may_fetch"]
    assert [name for name in there + nowhere if not _leads(here, name)] == nowhere


def _pointers(path: Path) -> list[str]:
    """Names with a dot in docstrings, those below an attribute too."""
    texts = [
        node.value.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return re.findall(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(\))?`(?!`)", " ".join(texts))


def _leads(path: Path, name: str) -> bool:
    """Return whether a name is there, or isn't one of ours."""
    parts = name.split(".")
    if parts[-1] in ("c", "h", "py", "toml"):
        return parts[-1] == "toml" or any((folder / name).exists() for folder in (*TOPS, *_folders(path)))
    ways = [found for top in (*TOPS, *_folders(path)) if (found := _in_folder(top, parts)) is not None]
    ways += [_has(file, parts) for file in _class_files().get(parts[0], ())]
    return any(ways) or not ways


def _folders(path: Path) -> list[Path]:
    """The module's own folder, and those around it in the package."""
    return [folder for folder in path.parents if folder != ROOT and folder.is_relative_to(ROOT)]


def _in_folder(folder: Path, parts: list[str]) -> bool | None:
    """Return whether a name leads from this folder to something; None if not even its first part is here."""
    at = folder
    for index, part in enumerate(parts):
        if (at / part).is_dir():
            at /= part
            continue
        file = at / f"{part}.py"
        if file.exists():
            return index + 1 == len(parts) or _has(file, parts[index + 1 :])
        return None if index == 0 else _has(at / "__init__.py", parts[index:])
    return True


def _has(file: Path, parts: list[str]) -> bool:
    """Return whether a file defines, or has from elsewhere, all these names."""
    return file.exists() and all(part in _names(file) for part in parts)


@cache
def _names(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        for field in ("name", "id", "attr", "arg"):
            names.add(str(getattr(node, field, None)))
        if isinstance(node, ast.ClassDef):  # what it has from the classes below it
            names |= {inner for base in node.bases for inner in _inherited(base)}
    return names


def _inherited(base: ast.expr) -> set[str]:
    return {name for file in _class_files().get(getattr(base, "id", ""), ()) for name in _own_names(file)}


@cache
def _own_names(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {str(getattr(node, field, None)) for node in ast.walk(tree) for field in ("name", "id", "attr")}


@cache
def _class_files() -> dict[str, list[Path]]:
    """The files that define a class of a name."""
    found: dict[str, list[Path]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path)
    return found
