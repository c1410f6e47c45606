"""A mesh of servers of the tests' own, and nodes in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.nodes import Place, places
from tests.support.material import Authority, Node, write_key, write_nodes
from tests.support.mesh import Mesh
from tests.support.processes import Processes


@pytest.fixture
def mesh(processes: Processes) -> Mesh:
    return Mesh(processes)


@pytest.fixture
def make_nodes(folder: Path, authority: Authority) -> Callable[..., list[Node]]:
    """Writes a mesh's key, certificate and files."""
    authority.write(folder)
    write_key(folder)
    return partial(write_nodes, folder)


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)
