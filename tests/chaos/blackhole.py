"""A TCP proxy that can swallow: every connection stays open, new ones are still accepted, and nothing passes.

Knows nothing of what it carries. Runs on one thread of its own.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536

KERNEL_BYTES = 16_384
"""What the kernel may keep of what nobody reads: little, so that it waits at the sender, where its bound is."""

LOOK_S = 0.02
"""How soon a word from another thread is heeded."""

END_S_MAX = 10.0


class Blackhole:
    """Listens on a free port of 127.0.0.1 and passes everything on to `target`, once that is known."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)  # what it accepts inherits it
        self._selector = selectors.DefaultSelector()
        self._other_end: dict[socket.socket, socket.socket] = {}
        self._target: tuple[str, int] | None = None
        self._swallowing = threading.Event()
        self._stands_still = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.passed = 0
        """Bytes that went through so far, both ways."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def to(self, address: str) -> None:
        """Where connections go."""
        host, _, port = address.rpartition(":")
        self._target = host, int(port)

    def swallow(self) -> None:
        """From when this returns until `open` nothing passes."""
        self._swallowing.set()
        assert self._stands_still.wait(END_S_MAX)

    def open(self) -> None:
        """Everything passes, beginning with what the kernel has kept of the connections that are still there."""
        self._stands_still.clear()
        self._swallowing.clear()

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join(END_S_MAX)
        for each in (self._listener, *self._other_end):
            each.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            if self._swallowing.is_set():
                self._stands_still.set()
                self._ending.wait(LOOK_S)
                continue
            for key, _ in self._selector.select(LOOK_S):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._other_end:
                    self._pass_on(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._target is None:
            client.close()
            return
        try:
            server = socket.create_connection(self._target, timeout=1.0)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.settimeout(END_S_MAX)
            self._other_end[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        other = self._other_end[one]
        try:
            some = one.recv(CHUNK_BYTES)
            other.sendall(some)
            self.passed += len(some)
        except OSError:
            some = b""
        if not some:
            self._close(one, other)

    def _close(self, *ends: socket.socket) -> None:
        for end in ends:
            self._other_end.pop(end, None)
            with suppress(KeyError):
                self._selector.unregister(end)
            end.close()
