"""Sessions as OpenSSL writes them, taken apart: the ticket in one can be changed before it is offered."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator

_TIME, _TIMEOUT, _HINT, _TICKET = 0xA1, 0xA2, 0xA9, 0xAA
"""Of the ASN.1 that i2d_SSL_SESSION(3) writes: [1], [2], [9] and [10]."""


def changed(pem: str, change: Callable[[bytes], bytes]) -> str:
    """The session with another ticket, begun now and good for a day as far as its client knows."""
    parts = list(_parts(_body(_der(pem))))
    assert any(tag == _TICKET for tag, _ in parts), "it has no ticket"
    made = []
    for tag, value in parts:
        if tag == _TICKET:
            value = _element(0x04, change(_body(value)))
        elif tag == _TIME:
            value = _number(int(time.time()))
        elif tag in (_TIMEOUT, _HINT):
            value = _number(86_400)
        made.append(_element(tag, value))
    text = base64.encodebytes(_element(0x30, b"".join(made))).decode()
    return f"-----BEGIN SSL SESSION PARAMETERS-----\n{text}-----END SSL SESSION PARAMETERS-----\n"


def _der(pem: str) -> bytes:
    found = re.search(r"-----BEGIN SSL SESSION PARAMETERS-----(.*?)-----END", pem, re.DOTALL)
    assert found is not None
    return base64.b64decode(found[1])


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, where the value begins, and where it ends."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[at : at + count]), at + count
    return tag, at, at + length


def _body(data: bytes) -> bytes:
    _, start, end = _header(data, 0)
    return data[start:end]


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, start, at = _header(data, at)
        yield tag, data[start:at]


def _element(tag: int, value: bytes) -> bytes:
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    length = len(value).to_bytes(2)
    return bytes([tag, 0x82]) + length + value


def _number(value: int) -> bytes:
    return _element(0x02, value.to_bytes(5).lstrip(b"\0") if value >> 31 == 0 else value.to_bytes(5))
