"""Tests of `tls.minting`: whose ids sessions get. What is in them is for `runtime/vip_ports/test_session_ids.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from meshcache.tls.contexts import session_id
from tests.support.hot_paths import python_path
from tests.tls.world import KINDS, VERSIONS, DictPort, attach, client_context, server_context, visit

__all__ = ["python_path"]

pytestmark = [pytest.mark.parametrize("kind", KINDS), pytest.mark.parametrize("version", VERSIONS)]


@dataclass
class Numbered:
    """Ids that are easy to tell."""

    made: list[bytes] = field(default_factory=list)
    broken: bool = False

    def mint(self) -> bytes:
        if self.broken:
            raise OSError("no randomness")
        self.made.append(len(self.made).to_bytes(32))
        return self.made[-1]

    def minted(self, session_id: bytes) -> bool:
        return session_id in self.made


def test_every_session_gets_the_ports_id_and_resumes_by_it(kind: str, version: str) -> None:
    port, client = DictPort(ids=Numbered()), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    assert session_id(first.server.tls) in port.ids.made
    assert set(port.store) <= set(port.ids.made)
    assert visit(context, client, session=first.session).resumed


def test_without_ids_or_after_a_fault_they_are_random(kind: str, version: str) -> None:
    context, client = server_context(kind, version), client_context(version)
    plain, broken = DictPort(), DictPort(ids=Numbered(broken=True))
    for port in (plain, broken):
        attachment = attach(context, port)
        seen = [visit(context, client) for _ in range(2)]
        assert len(port.store) == 2
        assert all(len(each) == 32 for each in port.store)
        assert visit(context, client, session=seen[0].session).resumed
        attachment.detach()
    assert broken.count("fault", "generate") >= 2


def test_an_id_that_no_member_made_is_counted_apart_from_a_miss(kind: str, version: str) -> None:
    ours, theirs, client = DictPort(ids=Numbered()), DictPort(), client_context(version)
    here, there = server_context(kind, version), server_context(kind, version)
    attach(here, ours)
    attach(there, theirs)
    assert not visit(here, client, session=visit(there, client).session).resumed
    assert (ours.count("foreign"), ours.count("missed")) == (1, 0)
    session = visit(here, client).session
    ours.store.clear()
    assert not visit(here, client, session=session).resumed
    assert (ours.count("foreign"), ours.count("missed")) == (1, 1)
