"""What somebody sends who saw ids on the wire and holds no key: ClientHellos as bytes, and then an alert."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

from tests.support.material import HOST

CLOSE_S_MAX = 60.0

ALERT = bytes.fromhex("15030300020228")
"""A fatal alert, handshake_failure, in the clear (RFC 5246 section 7.2)."""

_PRE_SHARED_KEY = 41


def client_hello(context: ssl.SSLContext, session: Any = None) -> bytes:
    """The record that a client begins with when it offers `session`."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(received, sent, server_hostname=HOST, session=session)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("a client waits for the server first")


def offered_id(hello: bytes) -> bytes:
    """The id in it that a server looks up: the identity of the pre-shared key (RFC 8446 section 4.2.11), or the session
    id (RFC 5246 section 7.4.1.2).
    """
    at = 5 + 4 + 2 + 32  # record, handshake header, version, random
    session_id = hello[at + 1 : at + 1 + hello[at]]
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 2
    while at < end:
        kind, length = int.from_bytes(hello[at : at + 2], "big"), int.from_bytes(hello[at + 2 : at + 4], "big")
        if kind == _PRE_SHARED_KEY:
            size = int.from_bytes(hello[at + 6 : at + 8], "big")
            return hello[at + 8 : at + 8 + size]
        at += 4 + length
    return session_id


def with_random_id(hello: bytes) -> bytes:
    """The same, for a session that nobody ever made."""
    old = offered_id(hello)
    assert len(old) == 32
    return hello.replace(old, os.urandom(32))


def with_broken_binder(hello: bytes) -> bytes:
    """The same from somebody without the key: the binder is the last thing in it (RFC 8446 section 4.2.11.2)."""
    return hello[:-32] + os.urandom(32)


def say(address: tuple[str, int], hello: bytes) -> bytes:
    """Send it, hear the server's flight (or its alert), answer with an alert, and hang up."""
    with socket.create_connection(address, CLOSE_S_MAX) as plain:
        plain.sendall(hello)
        heard = plain.recv(65_536)
        try:
            plain.sendall(ALERT)
            while plain.recv(65_536):
                pass
        except ConnectionError:
            pass
        return heard
