"""The TLS side of one client, between memory BIOs: encrypted bytes in and out, plain bytes in and out.

Touches no socket and no clock. Whoever drives it takes `outgoing` after every step and sends it; since the handshake's
callbacks run inside `handshake`, a new session is with the mesh before the client's last bytes can leave.

Connections are pyOpenSSL's, but the calls that a handshake is made of go past its wrappers to the same library: the
wrappers allocate a buffer for every read and raise `WantReadError` five times in a resumed handshake, which took a
third of its Python time. What they are for, telling errors apart, is still theirs (`raise_refusal`). `steps.c` is
`TlsStream` once more, for whoever has a compiler; `streams` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

RECORD_BYTES = 16 * 1024
"""RFC 8446 section 5.1: the plaintext of a record is at most 2^14 bytes, and SSL_read gives one record at a time."""

SCRATCH_BYTES = 64 * 1024
"""One read from the outgoing BIO: three full records with their overhead, and room for a chain of certificates."""

SLICE_BYTES = 3 * RECORD_BYTES
"""Plain or encrypted bytes that are put into a BIO before they are taken out again. A BIO never shrinks
(BIO_s_mem(3)), so what goes in at once is what the connection keeps."""

_BOTH = SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN
_WANT_READ = lib.SSL_ERROR_WANT_READ
_WANT_CLIENT_HELLO = 11
"""SSL_ERROR_WANT_CLIENT_HELLO_CB of <openssl/ssl.h>, which pyOpenSSL doesn't name."""
_ZERO_RETURN = lib.SSL_ERROR_ZERO_RETURN


class StreamError(Exception):
    """OpenSSL refused what the client sent; ``outgoing`` then holds the alert that says so to the client.

    ``str`` is OpenSSL's reason, such as ``http request``: a fixed text of the library's, never the client's bytes.
    """


def make_scratch() -> Any:
    """Return a buffer that all streams of one thread may share: nothing in it outlives the call that fills it."""
    return ffi.new("char[]", SCRATCH_BYTES)


class _Nowhere:
    """A mapping that keeps nothing."""

    def __setitem__(self, key: object, value: object) -> None:
        """Forget it."""


class UnlistedConnection(SSL.Connection):
    """A connection that pyOpenSSL's callbacks (ALPN, verify, info) can't be called for.

    It lists every connection in a WeakValueDictionary by its SSL pointer, which takes eight Python calls.
    """

    _reverse_mapping = _Nowhere()  # type: ignore[assignment]


