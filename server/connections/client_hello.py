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


def server_name(received: bytes | bytearray) -> str | None:
    """Return the host name that the ClientHello at the start of `received` asks for, in lower case and without a final
    dot.

    None when it asks for none, or is no ClientHello that can be read. Raises Incomplete until enough has come.
    """
    try:
        return _name_in(_handshake(received))
    except (IndexError, ValueError):
        return None


def _handshake(received: bytes | bytearray) -> bytes:
    """Return the handshake message that begins here, out of as many records as it takes (RFC 8446 section 5.1)."""
    message, at = b"", 0
    while True:
        if at and len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return message
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
        message += received[at + _RECORD_HEAD : end]
        at = end


def _name_in(message: bytes) -> str | None:
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


def _host_name(body: bytes) -> str | None:
    """RFC 6066 section 3; OpenSSL takes exactly one name."""
    if len(body) < 5 or body[2] != _HOST_NAME:
        return None
    name = body[5 : 5 + int.from_bytes(body[3:5], "big")]
    if not 0 < len(name) <= NAME_BYTES_MAX:
        return None
    return name.decode("ascii").lower().removesuffix(".")  # what isn't ASCII raises UnicodeDecodeError, a ValueError
