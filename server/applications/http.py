"""Reads the head of an HTTP/1.1 request (RFC 9112), strictly; reads no body and answers nothing.

What two parsers could read in two ways is refused: that is where request smuggling starts (RFC 9112 section 11.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES_MAX = 16 * 1024
"""Request line and header fields together; nginx takes 8 KiB a line, Apache 8 KiB, node.js 16 KiB in all."""

FIELDS_MAX = 100
"""As Apache's LimitRequestFields."""

_END = b"\r\n\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):([^\x00-\x08\x0a-\x1f\x7f]*)")
"""The blanks around a value are cut off afterwards: repeats side by side that all take blanks would be tried in every
division of a line of them."""

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)
_HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


class RequestError(Exception):
    """The request can't be answered as asked; the connection has to be closed after this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What matters of a request's head. ``host`` is what it is for: lower case, without port; empty if it says none.

    ``body_bytes`` is None for a body whose end only its chunks tell.
    """

    method: str
    host: str
    body_bytes: int | None
    keep_alive: bool


def take_head(buffer: bytearray) -> Request | None:
    """Take one request's head off the front of `buffer`; None while it isn't complete.

    Raises RequestError, after which the rest of the buffer means nothing.
    """
    if buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2: ignore an empty line before a request
        del buffer[:2]
    end = buffer.find(_END, 0, HEAD_BYTES_MAX)
    if end < 0:
        if len(buffer) >= HEAD_BYTES_MAX:
            raise RequestError(431)
        return None
    head = bytes(buffer[:end])
    del buffer[: end + len(_END)]
    return parse_head(head)


def parse_head(head: bytes) -> Request:
    """Read a head without the empty line that ends it. Raises RequestError."""
    first, *lines = head.split(b"\r\n")
    method, target, minor = _parse_request_line(first)
    fields = _parse_fields(lines)
    return Request(
        method=method,
        host=_host(target, fields, minor),
        body_bytes=_body_bytes(fields, minor),
        keep_alive=minor >= 1 and b"close" not in _tokens(fields, b"connection"),
    )


def _parse_request_line(line: bytes) -> tuple[str, bytes, int]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise RequestError(400)
    if match[3] != b"1":
        raise RequestError(505)
    return match[1].decode(), match[2], int(match[4])


def _parse_fields(lines: list[bytes]) -> dict[bytes, list[bytes]]:
    if len(lines) > FIELDS_MAX:
        raise RequestError(431)
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise RequestError(400)
        fields.setdefault(match[1].lower(), []).append(match[2].strip(b" \t"))
    return fields


def _host(target: bytes, fields: dict[bytes, list[bytes]], minor: int) -> str:
    """RFC 9112 section 3.2: exactly one Host in HTTP/1.1; an absolute target overrides it (section 3.2.2)."""
    hosts = fields.get(b"host", [])
    if len(hosts) > 1 or (minor >= 1 and not hosts):
        raise RequestError(400)
    absolute = _ABSOLUTE.match(target)
    match = _HOST.fullmatch(absolute[1] if absolute else hosts[0] if hosts else b"")
    if match is None or (hosts and not _HOST.fullmatch(hosts[0])):
        raise RequestError(400)
    return match[1].decode().lower().removesuffix(".")


def _body_bytes(fields: dict[bytes, list[bytes]], minor: int) -> int | None:
    """RFC 9112 section 6.3. Both lengths at once, or any doubt about one of them, is refused."""
    lengths, codings = fields.get(b"content-length", []), fields.get(b"transfer-encoding", [])
    if codings:
        if lengths or minor == 0:
            raise RequestError(400)
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise RequestError(501)
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise RequestError(400)
    return int(lengths[0])


def _tokens(fields: dict[bytes, list[bytes]], name: bytes) -> set[bytes]:
    return {token.strip().lower() for value in fields.get(name, []) for token in value.split(b",")}
