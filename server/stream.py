"""The TLS side of one client, between memory BIOs: encrypted bytes in and out, plain bytes in and out.

Touches no socket and no clock. Whoever drives it takes `outgoing` after every step and sends it; since the handshake's
callbacks run inside `handshake`, a new session is with the mesh before the client's last bytes can leave.
"""

from __future__ import annotations

from contextlib import suppress

from OpenSSL import SSL

OUT_BYTES = 64 * 1024
"""One read from the outgoing BIO: four full records; below the size from which malloc maps fresh pages each time."""

RECORD_BYTES = 16 * 1024
"""RFC 8446 section 5.1: the plaintext of a record is at most 2^14 bytes, and SSL_read gives one record at a time."""

SLICE_BYTES = 3 * RECORD_BYTES
"""Plain bytes that are encrypted before they are taken out. A BIO never shrinks (BIO_s_mem(3)), so what is put into it
at once is what the connection keeps; three records and their overhead leave in one `OUT_BYTES` read."""

_BOTH = SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN


class StreamError(Exception):
    """OpenSSL refused what the client sent; ``outgoing`` then holds the alert that says so to the client.

    ``str`` is OpenSSL's reason, such as ``http request``: a fixed text of the library's, never the client's bytes.
    """


class TlsStream:
    """One server side of TLS. After `StreamError` or `close` only `outgoing` and `free` make sense.

    ``established`` is true once the handshake is over, ``ended`` once the client has sent close_notify.
    """

    __slots__ = ("closed", "connection", "ended", "established")

    def __init__(self, context: SSL.Context) -> None:
        self.connection: SSL.Connection = SSL.Connection(context)
        self.connection.set_accept_state()
        self.established = False
        self.ended = False
        self.closed = False

    def handshake(self, data: bytes) -> bool:
        """Go on with the handshake; true once it is over. `data` may hold more than the handshake: `receive(b"")` it.

        Raises StreamError.
        """
        connection = self.connection
        connection.bio_write(data)
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise StreamError(reason_of(error)) from None
        self.established = True
        return True

    def receive(self, data: bytes) -> bytes:
        """The plain bytes that these encrypted ones make complete; sets ``ended`` at the client's close_notify.

        What follows a close_notify is ignored (RFC 8446 section 6.1). Raises StreamError.
        """
        parts: list[bytes] = []
        try:
            for start in range(0, len(data), OUT_BYTES):
                self.connection.bio_write(data[start : start + OUT_BYTES])
                self._take_records(parts)
            if not data:
                self._take_records(parts)
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as error:
            raise StreamError(reason_of(error)) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take_records(self, parts: list[bytes]) -> None:
        recv = self.connection.recv
        try:
            while True:
                parts.append(recv(RECORD_BYTES))
        except SSL.WantReadError:
            return

    def send(self, plain: bytes | memoryview) -> bytes:
        """Encrypt all of `plain`; the encrypted bytes to send, with what else was waiting. Raises StreamError."""
        if len(plain) <= SLICE_BYTES:
            self._encrypt(plain)
            return self.outgoing()
        view = memoryview(plain)
        parts = []
        for start in range(0, len(view), SLICE_BYTES):
            self._encrypt(view[start : start + SLICE_BYTES])
            parts.append(self.outgoing())
        return b"".join(parts)

    def _encrypt(self, plain: bytes | memoryview) -> None:
        try:
            self.connection.sendall(plain)
        except SSL.Error as error:
            raise StreamError(reason_of(error)) from None

    def close(self) -> None:
        """Send close_notify; nothing can be sent after it, though the client's bytes can still be received."""
        if self.established and not self.closed:
            with suppress(SSL.Error):  # a connection with a fatal alert behind it has nothing left to say
                self.connection.shutdown()
        self.closed = True

    def outgoing(self) -> bytes:
        """Take the encrypted bytes that wait to be sent; empty if there are none."""
        bio_read = self.connection.bio_read
        taken = b""
        try:
            taken = bio_read(OUT_BYTES)
            while len(taken) % OUT_BYTES == 0:
                taken += bio_read(OUT_BYTES)
        except SSL.WantReadError:
            pass
        return taken

    def free(self) -> None:
        """Let go of the connection, as one that was closed properly.

        OpenSSL throws the session away with a connection that isn't marked so (SSL_set_shutdown(3)), and a client that
        merely hung up should still be able to resume.
        """
        self.connection.set_shutdown(_BOTH)


def reason_of(error: SSL.Error) -> str:
    """OpenSSL's reason in its own words, from the innermost entry of its error queue."""
    if isinstance(error, SSL.ZeroReturnError):
        return "closed by the client"
    if isinstance(error, SSL.SysCallError):
        return "unexpected end"
    queue = error.args[0] if error.args else []
    return str(queue[-1][2]) if queue else "protocol error"
