"""The built-in responder: answers any HTTP/1.1 request with JSON about the connection it came on. Serves no content.

For a VIP without a backend: to try a mesh out, and to see from outside which server resumed whose session.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from ..names import CertificateNames
from .application import Client
from .http import Request, RequestError, take_head

BODY_BYTES_MAX = 1024 * 1024
"""A request's body is read past only to keep the connection; a longer one costs more than a new connection does."""

BATCH_BYTES = 32 * 1024
"""Pipelined answers that are encrypted and sent at once; also how far output runs ahead of a client that stalls."""

_REFUSED_METHODS = frozenset({"CONNECT"})
"""A 200 to CONNECT would open a tunnel (RFC 9110 section 9.3.6)."""


@dataclass(frozen=True, slots=True)
class About:
    """What the answer says of the server, and the names that its certificate and its VIP answer to."""

    server: str
    colo: str
    vip: str
    names: CertificateNames


Resumed = Callable[[], tuple[str, str | None]]
"""How this connection's session came about (``full``, ``local``, ``remote`` or ``pulled``), and from which server."""


class Responder:
    """Answers on one connection: keep-alive and pipelining as a client likes, in order, without waiting for bodies."""

    __slots__ = (
        "_about",
        "_body",
        "_buffer",
        "_client",
        "_draining",
        "_ended",
        "_left_bytes",
        "_resumed",
        "_server_name",
        "_stalled",
    )

    def __init__(self, client: Client, about: About, resumed: Resumed) -> None:
        self._client = client
        self._about = about
        self._resumed = resumed
        self._buffer = bytearray()
        self._left_bytes = 0
        self._body = b""
        self._server_name: str | None = None
        self._stalled = False
        self._ended = False
        self._draining = False

    @property
    def held_up(self) -> bool:
        """Whether the client takes no answers, so that none are made."""
        return self._stalled

    @property
    def unread_bytes(self) -> int:
        """How much of the client's is here and not answered."""
        return len(self._buffer)

    def start(self) -> None:
        """Wait for a request: most clients of a resumption test never send one, so nothing is prepared here."""

    def receive(self, plain: bytes) -> None:
        """Answer every request that is complete; what is left over waits for its rest."""
        self._buffer += plain
        self._answer_all()

    def end(self) -> None:
        """The client sends nothing more: close behind the last answer."""
        self._ended = True
        if not self._stalled:
            self._client.close()

    def lost(self) -> None:
        """Forget what was read."""
        self._buffer.clear()

    def stalled(self) -> None:
        """Answer no more and read no more, so that memory stays bounded."""
        self._stalled = True
        self._client.pause()

    def flowing(self) -> None:
        """Go on with what was read before."""
        self._stalled = False
        self._client.resume()
        self._answer_all()
        if self._ended and not self._stalled:
            self._client.close()

    def drain(self) -> None:
        """Close now, or behind the request that has begun to arrive."""
        self._draining = True
        if not self._buffer and not self._left_bytes:
            self._client.close()

    def _answer_all(self) -> None:
        while not self._stalled:
            answers, last = self._answer_some()
            if answers:
                self._client.touch()
                self._client.send(answers)
            if last:
                self._client.close()
            if last or not answers:
                return

    def _answer_some(self) -> tuple[bytes, bool]:
        """Return answers up to a batch, and whether the connection ends behind them."""
        answers = bytearray()
        try:
            while len(answers) < BATCH_BYTES:
                self._skip_body()
                request = None if self._left_bytes else take_head(self._buffer)
                if request is None:
                    break
                status, keep_alive = self._judge(request)
                answers += self._answer(status, keep_alive, with_body=request.method != "HEAD")
                if not keep_alive:
                    return bytes(answers), True
        except RequestError as error:
            answers += self._answer(error.status, keep_alive=False)
            return bytes(answers), True
        return bytes(answers), False

    def _skip_body(self) -> None:
        skipped = min(self._left_bytes, len(self._buffer))
        del self._buffer[:skipped]
        self._left_bytes -= skipped

    def _judge(self, request: Request) -> tuple[int, bool]:
        """Return the status, and whether the connection goes on.
        A body is read past after the answer, if its end is known.
        """
        if request.method in _REFUSED_METHODS:
            return 501, False
        length = request.body_bytes
        keep_alive = request.keep_alive and not self._draining and length is not None and length <= BODY_BYTES_MAX
        self._left_bytes = length or 0
        return (200 if self._is_ours(request.host) else 421), keep_alive

    def _is_ours(self, host: str) -> bool:
        """RFC 9110 section 7.4: refuse a request for a host that this connection's certificate doesn't cover.

        Without SNI the client can't have checked any name of ours, and addresses are all it may know.
        """
        if self._server_name is None:
            name = self._client.tls.get_servername() or b""
            self._server_name = name.decode("ascii", "replace").lower().removesuffix(".")
        return not self._server_name or not host or host == self._server_name or self._about.names.cover(host)

    def _answer(self, status: int, keep_alive: bool, with_body: bool = True) -> bytes:
        body = self._about_connection() if status == 200 else _problem(status)
        fields = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Date: {_date(int(time.time()))}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            *(() if keep_alive else ("Connection: close",)),
            "\r\n",
        )
        return "\r\n".join(fields).encode() + (body if with_body else b"")

    def _about_connection(self) -> bytes:
        """Return what is the same for every request of a connection; made once."""
        if not self._body:
            session, origin = self._resumed()
            about = {
                "server": self._about.server,
                "colo": self._about.colo,
                "vip": self._about.vip,
                "tls": self._client.tls.get_protocol_version_name(),
                "session": session,
                "origin": origin,
            }
            self._body = json.dumps(about).encode() + b"\n"
        return self._body


def _problem(status: int) -> bytes:
    return json.dumps({"error": HTTPStatus(status).phrase}).encode() + b"\n"


@lru_cache(maxsize=1)
def _date(unix_s: int) -> str:
    """RFC 9110 section 6.6.1; made once a second."""
    return formatdate(unix_s, usegmt=True)
