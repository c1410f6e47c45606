"""The private line between the process that leaves and the one that takes its place: words, sockets and sessions.

A Unix socket between two processes of one user, which is checked at both ends (SO_PEERCRED, unix(7)): session keys go
over it. Blocks; use it off the loop.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path
from typing import Any, Self

from meshcache import MeshcacheError

ANSWER_S = 60.0
"""For the other end to do its part, the slowest of which is to start a node on a busy machine."""

_HEAD = struct.Struct(">cI")
_WORD, _FRAME = b"w", b"f"
_PART_BYTES_MAX = 1 << 20
_CREDENTIALS = struct.Struct("3i")


class LinkError(MeshcacheError):
    """The other end is gone, silent, another user's, or says what can't be understood."""


class Link:
    """One end. Every method raises LinkError."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.settimeout(ANSWER_S)
        self.process_id, user, _ = _CREDENTIALS.unpack(
            end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if user != os.geteuid():
            end.close()
            raise LinkError(f"process {self.process_id} is user {user}'s; only the same user may take over")

    @classmethod
    def to(cls, path: Path) -> Self:
        """Connect to the successor, which listens at `path`."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.settimeout(ANSWER_S)
            end.connect(str(path))
        except OSError as error:
            end.close()
            raise LinkError(f"nobody answers at {path}: {(error.strerror or str(error)).lower()}") from None
        return cls(end)

    def say(self, given: socket.socket | None = None, **word: Any) -> None:
        """Send a word, and a socket with it, which both have from then on."""
        body = json.dumps(word).encode()
        self._send(_WORD, body, [] if given is None else [given.fileno()])

    def send_frame(self, frame: bytes) -> None:
        """Send some sessions."""
        self._send(_FRAME, frame, [])

    def hear(self) -> tuple[dict[str, Any] | bytes, socket.socket | None]:
        """Return the next word, with the socket that came with it, or the next sessions."""
        kind, length, given = self._head()
        body = self._read(length)
        if kind == _FRAME:
            return body, given
        try:
            word = json.loads(body)
        except ValueError:
            word = None
        if kind != _WORD or not isinstance(word, dict):
            raise LinkError("the other process says what can't be understood")
        return word, given

    def hear_word(self) -> tuple[dict[str, Any], socket.socket | None]:
        """Return the next word, where no sessions are due."""
        word, given = self.hear()
        if isinstance(word, bytes):
            raise LinkError("the other process sends sessions that aren't due")
        return word, given

    def close(self) -> None:
        """Let the other end know that it is over."""
        self._end.close()

    def _send(self, kind: bytes, body: bytes, descriptors: list[int]) -> None:
        try:
            head = _HEAD.pack(kind, len(body))
            if descriptors:
                socket.send_fds(self._end, [head], descriptors)
                self._end.sendall(body)
            else:
                self._end.sendall(head + body)
        except OSError as error:
            raise LinkError(f"the other process is gone: {(error.strerror or str(error)).lower()}") from None

    def _head(self) -> tuple[bytes, int, socket.socket | None]:
        try:
            head, descriptors, _, _ = socket.recv_fds(self._end, _HEAD.size, 1)
        except TimeoutError:
            raise LinkError(f"the other process said nothing for {ANSWER_S:g} s") from None
        except OSError as error:
            raise LinkError(f"the other process is gone: {(error.strerror or str(error)).lower()}") from None
        given = None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            given = socket.socket(fileno=descriptor)
        kind, length = _HEAD.unpack(head + self._read(_HEAD.size - len(head)))
        if length > _PART_BYTES_MAX:
            raise LinkError("the other process says what can't be understood")
        return kind, length, given

    def _read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            try:
                more = self._end.recv(length - len(parts))
            except OSError as error:
                raise LinkError(f"the other process is gone: {(error.strerror or str(error)).lower()}") from None
            if not more:
                raise LinkError("the other process is gone")
            parts += more
        return bytes(parts)
