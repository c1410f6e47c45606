"""Reads the server name from the first bytes of a connection, to choose a certificate before OpenSSL sees any of them.

Judges nothing: what isn't a well-formed ClientHello has no name here, and OpenSSL says to the client what is wrong.
"""

from __future__ import annotations

HELLO_BYTES_MAX = 32 * 1024
"""Of records that a ClientHello may fill; OpenSSL itself takes 16 KiB and a little (SSL3_RT_MAX_PLAIN_LENGTH)."""

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0
_RECORD_HEAD, _RECORD_MAX = 5, 16_384
_BEFORE_SESSION_ID = 4 + 2 + 32
"""Handshake header, version and random (RFC 8446 section 4.1.2)."""

NAME_BYTES_MAX = 255
"""RFC 1035 section 2.3.4."""


class Incomplete(Exception):  # noqa: N818  # no error: more bytes will come
    """The ClientHello isn't whole yet."""


class HelloReader:
    """Reads the ClientHello of one connection as it comes. Each record is read once, since a client may send as many as
    there are bytes, one at a time.
    """

    __slots__ = ("_at", "_message")

    def __init__(self) -> None:
        self._at = 0
        """Where the next record begins."""
        self._message = bytearray()
        """The handshake message that begins here, out of as many records as it takes (RFC 8446 section 5.1)."""

    def server_name(self, received: bytes | bytearray) -> str | None:
        """Return the host name that the ClientHello at the start of `received` asks for, in lower case and without a
        final dot; `received` is all that has come, each time.

        None when it asks for none, or is no ClientHello that can be read. Raises Incomplete until enough has come.
        """
        try:
            while not self._is_whole():
                self._take_record(received)
            return _name_in(self._message)
        except (IndexError, ValueError):
            return None

    def _is_whole(self) -> bool:
        message = self._message
        return len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big")

    def _take_record(self, received: bytes | bytearray) -> None:
        at = self._at
        if at >= HELLO_BYTES_MAX:
            raise ValueError
        if len(received) > at and received[at] != _HANDSHAKE:
            raise ValueError
        if len(received) < at + _RECORD_HEAD:
            raise Incomplete
        length = int.from_bytes(received[at + 3 : at + 5], "big")
        if received[at + 1] != 3 or not 0 < length <= _RECORD_MAX:
            raise ValueError
        if at == 0 and len(received) > _RECORD_HEAD and received[_RECORD_HEAD] != _CLIENT_HELLO:
            raise ValueError
        end = at + _RECORD_HEAD + length
        if len(received) < end:
            raise Incomplete
        self._message += received[at + _RECORD_HEAD : end]
        self._at = end


def _name_in(message: bytearray) -> str | None:
    at = _BEFORE_SESSION_ID
    at += 1 + message[at]  # session id
    at += 2 + int.from_bytes(message[at : at + 2], "big")  # cipher suites
    at += 1 + message[at]  # compression methods
    end = min(at + 2 + int.from_bytes(message[at : at + 2], "big"), len(message))
    at += 2
    while at + 4 <= end:
        kind, length = int.from_bytes(message[at : at + 2], "big"), int.from_bytes(message[at + 2 : at + 4], "big")
        if kind == _SERVER_NAME:
            return _host_name(message[at + 4 : at + 4 + length])
        at += 4 + length
    return None


def _host_name(body: bytearray) -> str | None:
    """RFC 6066 section 3; OpenSSL takes exactly one name."""
    if len(body) < 5 or body[2] != _HOST_NAME:
        return None
    name = body[5 : 5 + int.from_bytes(body[3:5], "big")]
    if not 0 < len(name) <= NAME_BYTES_MAX:
        return None
    return name.decode("ascii").lower().removesuffix(".")  # what isn't ASCII raises UnicodeDecodeError, a ValueError
