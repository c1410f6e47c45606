from __future__ import annotations

from pathlib import Path
from typing import Any

from meshcache.workers.running import one_of_file


class Node:
    closed = False


def test_a_file_has_one_node_until_that_is_closed() -> None:
    make: Any = Node
    one = one_of_file(Path("mesh.toml"), (), make)
    assert one_of_file(Path("mesh.toml").absolute(), [], make) is one
    assert one_of_file(Path("mesh.toml"), ["node.colo=x"], make) is not one
    one.closed = True  # type: ignore[misc]
    assert one_of_file(Path("mesh.toml"), (), make) is not one
