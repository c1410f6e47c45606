"""One TLS client connection over a socket, as short as a client can make it: connect, handshake, close.

In memory BIOs, because stdlib `ssl` on a socket can't read the TLS 1.3 ticket without waiting for application data.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.material import NAME

TIMEOUT_S = 10.0
"""No step of a handshake on loopback takes this long; a client that waits longer gives up and says so."""

_READ_BYTES = 65536

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Done:
    """What the client knows when its handshake is over. ``ended_ns`` is on CLOCK_MONOTONIC, which is system-wide."""

    resumed: bool
    session: ssl.SSLSession
    ended_ns: int


def client_context(version: str) -> ssl.SSLContext:
    """X25519 and AES-GCM in one protocol version. The certificate isn't checked: that is the client's CPU, not ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_ciphers("ECDHE+AESGCM")
    with suppress(
        ssl.SSLError
    ):  # Debian 12's Python takes no curve of this kind by name; its OpenSSL 3.0 prefers it anyway
        context.set_ecdh_curve("X25519")
    return context


def handshake(
    context: ssl.SSLContext, address: tuple[str, int], session: ssl.SSLSession | None, *, wait_for_close: bool = True
) -> Done:
    """Connect, shake hands, take the new session, say close_notify and close.

    With ``wait_for_close`` the server's own close is waited for, so that its work on this connection is over too.
    """
    with socket.create_connection(address, timeout=TIMEOUT_S) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME, session=session)
        _shake_hands(tls, link, incoming, outgoing)
        before = session.id if session else b""
        while tls.session is None or not tls.session.id or (_is_tls13(tls) and tls.session.id == before):
            _read_ticket(tls, link, incoming)
        done = Done(bool(tls.session_reused), tls.session, time.monotonic_ns())
        _close(tls, link, outgoing, wait=wait_for_close)
    return done


def _shake_hands(tls: ssl.SSLObject, link: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            link.sendall(outgoing.read())
            incoming.write(_receive(link))
        else:
            if outgoing.pending:
                link.sendall(outgoing.read())
            return


def _read_ticket(tls: ssl.SSLObject, link: socket.socket, incoming: ssl.MemoryBIO) -> None:
    """TLS 1.3 (RFC 8446 section 4.6.1): the ticket comes after the handshake, in a record that reading processes."""
    incoming.write(_receive(link))
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return


def _close(tls: ssl.SSLObject, link: socket.socket, outgoing: ssl.MemoryBIO, *, wait: bool) -> None:
    try:
        tls.unwrap()
    except ssl.SSLWantReadError:
        link.sendall(outgoing.read())
    if wait:
        with suppress(ConnectionResetError):
            while link.recv(_READ_BYTES):
                pass


def _receive(link: socket.socket) -> bytes:
    received = link.recv(_READ_BYTES)
    if not received:
        raise ConnectionError("the server closed during the handshake")
    return received


def _is_tls13(tls: ssl.SSLObject) -> bool:
    return tls.version() == "TLSv1.3"
