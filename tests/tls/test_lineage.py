"""A lineage is one number from its full handshake on: through renewals, tickets, nodes and both kinds of TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache.tls.contexts import lineage
from meshcache.tls.lineage import LINEAGE_BYTES
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import KINDS, VERSIONS, DictPort, attach, client_context, server_context, visit

pytestmark = pytest.mark.usefixtures("hot_path")


@pytest.fixture
def place(folder: Path, hot_path: str) -> Iterator[Place]:
    yield from places(folder)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_connection_of_a_lineage_has_its_number_on_whatever_node(place: Place, version: str) -> None:
    nodes = [place.node("edge-1"), place.node("edge-2")]
    servers = [place.server(node, kind=kind, version=version) for node, kind in zip(nodes, KINDS, strict=True)]
    place.wait_until_met()
    client = client_context(version)
    first = visit(servers[0], client)
    mark = nodes[0].resumption(first.server.tls).lineage
    assert mark is not None
    assert len(bytes.fromhex(mark)) == LINEAGE_BYTES
    session, there = first.session, 0
    for at in (1, 0, 1, 1):
        if version == "1.3" or not there:
            there += 1
            wait_until(lambda a=at, t=there: _entries(nodes[a]) >= t, what="the session is there")
        back = visit(servers[at], client, session=session)
        assert back.resumed
        assert nodes[at].resumption(back.server.tls).lineage == mark
        session = back.session


def test_two_full_handshakes_begin_two_lineages(place: Place) -> None:
    node = place.node("edge-1")
    server = place.server(node)
    marks = {node.resumption(visit(server, client_context()).server.tls).lineage for _ in range(4)}
    assert len(marks) == 4
    assert None not in marks


@pytest.mark.parametrize("kind", KINDS)
def test_all_tickets_of_a_handshake_are_of_one_lineage(kind: str, hot_path: str) -> None:
    port = DictPort()
    server = server_context(kind, "1.3")
    attach(server, port, tickets=3)
    client = client_context("1.3")
    mark = lineage(visit(server, client).server.tls)
    assert len(port.made) == 3
    seen = set()
    for session_id in [made[0] for made in port.made]:
        assert bytes.fromhex(mark or "") in port.store[session_id]
        seen.add(session_id)
    assert len(seen) == 3


def test_it_is_not_told_before_the_handshake_is_over_nor_of_what_is_no_connection() -> None:
    assert lineage(object()) is None


def test_a_session_of_before_gets_one_when_it_is_renewed(place: Place, hot_path: str) -> None:
    """As those of a node of 0.1.0, which marks nothing."""
    port = DictPort()
    server = server_context("stdlib", "1.3")
    attach(server, port)
    client = client_context("1.3")
    first = visit(server, client)
    mark = bytes.fromhex(lineage(first.server.tls) or "")
    for session_id, der in port.store.items():
        port.store[session_id] = _unmarked(der, mark)
    back = visit(server, client, session=first.session)
    assert back.resumed
    again = lineage(back.server.tls)
    assert again not in (None, mark.hex())
    assert lineage(visit(server, client, session=back.session).server.tls) == again


def _unmarked(der: bytes, mark: bytes) -> bytes:
    """The DER of a session without its application data, [18] OCTET STRING, which is the last element but flags."""
    part = bytes((0xB2, len(mark) + 2, 0x04, len(mark))) + mark
    assert part in der
    body = der.replace(part, b"")
    head = 3 if der[1] == 0x81 else 2
    content = body[head:]
    return bytes((0x30, 0x81, len(content))) + content if len(content) > 127 else bytes((0x30, len(content))) + content


def _entries(node: object) -> int:
    return int(node.stats()["vips"]["shop"]["entries"])  # type: ignore[attr-defined]
