"""The page of what mutation testing leaves is about code that is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_explained_survivor_is_a_line_that_is_still_there() -> None:
    spec = importlib.util.spec_from_file_location("mutation", ROOT / "tools" / "mutation.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    explained = tool.explained()
    assert explained
    for survivor in explained:
        source = (ROOT / tool.MODULES[survivor.module][0]).read_text()
        assert survivor.was in source.replace("|", "/").replace("`", "'").replace('"""', "'''") or survivor.was.replace(
            "'", '"'
        ) in source.replace("\\'", "'"), survivor
