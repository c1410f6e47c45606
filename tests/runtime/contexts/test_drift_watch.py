"""What is changed after a context joined is told once, and counted; an SNI callback ends its membership."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshNode
from meshcache.runtime.contexts import drift_watch
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import client_context, visit


@pytest.fixture
def node(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MeshNode]:
    monkeypatch.setattr(drift_watch, "EVERY_S", 0.02)
    for place in places(folder):
        assert isinstance(place, Place)
        yield place.node("edge-1")


def told(node: MeshNode) -> list[str]:
    return [event["text"].partition(" ")[0] for event in node.events() if event["kind"] == "ContextChanged"]


def test_a_change_is_told_once_for_a_vip_and_counted_for_each_context(node: MeshNode) -> None:
    contexts = [Place.server(None, node, kind="pyopenssl") for _ in range(2)]  # type: ignore[arg-type]
    for context in contexts:
        context.set_session_cache_mode(0)
    wait_until(lambda: node.stats()["contexts_changed"] == {"shop": {"session_cache_mode": 2}}, what="both are seen")
    wait_until(lambda: told(node), what="it is told")
    assert told(node) == ["session_cache_mode"]


def test_a_context_that_gets_an_sni_callback_leaves(node: MeshNode) -> None:
    context = Place.server(None, node)  # type: ignore[arg-type]
    client = client_context()
    session = visit(context, client).session
    context.sni_callback = lambda *_: None
    wait_until(lambda: told(node) == ["sni_callback"], what="it is seen")
    assert not visit(context, client, session=session).resumed
    assert not node.detach(context), "it has left"
