"""Writes the reference of hooks, `docs/hooks.md`, from `meshcache/hooks.py` and `examples/hooks`.

    .venv/bin/python tools/write_hooks_page.py            writes it
    .venv/bin/python tools/write_hooks_page.py --check    says whether it is what the code says today

Names, signatures, defaults, units and limits are those of the code; the sentences are its docstrings.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "meshcache" / "hooks.py"
EXAMPLES = ROOT / "examples" / "hooks"
PAGE = ROOT / "docs" / "hooks.md"

_HEAD = "<!-- written by tools/write_hooks_page.py from meshcache/hooks.py: change it there -->"

Documented = tuple[ast.stmt, str]


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; the exit code is 1 for a stale one."""
    page = write()
    if "--check" not in arguments:
        PAGE.write_text(page)
    elif not PAGE.exists() or PAGE.read_text() != page:
        sys.stderr.write(f"{PAGE.relative_to(ROOT)} is stale: run tools/write_hooks_page.py\n")
        return 1
    return 0


def write() -> str:
    """The page; the same for the same code."""
    module = ast.parse(SOURCE.read_text())
    parts = ["# Hooks", _HEAD, _text(ast.get_docstring(module) or ""), *_examples()]
    parts += [part for node in module.body if isinstance(node, ast.ClassDef) for part in _class(node)]
    parts += ["## What is counted", *_counts(module), "## Limits", "| limit | | |\n| --- | --- | --- |"]
    limits = "\n".join(
        f"| `{_target(node)}` | {_value(node)} | {_line(words)} |"
        for node, words in _documented(module.body)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    )
    return "\n\n".join(parts) + f"\n{limits}\n"


def _examples() -> Iterator[str]:
    yield "One of each, run by the tests:"
    rows = []
    for path in sorted(EXAMPLES.glob("*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        rows.append(f"- [{path.name}](../examples/hooks/{path.name}): {_line(first)}")
    yield "\n".join(rows)


def _class(node: ast.ClassDef) -> Iterator[str]:
    bases = "".join(f"({ast.unparse(base)})" for base in node.bases)
    yield f"## {node.name}{bases}"
    yield _text(ast.get_docstring(node) or "")
    fields = [(each, words) for each, words in _documented(node.body) if isinstance(each, ast.AnnAssign)]
    if fields:
        rows = [f"| `{_target(each)}` | `{_kind(each)}`{_default(each)} | {_line(words)} |" for each, words in fields]
        yield "| field | type | |\n| --- | --- | --- |\n" + "\n".join(rows)
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
            yield f"### {node.name}.{each.name}"
            returns = ast.unparse(each.returns or ast.Constant(None))
            yield f"```python\ndef {each.name}({ast.unparse(each.args)}) -> {returns}\n```"
            yield _text(ast.get_docstring(each) or "")


def _counts(module: ast.Module) -> Iterator[str]:
    counts = next(node for node in module.body if isinstance(node, ast.AnnAssign) and _target(node) == "COUNTS")
    words = next(words for node, words in _documented(module.body) if node is counts)
    yield _line(words)
    rows = [f"| `{key}` | {_line(text)} |" for key, text in ast.literal_eval(counts.value or ast.Constant({})).items()]
    yield "| count | |\n| --- | --- |\n" + "\n".join(rows)


def _documented(body: list[ast.stmt]) -> Iterator[Documented]:
    """Assignments with the text that follows each."""
    for node, after in pairwise(body):
        public = isinstance(node, (ast.Assign, ast.AnnAssign)) and not _target(node).startswith("_")
        if public and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield node, str(after.value.value)


def _target(node: ast.stmt) -> str:
    assert isinstance(node, (ast.Assign, ast.AnnAssign))
    return ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)


def _value(node: ast.Assign) -> str:
    return f"`{ast.unparse(node.value)}`"


def _kind(node: ast.AnnAssign) -> str:
    return re.sub(r"^ClassVar\[(.*)\]$", r"\1", ast.unparse(node.annotation)).replace("|", "\\|")


def _default(node: ast.AnnAssign) -> str:
    return "" if node.value is None else f", default `{ast.unparse(node.value)}`"


def _text(docstring: str) -> str:
    """A docstring in the page's form: one line for each paragraph, as it has no width of its own."""
    return "\n\n".join(_line(part) for part in docstring.split("\n\n"))


def _line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
