"""Whole meshes of real `meshcache serve` processes for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.material import Authority, Node, write_key, write_nodes
from tests.support.mesh import Mesh
from tests.support.processes import Processes


@pytest.fixture
def mesh(processes: Processes) -> Mesh:
    return Mesh(processes)


@pytest.fixture
def make_nodes(folder: Path, authority: Authority) -> Callable[..., list[Node]]:
    """Writes the files of a mesh into the test's folder; see `write_nodes` for what can be chosen."""
    authority.write(folder)
    write_key(folder)

    def make(*names: str, **choices: Any) -> list[Node]:
        return write_nodes(folder, names, **choices)

    return make
