"""Tests of `runtime.contexts.withholding`: real handshakes whose sessions are held back, kept and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshNode
from meshcache.tls.contexts import session_id
from tests.nodes import Place, places
from tests.tls.world import VERSIONS, Visit, client_context, visit


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def made(node: MeshNode) -> int:
    return int(node.stats()["vips"]["shop"]["sessions"]["made"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])
@pytest.mark.usefixtures("hot_path")
def test_what_a_handshake_in_doubt_makes_counts_only_when_it_is_kept(place: Place, kind: str, version: str) -> None:
    node, tickets = place.node("edge-1", vip=[{"name": "shop", "tickets": 3}]), 3 if version == "1.3" else 1
    context, client = place.server(node, kind=kind, version=version), client_context(version)

    def in_doubt() -> Visit:
        with node.withheld.hold("shop"):
            return visit(context, client)

    forgotten, kept = in_doubt(), in_doubt()
    assert made(node) == 0
    node.withheld.forget("shop", forgotten.server.tls)
    node.withheld.keep("shop", forgotten.server.tls)
    assert made(node) == 0
    node.withheld.keep("shop", kept.server.tls)
    node.withheld.keep("shop", kept.server.tls)
    assert made(node) == tickets, "each ticket's, not only the last one's"
    assert visit(context, client, session=kept.session).resumed
    assert not visit(context, client, session=forgotten.session).resumed


@pytest.mark.usefixtures("hot_path")
def test_what_was_filed_already_can_be_forgotten_and_others_are_left_alone(place: Place) -> None:
    node = place.node("edge-1")
    context, client = place.server(node), client_context("1.2")
    first, second = visit(context, client), visit(context, client)
    node.withheld.forget("shop", first.server.tls)
    assert not visit(context, client, session=first.session).resumed
    assert visit(context, client, session=second.session).resumed


def test_a_vip_that_isnt_there_and_a_connection_without_a_session_are_nothing(place: Place) -> None:
    node = place.node("edge-1")
    with node.withheld.hold("absent"):
        node.withheld.keep("absent", object())
    assert session_id(object()) is None


def test_a_client_that_comes_back_before_it_was_kept_is_one(place: Place) -> None:
    """Python's path asks; the compiled one doesn't, and makes another session."""
    node = place.node("edge-1")
    context, client = place.server(node, version="1.2"), client_context("1.2")
    with node.withheld.hold("shop"):
        held = visit(context, client)
    port = node.internals.vips.port("shop")
    found = session_id(held.server.tls)
    assert found is not None
    assert isinstance(port.find(found), tuple)
