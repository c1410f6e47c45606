"""OpenSSL's four callbacks: ClientHello, get, new and remove; one set for each OpenSSL in the process.

They belong to no context, so a context for each connection costs nothing that stays. Which VIP a connection is for is
told by a number in its ex_data; numbers are never used twice, so a connection that outlives its attachment finds
nothing. They never raise into OpenSSL: any fault is counted and is a miss, or a session that isn't kept.

An application's own ClientHello callback can't be kept, since OpenSSL has no function that tells which one is set.
What a signal handler raises in the midst of one, KeyboardInterrupt above all, is raised again once it has returned.
"""

from __future__ import annotations

import _thread
import ctypes
import itertools
import os
from typing import Any, Protocol

import cffi

from meshcache.core.policy import Verdict
from meshcache.core.scope import CONTEXT_BYTES
from meshcache.core.session import DER_BYTES_MAX
from meshcache.tls.functions import Functions, bytes_at
from meshcache.tls.port import SessionPort
from meshcache.tls.revalidate import certificate_still_good
from meshcache.tls.scopes import EXTENSION_BYTES_MAX, TAG_BITS, Scope, Scopes, tag_of

TLS12, TLS13 = 0x0303, 0x0304
"""The only versions whose sessions are kept (RFC 8996)."""

_CLIENT_HELLO_SUCCESS = 1
_EXT_SERVER_NAME = 0
_EX_SSL, _EX_SESSION = 0, 2
"""CRYPTO_EX_INDEX_SSL and CRYPTO_EX_INDEX_SSL_SESSION of <openssl/crypto.h>."""

# A connection's state in its ex_data: flags, the tag of its scope, the number of its attachment.
_SHARED = 1
"""The connection has a scope: it may look sessions up, and what it makes is kept."""
_HIT = 2
"""A lookup found a session for it."""
_COUNTED = 4
"""Its full handshake was counted; further tickets on it are not further handshakes."""
_ISOLATED = 0
"""A connection without state neither finds nor keeps sessions, whatever its session id context is."""
_TAG_SHIFT = 3
_TAG_MASK = (1 << TAG_BITS) - 1 << _TAG_SHIFT
_SERIAL_SHIFT = _TAG_SHIFT + TAG_BITS
SERIAL_MAX = (1 << 64 - _SERIAL_SHIFT) - 1
"""Attachments in the life of a process: a thousand a second for 34 years."""

_SCRATCH_MAX = 64
"""Scratch kept for reuse: as many as there are handshakes at one moment; each holds DER_BYTES_MAX."""


class Attached(Protocol):
    """What the callbacks read of an attachment; `contexts.Attachment` is it."""

    port: SessionPort
    scopes: Scopes
    pointer: int
    verify_mode: int
    revalidates: bool


class _Scratch:
    """Room for what OpenSSL returns through pointers, used by one callback at a time."""

    __slots__ = (
        "count",
        "count_at",
        "cursor",
        "cursor_at",
        "der",
        "der_at",
        "pointer",
        "pointer_at",
        "size",
        "size_at",
        "text",
    )

    def __init__(self) -> None:
        self.pointer = ctypes.c_void_p()
        self.pointer_at = ctypes.addressof(self.pointer)
        self.size = ctypes.c_size_t()
        self.size_at = ctypes.addressof(self.size)
        self.count = ctypes.c_uint()
        self.count_at = ctypes.addressof(self.count)
        self.text = ctypes.c_char_p()
        self.cursor_at = ctypes.addressof(self.text)
        self.cursor = ctypes.c_void_p.from_address(self.cursor_at)
        self.der = ctypes.create_string_buffer(DER_BYTES_MAX)
        self.der_at = ctypes.addressof(self.der)


