"""Faults at the edge: whatever goes wrong in a callback, the handshake goes on and the fault is counted."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.core.scope import Names
from meshcache.core.session import DER_BYTES_MAX
from meshcache.tls import creation
from meshcache.tls.contexts import attach_context, resumption
from meshcache.tls.scopes import Scopes
from tests.support.waiting import wait_until
from tests.tls.world import (
    KINDS,
    VERSIONS,
    DictPort,
    attach,
    client_context,
    server_context,
    visit,
)

pytestmark = [pytest.mark.parametrize("kind", KINDS), pytest.mark.parametrize("version", VERSIONS)]


class FaultyPort(DictPort):
    """Raises in the method named `broken`."""

    broken: str = ""
    error: type[BaseException] = RuntimeError

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "broken"):
            raise object.__getattribute__(self, "error")("on purpose")
        return object.__getattribute__(self, name)


@pytest.mark.parametrize(
    ("broken", "where"), [("find", "get"), ("created", "new"), ("full", "new"), ("hit_not_resumed", "new")]
)
def test_what_the_port_raises_is_a_counted_fault(kind: str, version: str, broken: str, where: str) -> None:
    port, client = FaultyPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    port.broken = broken
    name = "b.test" if broken in ("full", "hit_not_resumed") else "a.test"
    second = visit(context, client, name=name, session=first.session if broken != "created" else None)
    assert not second.resumed
    assert port.count("fault", where) == 1
    port.broken = ""
    assert visit(context, client, session=first.session).resumed, "and nothing is broken for good"


@pytest.mark.parametrize("found", [("text", 1), (b"", "token"), (None, None), 7, (b"\x30", 1 << 80), ((), ())])
def test_a_port_that_finds_nonsense_is_a_miss(kind: str, version: str, found: Any) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    port.find = lambda _id: found  # type: ignore[method-assign]
    assert not visit(context, client, session=first.session).resumed
    assert port.count("fault", "get") + len(port.unusable_reasons()) == 1


class BrokenScopes(Scopes):
    def __init__(self, answer: Any) -> None:
        super().__init__(Names(("a.test",)), bytes(32))
        self.answer = answer

    def of_extension(self, extension: bytes | None) -> bytes | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: bytes = self.answer
        return answer


@pytest.mark.parametrize("broken", [BrokenScopes(KeyError("x")), BrokenScopes(7), BrokenScopes("scope")])
def test_a_fault_in_the_client_hello_shares_nothing(kind: str, version: str, broken: BrokenScopes) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attachment = attach(context, port)
    first = visit(context, client)
    attachment.scopes = broken
    assert not visit(context, client, session=first.session).resumed
    assert len(port.store) == 1
    assert port.count("hit") == 0
    assert port.count("fault", "client_hello") == 1


def test_ctrl_c_in_a_callback_reaches_the_program_after_the_handshake(kind: str, version: str) -> None:
    port, client = FaultyPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    port.error, port.broken = KeyboardInterrupt, "find"

    def shake_until_interrupted() -> None:
        second = visit(context, client, session=first.session)
        assert not second.resumed
        port.broken = ""
        wait_until(lambda: False, within_s=5)

    with pytest.raises(KeyboardInterrupt):
        shake_until_interrupted()


def test_a_session_larger_than_the_largest_is_not_kept(
    kind: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    visit(context, client)
    size = len(next(iter(port.store.values())))
    assert size < DER_BYTES_MAX
    monkeypatch.setattr(creation, "DER_BYTES_MAX", size - 8)  # ages and ticket numbers take 1 to 5 bytes
    port.store.clear()
    visit(context, client)
    assert port.store == {}
    assert port.count("full") == 2


def test_a_hit_that_openssl_does_not_resume_is_counted_once(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context, other = server_context(kind, version), server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    there = DictPort(store=port.store)
    attach_context(other, there, Scopes(Names(("a.test",)), b"other"))
    second = visit(other, client, session=first.session)
    assert not second.resumed
    assert resumption(second.server.tls) == 0
    assert [event for event in there.log if event[0] != "created"] == [("hit",), ("full",), ("hit_not_resumed",)]


def test_ids_on_the_wire_reach_the_port_as_they_are(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    asked: list[bytes] = []
    port.find = lambda session_id: asked.append(session_id)  # type: ignore[method-assign]
    visit(context, client, session=first.session)
    assert asked == [port.made[0][0]]
    assert len(asked[0]) == 32
