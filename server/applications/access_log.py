"""A line for each connection that got past its handshake: who came, what it resumed, how much went and how it ended.

Off unless ``[log] access`` names where. Written by a thread, so that a slow disk or reader holds no client up; what it
can't keep up with is dropped and counted. No secrets: no session, no bytes of anybody's, and of a server name only what
can be in one.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from meshcache import ConfigError, LogSettings

from .application import Application, Client

WAITING_MAX = 10_000
"""Lines that wait for the writer: some megabytes."""

STOP_S = 2.0

_NO_LINE = b""
"""Wakes the writer."""

_STDOUT = Path("/dev/stdout")
_STRANGE = re.compile(r"[^A-Za-z0-9._:-]")

log = logging.getLogger("meshcache.server")


class AccessLog:
    """One server's. `open` it, `write` from the loop, `reopen` when the file was moved away, `close` at the end.

    The file is the writer's alone once it is open: whatever that waits for, nobody waits for it but `close`.
    """

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self.dropped = 0
        self._lines: queue.Queue[bytes | None] = queue.Queue(WAITING_MAX)
        self._moved = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def open(self) -> None:
        """Begin. Raises ConfigError when the file can't be written to."""
        descriptor = _open(self.settings.access)
        if descriptor is not None:
            self._thread = threading.Thread(
                target=self._run, args=(descriptor,), name="meshcache-access-log", daemon=True
            )
            self._thread.start()

    @property
    def on(self) -> bool:
        """Whether lines are wanted."""
        return self._thread is not None

    def write(self, what: dict[str, Any]) -> None:
        """Take one line; never waits."""
        line = json.dumps(what) if self.settings.access_format == "json" else _text(what)
        try:
            self._lines.put_nowait(line.encode() + b"\n")
        except queue.Full:
            self.dropped += 1

    def reopen(self) -> None:
        """Go on in a new file of that name, soon; in the old one if there can't be one. Never waits."""
        if self.on:
            self._moved.set()
            with suppress(queue.Full):  # then the writer has enough to wake up for
                self._lines.put_nowait(_NO_LINE)

    def close(self) -> None:
        """Let the writer write what waits, and end. One that takes longer than a moment is left alone."""
        thread, self._thread = self._thread, None
        if thread is not None:
            until = time.monotonic() + STOP_S
            with suppress(queue.Full):
                self._lines.put(None, timeout=STOP_S)
            thread.join(max(until - time.monotonic(), 0.0))

    def _run(self, descriptor: int) -> None:
        while (line := self._lines.get()) is not None:
            if self._moved.is_set():
                self._moved.clear()
                descriptor = self._opened_anew(descriptor)
            if line:
                self._put(descriptor, line)
        os.close(descriptor)

    def _opened_anew(self, before: int) -> int:
        try:
            fresh = _open(self.settings.access)
        except ConfigError as error:
            log.error("the access log goes on in the old file: %s", error)  # noqa: TRY400
            return before
        assert fresh is not None, "there is a file, since there was one"
        os.close(before)
        return fresh

    def _put(self, descriptor: int, line: bytes) -> None:
        try:
            os.write(descriptor, line)
            self._failing = False
        except OSError as error:
            self.dropped += 1
            if not self._failing:
                log.error("the access log can't be written: %s", error.strerror)  # noqa: TRY400
            self._failing = True


def _open(path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        if path == _STDOUT:  # a socket, as journald's, can't be opened by its name
            return os.dup(sys.stdout.fileno())
        # O_NONBLOCK: a FIFO that nobody reads mustn't hang the start.
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
    except OSError as error:
        raise ConfigError(
            [f"log.access: {path} can't be written to: {(error.strerror or str(error)).lower()}"]
        ) from None


def _text(what: dict[str, Any]) -> str:
    return " ".join(f"{key}={'-' if value is None or value == '' else value}" for key, value in what.items())


class Logged:
    """The application of one client, and the client of that application: it counts between them."""

    def __init__(self, client: Client, make: Callable[[Client], Application], access: AccessLog, facts: Facts) -> None:
        self._client = client
        self._access = access
        self._facts = facts
        self._began, self._began_at = time.time(), time.monotonic()
        self._peer = client.endpoint("peername")
        self._received = self._sent = 0
        self._ended = ""
        self._told = False
        self._application = make(self)

    # What the connection calls.

    def start(self) -> None:
        self._application.start()

    def receive(self, plain: bytes) -> None:
        self._received += len(plain)
        self._application.receive(plain)

    def end(self) -> None:
        self._ended = self._ended or "closed"
        self._application.end()

    def lost(self) -> None:
        if not self._told:
            self._told = True
            self._access.write(self._line())
        self._application.lost()

    def stalled(self) -> None:
        self._application.stalled()

    def flowing(self) -> None:
        self._application.flowing()

    def drain(self) -> None:
        self._application.drain()

    # What the application calls.

    @property
    def tls(self) -> SSL.Connection:
        return self._client.tls

    def endpoint(self, which: str) -> tuple[str, int] | None:
        return self._client.endpoint(which)

    def send(self, plain: bytes) -> None:
        self._sent += len(plain)
        self._client.send(plain)

    def send_end(self) -> None:
        self._client.send_end()

    def close(self) -> None:
        self._ended = self._ended or "closed"
        self._client.close()

    def abort(self, kind: str, backend: str = "") -> None:
        self._ended = kind
        self._client.abort(kind, backend)

    def fault(self, kind: str, backend: str = "") -> None:
        self._ended = kind
        self._client.fault(kind, backend)

    def pause(self) -> None:
        self._client.pause()

    def resume(self) -> None:
        self._client.resume()

    def acknowledge_early(self) -> None:
        self._client.acknowledge_early()

    def touch(self) -> None:
        self._client.touch()

    def _line(self) -> dict[str, Any]:
        return {
            "time": datetime.fromtimestamp(self._began, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "vip": self._facts.vip,
            "client": None if self._peer is None else f"{self._peer[0]}:{self._peer[1]}",
            **self._facts.of(self._client.tls),
            "received": self._received,
            "sent": self._sent,
            "seconds": round(time.monotonic() - self._began_at, 3),
            "ended": self._ended or "cut short",
        }


class Facts:
    """What is told of a VIP's connections: `resumption` asks the node."""

    def __init__(self, vip: str, resumption: Callable[[SSL.Connection], Any]) -> None:
        self.vip = vip
        self._resumption = resumption

    def of(self, tls: SSL.Connection) -> dict[str, Any]:
        """About one connection."""
        resumption = self._resumption(tls)
        alpn = tls.get_alpn_proto_negotiated().decode("ascii", "replace")
        return {
            "server_name": _STRANGE.sub("?", resumption.server_name or "") or None,
            "tls": tls.get_protocol_version_name(),
            "cipher": tls.get_cipher_name(),
            "alpn": _STRANGE.sub("?", alpn) or None,
            "session": resumption.outcome.value,
            "origin": resumption.origin,
        }
