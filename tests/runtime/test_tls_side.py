"""What a node answers about contexts before it runs; joining and counting are tested with real handshakes elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcache import MeshcacheError, MeshNode, Outcome
from tests.nodes import settings
from tests.tls.world import server_context


def test_contexts_join_only_while_the_node_runs(folder: Path) -> None:
    node = MeshNode(settings(folder))
    with pytest.raises(MeshcacheError, match="start the node first"):
        node.attach(server_context("stdlib"), vip="shop")
    context = server_context("stdlib")
    assert node.attach(context, vip="shop", required=False) is context
    assert node.left_out == {"new": 1}
    assert not node.detach(context)


def test_what_is_no_connection_resumed_nothing(folder: Path) -> None:
    told = MeshNode(settings(folder)).resumption(object())
    assert (told.outcome, told.origin, told.server_name, told.lineage) == (Outcome.FULL, None, None, None)