class Callbacks:
    """The callbacks for one OpenSSL, and the attachments they serve. Made once, kept for ever."""

    def __init__(self, functions: Functions) -> None:
        self.attachments: dict[int, Attached] = {}
        self.by_pointer: dict[int, Attached] = {}
        self.functions = f = functions
        self._serials = itertools.count(1)
        self._scratch: list[_Scratch] = []
        self._ssl_index = f.CRYPTO_get_ex_new_index(_EX_SSL, 0, None, None, None, None)
        self._session_index = f.CRYPTO_get_ex_new_index(_EX_SESSION, 0, None, None, None, None)
        self._bind(f)
        self._make(cffi.FFI())

    def _bind(self, f: Functions) -> None:
        """Hold what every handshake calls: an attribute here is found faster than through `functions`."""
        self._get_ex, self._set_ex = f.SSL_get_ex_data, f.SSL_set_ex_data
        self._session_get_ex, self._session_set_ex = f.SSL_SESSION_get_ex_data, f.SSL_SESSION_set_ex_data
        self._server_name_of, self._set_context = f.SSL_client_hello_get0_ext, f.SSL_set_session_id_context
        self._verify_mode_of, self._ctx_of = f.SSL_get_verify_mode, f.SSL_get_SSL_CTX
        self._version_of, self._reused = f.SSL_version, f.SSL_session_reused
        self._ciphers_of, self._position = f.SSL_get_ciphers, f.OPENSSL_sk_find
        self._decode, self._encode, self._free = f.d2i_SSL_SESSION, f.i2d_SSL_SESSION, f.SSL_SESSION_free
        self._id_of, self._context_of = f.SSL_SESSION_get_id, f.SSL_SESSION_get0_id_context
        self._peer_of, self._cipher_of = f.SSL_SESSION_get0_peer, f.SSL_SESSION_get0_cipher
        self._session_version_of = f.SSL_SESSION_get_protocol_version
        self._early_data_of = f.SSL_SESSION_get_max_early_data

    def _make(self, ffi: Any) -> None:
        """The C side, by cffi: with it, whatever is raised and whenever, OpenSSL gets the ``error`` value given here.

        (ctypes returns what happens to be on the stack.) The objects are never freed: a connection can be freed while
        the interpreter ends.
        """
        self._unpack = ffi.unpack
        kinds = {
            "hello": ("int(uintptr_t, void *, uintptr_t)", self._hello, _CLIENT_HELLO_SUCCESS),
            "get": ("uintptr_t(uintptr_t, char *, int, int *)", self._get, 0),
            "new": ("int(uintptr_t, uintptr_t)", self._new, 0),
            "remove": ("void(uintptr_t, uintptr_t)", self._remove, None),
        }
        self._kept = [
            ffi.callback(kind, function, error=error, onerror=self._uncaught)
            for kind, function, error in kinds.values()
        ]
        self.addresses = {name: int(ffi.cast("uintptr_t", made)) for name, made in zip(kinds, self._kept, strict=True)}
        for made in self._kept:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))

    def add(self, attached: Attached) -> int:
        """The number of a new attachment, by which connections will find it."""
        serial = next(self._serials)
        assert serial <= SERIAL_MAX, "34 years of a thousand contexts a second"
        self.attachments[serial] = attached
        self.by_pointer[attached.pointer] = attached
        return serial

    def drop(self, serial: int) -> None:
        """Forget an attachment. Must happen before its SSL_CTX is freed: another may get the same address."""
        attached = self.attachments.pop(serial, None)
        if attached is not None and self.by_pointer.get(attached.pointer) is attached:
            del self.by_pointer[attached.pointer]

    def token_of(self, ssl: int) -> int:
        """The token of the session that a connection resumed; 0 after a full handshake or before any."""
        session = self.functions.SSL_get_session(ssl)
        return (self._session_get_ex(session, self._session_index) or 0) if session else 0

    # ClientHello: the last place where the session id context counts (SSL_CTX_set_session_id_context(3)).

    def _hello(self, ssl: int, _alert: object, serial: int) -> int:
        attached = self.attachments.get(serial)
        if attached is None:
            return _CLIENT_HELLO_SUCCESS  # detached: no state, so nothing is found and nothing kept
        try:
            scope = attached.scopes.of_extension(self._server_name(ssl))
            if scope is None or self._verify_mode_of(ssl) != attached.verify_mode:
                scope = Scope(os.urandom(CONTEXT_BYTES), 0)
                state = serial << _SERIAL_SHIFT
            else:
                state = serial << _SERIAL_SHIFT | scope.tag << _TAG_SHIFT | _SHARED
            done = self._set_context(ssl, scope.context, CONTEXT_BYTES) == 1
            self._set_ex(ssl, self._ssl_index, state if done else _ISOLATED)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            self._set_ex(ssl, self._ssl_index, _ISOLATED)
            attached.port.fault("client_hello")
        return _CLIENT_HELLO_SUCCESS

    def _server_name(self, ssl: int) -> bytes | None:
        """The body of the server_name extension, cut where it is too long to be well formed; None: not sent."""
        scratch = self._take()
        name = None
        if self._server_name_of(ssl, _EXT_SERVER_NAME, scratch.pointer_at, scratch.size_at):
            size = scratch.size.value
            name = bytes_at(
                scratch.pointer.value or 0, size if size <= EXTENSION_BYTES_MAX else EXTENSION_BYTES_MAX + 1
            )
        self._give_back(scratch)
        return name

    # Get: OpenSSL takes the session over (*copy = 0), so each connection has an object of its own.

    def _get(self, ssl: int, data: Any, length: int, copy: Any) -> int:
        copy[0] = 0
        state = self._get_ex(ssl, self._ssl_index) or 0
        if not state & _SHARED:
            return 0
        attached = self.attachments.get(state >> _SERIAL_SHIFT)
        if attached is None:
            return 0
        try:
            session_id = self._unpack(data, length)
            found = attached.port.find(session_id)
            if found is None:
                return 0
            session = self._session_for(ssl, attached, session_id, *found)
            if session is not None:
                self._set_ex(ssl, self._ssl_index, state | _HIT)
        except Exception:  # noqa: BLE001
            self.functions.ERR_clear_error()
            attached.port.fault("get")
            return 0
        return session or 0

    def _session_for(self, ssl: int, attached: Attached, session_id: bytes, der: bytes, token: int) -> int | None:
        """The session object to resume with; 0 when OpenSSL may not have it on this connection, None when on none."""
        session, verdict = self._decoded(der)
        given = 0
        try:
            if session and verdict:
                verdict = self._fitness(ssl, attached, session, session_id, token)
            if verdict and self._same_version(ssl, session):
                self._session_set_ex(session, self._session_index, token)
                given = session
        finally:
            if not given:
                self._free(session)
        if verdict:
            return given
        # What was queued by a failed decoding would turn this connection's next "want read" into an error.
        self.functions.ERR_clear_error()
        attached.port.unusable(session_id, verdict)
        return None

    def _decoded(self, der: bytes) -> tuple[int, Verdict]:
        """A fresh session object, 0 if it isn't one, and whether it took the whole DER: OpenSSL ignores a tail."""
        scratch = self._take()
        scratch.text.value = der
        end = (scratch.cursor.value or 0) + len(der)
        session = self._decode(None, scratch.cursor_at, len(der)) or 0
        whole = session and scratch.cursor.value == end
        scratch.text.value = None
        self._give_back(scratch)
        return session, Verdict.ALLOWED if whole else Verdict.DER

    def _fitness(self, ssl: int, attached: Attached, session: int, session_id: bytes, token: int) -> Verdict:
        """What OpenSSL does not look at: the entry's own id, early data, today's ciphers, the client certificate."""
        if self._id(session) != session_id or self._early_data_of(session):
            return Verdict.DER
        if self._position(self._ciphers_of(ssl), self._cipher_of(session)) < 0:
            return Verdict.PROTOCOL
        certificate = self._peer_of(session)
        if certificate and not self._certificate_allowed(ssl, attached, certificate, token):
            return Verdict.CLIENT_CERTIFICATE
        return Verdict.ALLOWED

    def _certificate_allowed(self, ssl: int, attached: Attached, certificate: int, token: int) -> bool:
        port = attached.port
        if not attached.revalidates or not (port.allows_client_certificates or port.made_here(token)):
            return False
        return certificate_still_good(self.functions, ssl, certificate)

    def _same_version(self, ssl: int, session: int) -> bool:
        """Whether the session is of the version agreed on, which the context allows today.

        A mismatch is a miss and no more: a stranger who saw an id can offer it under another version.
        """
        version = self._session_version_of(session)
        return version in (TLS12, TLS13) and version == self._version_of(ssl)

    # New: after the handshake in TLS 1.2, with each ticket in TLS 1.3.

    def _new(self, ssl: int, session: int) -> int:
        state = self._get_ex(ssl, self._ssl_index) or 0
        attached = self.attachments.get(state >> _SERIAL_SHIFT)
        if attached is None:
            return 0
        try:
            token = self._session_get_ex(session, self._session_index) or 0
            resumed = self._reused(ssl) == 1
            if not resumed:
                self._count_full(ssl, attached, state)
            # Resumed without a token: from a PSK callback of the application's, whose lineage nobody knows.
            if state & _SHARED and resumed == bool(token) and self._made_as_attached(ssl, attached, session, state):
                self._keep(attached, session, token)
        except Exception:  # noqa: BLE001
            attached.port.fault("new")
        return 0  # 1 would mean that we keep a reference to the session object

    def _count_full(self, ssl: int, attached: Attached, state: int) -> None:
        if not state & _COUNTED:
            self._set_ex(ssl, self._ssl_index, state | _COUNTED)
            attached.port.full()
            if state & _HIT:
                attached.port.hit_not_resumed()

    def _made_as_attached(self, ssl: int, attached: Attached, session: int, state: int) -> bool:
        """Whether no callback of the application's changed the context, what it asks of clients, or the scope."""
        return (
            self._ctx_of(ssl) == attached.pointer
            and self._verify_mode_of(ssl) == attached.verify_mode
            and tag_of(self._sized(self._context_of, session)) << _TAG_SHIFT == state & _TAG_MASK
        )

    def _keep(self, attached: Attached, session: int, token: int) -> None:
        version = self._session_version_of(session)
        if version not in (TLS12, TLS13) or self._early_data_of(session):
            return
        der = self._der(session)
        if der:
            attached.port.created(self._id(session), der, token, self._peer_of(session) is not None, version)

    def _der(self, session: int) -> bytes:
        """The session as DER; empty when it is larger than any that is kept."""
        length = self._encode(session, None)
        if not 0 < length <= DER_BYTES_MAX:
            return b""
        scratch = self._take()
        scratch.pointer.value = scratch.der_at
        self._encode(session, scratch.pointer_at)
        der = bytes_at(scratch.der_at, length)
        self._give_back(scratch)
        return der

    # Remove: an unclean close or a fatal alert. Set only where the application wants that obeyed.

    def _remove(self, ctx: int, session: int) -> None:
        attached = self.by_pointer.get(ctx)
        if attached is not None:
            try:
                attached.port.removed(self._id(session))
            except Exception:  # noqa: BLE001
                attached.port.fault("remove")

    # Helpers.

    def _id(self, session: int) -> bytes:
        return self._sized(self._id_of, session)

    def _sized(self, getter: Any, session: int) -> bytes:
        """What a getter of the form ``bytes *f(session, unsigned int *length)`` returns."""
        scratch = self._take()
        value = bytes_at(getter(session, scratch.count_at), scratch.count.value)
        self._give_back(scratch)
        return value

    def _take(self) -> _Scratch:
        try:
            return self._scratch.pop()
        except IndexError:
            return _Scratch()

    def _give_back(self, scratch: _Scratch) -> None:
        if len(self._scratch) < _SCRATCH_MAX:
            self._scratch.append(scratch)

    def _uncaught(self, kind: type[BaseException], error: object, _trace: object) -> None:
        """OpenSSL gets the error value, a miss; Ctrl-C and SystemExit are the program's, and come back to it.

        By a thread, since that runs once this one has left the callback and gives up the interpreter's lock.
        """
        if not isinstance(error, Exception):
            _thread.start_new_thread(_raise_in, (_thread.get_ident(), kind))


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