class TlsStream:
    """One server side of TLS. After `StreamError` or `close` only `outgoing` and `free` make sense.

    ``established`` is true once the handshake is over, ``ended`` once the client has sent close_notify. ``paused``
    means that the handshake waits for the mesh, in the middle of its ClientHello: `handshake` goes on with it.
    """

    __slots__ = (
        "_into_ssl",
        "_mark",
        "_on_free",
        "_out_of_ssl",
        "_scratch",
        "_slim",
        "_ssl",
        "closed",
        "connection",
        "ended",
        "established",
        "paused",
    )

    def __init__(self, context: SSL.Context, scratch: Any, listed: bool = True) -> None:
        """`listed` as in `service.Service`; `scratch` by `make_scratch`."""
        connection = SSL.Connection(context) if listed else UnlistedConnection(context)
        self.connection = connection
        self._ssl = connection._ssl  # noqa: SLF001  # see the module's docstring
        lib.SSL_set_accept_state(self._ssl)
        self._into_ssl = connection._into_ssl  # noqa: SLF001
        self._out_of_ssl = connection._from_ssl  # noqa: SLF001
        self._scratch = scratch
        self._mark = 0.0
        self._slim = False
        self.established = False
        self.ended = False
        self.closed = False
        self.paused = False
        self._on_free: Callable[[], None] | None = None

    def handshake(self, data: bytes) -> bool:
        """Go on with the handshake; true once it is over. `data` may hold more than the handshake: `receive(b"")` it.

        Raises StreamError.
        """
        lib.BIO_write(self._into_ssl, data, len(data))
        result = lib.SSL_do_handshake(self._ssl)
        if result == 1:
            self.established = True
            return True
        error = lib.SSL_get_error(self._ssl, result)
        self.paused = error == _WANT_CLIENT_HELLO
        if error != _WANT_READ and not self.paused:
            self._raise(result)
        return False

    @property
    def handle(self) -> SSL.Connection:
        """What the mesh knows the connection by."""
        return self.connection

    @property
    def leaves_tickets(self) -> bool:
        """Whether what waits at the end of the handshake is session tickets alone (TLS 1.3), which may wait longer."""
        return bool(lib.SSL_version(self._ssl) == SSL.TLS1_3_VERSION)

    @property
    def resumed_its_own(self) -> bool:
        """Whether the client came with a session that it keeps: in TLS 1.2 a resumption makes no other."""
        return bool(lib.SSL_session_reused(self._ssl)) and not self.leaves_tickets

    def receive(self, data: bytes) -> bytes:
        """Return the plain bytes that these encrypted ones make complete; sets ``ended`` at the client's close_notify.

        What follows a close_notify is ignored (RFC 8446 section 6.1). Raises StreamError.
        """
        if len(data) <= SLICE_BYTES:
            return self._decrypt(data)
        slices = (data[start : start + SLICE_BYTES] for start in range(0, len(data), SLICE_BYTES))
        return b"".join([self._decrypt(part) for part in slices])

    def _decrypt(self, data: bytes) -> bytes:
        if self.ended:
            return b""
        ssl, scratch = self._ssl, self._scratch
        if data:
            lib.BIO_write(self._into_ssl, data, len(data))
        plain = b""
        while (result := lib.SSL_read(ssl, scratch, RECORD_BYTES)) > 0:
            plain += ffi.buffer(scratch, result)[:]
        error = lib.SSL_get_error(ssl, result)
        if error == _ZERO_RETURN:
            self.ended = True
        elif error != _WANT_READ:
            self._raise(result)
        return plain

    def send(self, plain: bytes) -> bytes:
        """Encrypt all of `plain`; the encrypted bytes to send, with what else was waiting. Raises StreamError."""
        length = len(plain)
        if length <= SLICE_BYTES:
            self._encrypt(plain, length)
            return self.outgoing()
        parts = []
        for start in range(0, length, SLICE_BYTES):
            part = plain[start : start + SLICE_BYTES]
            self._encrypt(part, len(part))
            parts.append(self.outgoing())
        return b"".join(parts)

    def _encrypt(self, plain: bytes, length: int) -> None:
        """SSL_write takes one record at a time (pyOpenSSL sets SSL_MODE_ENABLE_PARTIAL_WRITE), and no empty one."""
        data = ffi.from_buffer(plain)
        done = 0
        while done < length:
            result = lib.SSL_write(self._ssl, data + done, length - done)
            if result <= 0:
                self._raise(result)
            done += result

    def close(self) -> None:
        """Send close_notify; nothing can be sent after it, though the client's bytes can still be received."""
        if self.established and not self.closed:
            result = lib.SSL_shutdown(self._ssl)
            if result < 0:  # a connection with a fatal alert behind it has nothing left to say
                with suppress(StreamError):
                    self._raise(result)
        self.closed = True

    def outgoing(self) -> bytes:
        """Take the encrypted bytes that wait to be sent; empty if there are none."""
        scratch = self._scratch
        taken = lib.BIO_read(self._out_of_ssl, scratch, SCRATCH_BYTES)
        if taken <= 0:
            return b""
        encrypted: bytes = ffi.buffer(scratch, taken)[:]
        return encrypted if taken < SCRATCH_BYTES else encrypted + self._drained(self._out_of_ssl)

    def slim(self, mark: float | None = None) -> bool:
        """Give back what BIOs have grown to, at once or when `mark` is the same as the last time; whether it was done.

        Nothing that is in them is lost.
        """
        if mark is not None and mark != self._mark:
            self._mark, self._slim = mark, False
        elif not self._slim:
            self._slim = True
            unread, unsent = self._drained(self._into_ssl), self.outgoing()
            into, out_of = lib.BIO_new(lib.BIO_s_mem()), lib.BIO_new(lib.BIO_s_mem())
            lib.SSL_set_bio(self._ssl, into, out_of)  # which frees the former two
            self.connection._into_ssl = self._into_ssl = into  # noqa: SLF001
            self.connection._from_ssl = self._out_of_ssl = out_of  # noqa: SLF001
            lib.BIO_write(into, unread, len(unread))
            lib.BIO_write(out_of, unsent, len(unsent))
            return True
        return False

    def _drained(self, bio: Any) -> bytes:
        parts = []
        while (taken := lib.BIO_read(bio, self._scratch, SCRATCH_BYTES)) > 0:
            parts.append(ffi.buffer(self._scratch, taken)[:])
        return b"".join(parts)

    def call_when_freed(self, callback: Callable[[], None] | None) -> None:
        """Have this called once, when the connection is let go of (`free`), in place of what was to be called before;
        None: nothing is."""
        self._on_free = callback

    def free(self) -> None:
        """Let go of the connection, as one that was closed properly.

        OpenSSL throws the session away with a connection that isn't marked so (SSL_set_shutdown(3)), and a client that
        merely hung up should still be able to resume.
        """
        lib.SSL_set_shutdown(self._ssl, _BOTH)
        on_free, self._on_free = self._on_free, None
        if on_free is not None:
            on_free()

    def _raise(self, result: int) -> NoReturn:
        raise_refusal(self.connection, result)


def raise_refusal(connection: SSL.Connection, result: int) -> NoReturn:
    """Let pyOpenSSL read OpenSSL's error queue, which it empties: another connection's calls must not find it."""
    try:
        connection._raise_ssl_error(connection._ssl, result)  # noqa: SLF001  # see the module's docstring
    except SSL.Error as error:
        raise StreamError(reason_of(error)) from None
    raise StreamError("protocol error")


def reason_of(error: Exception) -> str:
    """Return OpenSSL's reason in its own words, from the innermost entry of its error queue."""
    if isinstance(error, SSL.ZeroReturnError):
        return "closed by the client"
    if isinstance(error, SSL.SysCallError):
        return "unexpected end"
    queue = error.args[0] if error.args else []
    return str(queue[-1][2]) if queue else "protocol error"
