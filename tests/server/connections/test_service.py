"""Tests of `server.service`: the node is the mesh that connections speak to."""

from __future__ import annotations

import inspect

import pytest
from meshcache_server.connections.service import ConnectionNode

from meshcache import MeshNode


@pytest.mark.parametrize("name", ["handshake_counter", "handshake_failed"])
def test_the_node_can_be_told_what_connections_tell(name: str) -> None:
    written, real = (inspect.signature(getattr(kind, name)) for kind in (ConnectionNode, MeshNode))
    assert list(real.parameters) == list(written.parameters)
