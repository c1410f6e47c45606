"""Takes messages from the mesh's sockets and hands them over, with one call for what is here. Knows no protocol.

Where the compiled module finds the libzmq that pyzmq has loaded, it is asked: pyzmq gives the interpreter's lock away
for each frame, and a busy server's other threads take it. Else pyzmq does it, with the same outcome. The caller holds
the transport's lock; nothing here waits.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import zmq

import meshcache.hot as hot
from meshcache.edges import native
from meshcache.edges.sockets import has_message

Receive: TypeAlias = Callable[["zmq.Socket[bytes]", int], list[tuple[bytes, bytes]]]
"""Return up to so many messages that are here on a ROUTER, each with the name of the connection it came on. When fewer
are returned, the socket's descriptor tells of the next one."""

Send: TypeAlias = Callable[["zmq.Socket[bytes]", bytes], bool]
"""Hand a message to a DEALER; False when its queue is full."""

SendEach: TypeAlias = Callable[["list[zmq.Socket[bytes]]", bytes], list[int]]
"""Hand a message to several DEALERs; return the places of those whose queues are full."""

Ready: TypeAlias = Callable[["select.epoll"], list[int]]
"""Return descriptors of which an epoll tells now."""

_BACKEND = "zmq.backend.cython._zmq"
"""Of pyzmq: what is linked with libzmq. Another one, such as PyPy's, goes without the compiled way."""

NAME_BYTES = 5
"""Of the name that libzmq gives a connection to the ROUTER: a zero byte and a number. Who connects may bring one of its
own instead (ZMQ_ROUTING_ID), such as the name of a link that this node has made. What comes under one is an empty
message of nobody, which the core counts as one that it can't read."""


def receive_by_pyzmq(router: zmq.Socket[bytes], count: int) -> list[tuple[bytes, bytes]]:
    """Return messages that have come, each with the name of its connection; `count` at most."""
    received: list[tuple[bytes, bytes]] = []
    recv = router.recv
    try:
        # Asked before each one: that nothing is here costs three times as much when it is raised. Like a `recv`
        # that finds nothing, a look that finds nothing makes the descriptor tell of what comes next.
        while len(received) < count and has_message(router):
            connection, message = recv(zmq.NOBLOCK), recv(zmq.NOBLOCK, copy=False)
            # A message of a DEALER of ours has one frame; more of them are no message at all.
            more = message.more and router.recv_multipart(zmq.NOBLOCK)
            given = len(connection) == NAME_BYTES and connection[0] == 0
            received.append((connection, b"" if more else message.bytes) if given else (b"", b""))
    except zmq.Again:
        pass
    return received


def send_by_pyzmq(dealer: zmq.Socket[bytes], payload: bytes) -> bool:
    """Return whether a message could be handed over."""
    try:
        dealer.send(payload, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


def send_each_by_pyzmq(dealers: list[zmq.Socket[bytes]], payload: bytes) -> list[int]:
    """Return the places of those that had no room for it."""
    return [at for at, dealer in enumerate(dealers) if not send_by_pyzmq(dealer, payload)]


def ready_by_python(readable: select.epoll) -> list[int]:
    """Return descriptors of which an epoll tells now."""
    return [descriptor for descriptor, _ in readable.poll(0)]


def compiled() -> tuple[Receive, Send, SendEach, Ready] | None:
    """Return what the compiled module does it with, or None."""
    backend = getattr(sys.modules.get(_BACKEND), "__file__", None)
    if hot.compiled is None or backend is None or not hot.compiled.use_zmq(backend):
        return None
    receive_all, send_one, ready_in = hot.compiled.receive, hot.compiled.send, hot.compiled.ready
    send_to_each = hot.compiled.send_each

    def receive_compiled(router: zmq.Socket[bytes], count: int) -> list[tuple[bytes, bytes]]:
        messages: list[tuple[bytes, bytes]] = receive_all(router.underlying, count)
        return messages

    def send_compiled(dealer: zmq.Socket[bytes], payload: bytes) -> bool:
        sent: bool = send_one(dealer.underlying, payload)
        return sent

    def send_each_compiled(dealers: list[zmq.Socket[bytes]], payload: bytes) -> list[int]:
        full: list[int] = send_to_each([dealer.underlying for dealer in dealers], payload)
        return full

    def ready_compiled(readable: select.epoll) -> list[int]:
        descriptors: list[int] = ready_in(readable.fileno())
        return descriptors

    return receive_compiled, send_compiled, send_each_compiled, ready_compiled


def new_lock() -> Any:
    """Return a lock to go around the sockets, one that C can hold too where C may read them."""
    return native.Lock() if hot.compiled is None or receive is receive_by_pyzmq else hot.compiled.Lock()


receive, send, send_each, ready = compiled() or (
    receive_by_pyzmq,
    send_by_pyzmq,
    send_each_by_pyzmq,
    ready_by_python,
)
