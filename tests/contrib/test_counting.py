"""Real handshakes on contexts whose server tells nobody."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import weakref
from collections import Counter
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.contrib.counting import count_handshakes
from tests.tls.world import KINDS, TLS_ERRORS, VERSIONS, client_context, server_context, server_end, visit


class Node:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def handshake_done(self, vip: str, connection: object) -> None:
        assert isinstance(connection, (ssl.SSLObject, ssl.SSLSocket, SSL.Connection))
        self.counts[f"{vip} done"] += 1

    def handshake_failed(self, vip: str) -> None:
        self.counts[f"{vip} failed"] += 1


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_handshake_is_counted_once_resumed_or_not(kind: str, version: str) -> None:
    node, context, client = Node(), server_context(kind, version), client_context(version)
    for _ in range(2):
        count_handshakes(context, node, "shop")
    session = visit(context, client).session
    assert node.counts == {"shop done": 1}
    visit(context, client, session=session)
    assert node.counts == {"shop done": 2}


def test_whoever_a_context_serves_last_is_told(kind: str) -> None:
    former, latter, context = Node(), Node(), server_context(kind)
    count_handshakes(context, former, "shop")
    count_handshakes(context, latter, "pay")
    visit(context, client_context())
    assert (former.counts, latter.counts) == ({}, {"pay done": 1})


def test_one_that_fails_is_counted_as_failed_and_once() -> None:
    node, context = Node(), server_context("stdlib", "1.3")
    count_handshakes(context, node, "shop")
    end = server_end(context)
    end.feed(b"GET / HTTP/1.1\r\n\r\n")
    for _ in range(2):
        with pytest.raises(TLS_ERRORS):
            end.shake()
    assert node.counts == {"shop failed": 1}


def test_a_handshake_in_the_first_read_is_counted_and_the_connection_works() -> None:
    node, context = Node(), server_context("stdlib")
    count_handshakes(context, node, "shop")
    here, there = socket.socketpair()

    def serve() -> None:
        with context.wrap_socket(there, server_side=True, do_handshake_on_connect=False) as tls:
            assert isinstance(tls, ssl.SSLSocket)
            tls.sendall(tls.recv(10) + tls.recv(10))

    thread = threading.Thread(target=serve)
    thread.start()
    with client_context().wrap_socket(here) as tls:
        tls.sendall(b"one")
        tls.sendall(b"two")
        assert tls.recv(10) + tls.recv(10) in (b"onetwo", b"one" + b"two")
    thread.join(60)
    assert node.counts == {"shop done": 1}


def test_an_info_callback_of_the_application_s_is_left_alone() -> None:
    node, context, seen = Node(), server_context("pyopenssl"), Counter()  # type: ignore[var-annotated]
    context.set_info_callback(lambda *_: seen.update("x"))
    count_handshakes(context, node, "shop")
    visit(context, client_context())
    assert seen
    assert not node.counts


def test_counting_keeps_no_context_alive(kind: str) -> None:
    context: Any = server_context(kind)
    count_handshakes(context, Node(), "shop")
    visit(context, client_context())
    gone = weakref.ref(context)
    del context
    gc.collect()
    assert gone() is None
