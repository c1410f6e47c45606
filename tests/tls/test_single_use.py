"""Tests of `tls.single_use`: what a session remembers while it is being used up, on both paths, over real OpenSSL."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.tls.contexts import lineage
from meshcache.tls.single_use import ID_BYTES, LINEAGE_BYTES, NOTE_BYTES
from tests.tls.world import DictPort, StdlibEnd, attach, client_context, server_context, server_end, shake_hands

pytestmark = pytest.mark.usefixtures("hot_path")


def attached(kind: str, version: str, **facts: Any) -> tuple[Any, DictPort]:
    context, port = server_context(kind, version), DictPort(**facts)
    attach(context, port)
    return context, port


def back(context: Any, client: Any, session: Any = None) -> tuple[StdlibEnd, Any]:
    end, server = StdlibEnd(client, server=False, name="a.test", session=session), server_end(context)
    shake_hands(end, server)
    return end, server


def test_a_note_is_a_lineage_and_an_id() -> None:
    assert NOTE_BYTES == LINEAGE_BYTES + ID_BYTES


@pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])
@pytest.mark.parametrize(("version", "single_use", "told"), [("1.3", True, 1), ("1.3", False, 0), ("1.2", True, 0)])
def test_the_port_is_told_once_when_the_handshake_has_ended(
    kind: str, version: str, single_use: bool, told: int
) -> None:
    context, port = attached(kind, version, single_use=single_use)
    client = client_context(version)
    first, _ = back(context, client)
    assert ("consumed",) not in port.log
    ids = set(port.store)
    _, server = back(context, client, first.tls.session)
    assert server.resumed
    assert port.log.count(("consumed",)) == told
    assert len(ids - set(port.store)) == told


def test_the_session_that_follows_has_the_lineage_and_no_note() -> None:
    context, port = attached("stdlib", "1.3", single_use=True)
    client = client_context("1.3")
    first, one = back(context, client)
    followed, two = back(context, client, first.tls.session)
    _, three = back(context, client, followed.tls.session)
    assert two.resumed
    assert three.resumed
    lineages = {lineage(end.tls) for end in (one, two, three)}
    assert len(lineages) == 1
    sizes = {len(der) for der in port.store.values()}
    assert max(sizes) - min(sizes) <= 4, "an id in one would be 32 bytes more"


def test_an_id_that_was_offered_only_uses_nothing_up() -> None:
    context, port = attached("stdlib", "1.3", single_use=True)
    client = client_context("1.3")
    first, _ = back(context, client)
    end, server = StdlibEnd(client, server=False, name="a.test", session=first.tls.session), server_end(context)
    end.shake()
    server.feed(end.take())
    server.shake()
    assert ("hit",) in port.log
    assert ("consumed",) not in port.log
