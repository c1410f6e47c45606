from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.core.policy.gates import Verdict
from meshcache.core.policy.scope import Names
from meshcache.tls.scopes import Scopes
from tests.tls.world import (
    KINDS,
    VERSIONS,
    DictPort,
    PyOpenSSLEnd,
    attach,
    client_context,
    server_context,
    server_end,
    shake_hands,
    visit,
)

NAME_CLASS = Verdict.NAME_CLASS

pytestmark = [
    pytest.mark.usefixtures("hot_path"),
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.parametrize("version", VERSIONS),
]


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
def test_a_fault_shares_nothing(kind: str, version: str, broken: BrokenScopes) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attachment = attach(context, port)
    first = visit(context, client)
    attachment.scopes = broken
    assert not visit(context, client, session=first.session).resumed
    assert len(port.store) == 1
    assert port.count("hit") == 0
    assert port.count("fault", "client_hello") == 1


def test_a_connection_apart_looks_nothing_up(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    port.log.clear()
    visit(context, client, name="elsewhere.test", session=first.session)
    assert port.log == [("lookup_refused", NAME_CLASS), ("full",), ("session_refused", NAME_CLASS)]


def test_the_longest_name_a_client_can_send_shares_nothing(kind: str, version: str) -> None:
    port = DictPort()
    context = server_context(kind, version)
    attach(context, port)
    client = PyOpenSSLEnd(SSL.Context(SSL.TLS_CLIENT_METHOD), server=False)
    client.tls.set_tlsext_host_name(b"a" * 255)
    shake_hands(client, server_end(context))
    assert port.log[-2:] == [("full",), ("session_refused", NAME_CLASS)]


def test_a_connection_apart_stays_so_whatever_others_do(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    open_ones = [visit(context, client, name="elsewhere.test", close=False) for _ in range(7)]
    assert not visit(context, client, name="elsewhere.test", session=open_ones[0].session).resumed
    assert port.store == {}
