"""OpenSSL's four callbacks: ClientHello, get, new and remove; one set for each OpenSSL in the process.

They belong to no context, so a context for each connection costs nothing that stays. They never raise into OpenSSL: any
fault is counted and is a miss, or a session that isn't kept. What a signal handler raises in the midst of one,
KeyboardInterrupt above all, is raised again once it has returned.

An application's own ClientHello callback can't be kept, since OpenSSL has no function that tells which one is set.
Each call into OpenSSL costs 0.2 us hot and 1 us cold, which is why the paths below count them and call few helpers.
"""

from __future__ import annotations

import _thread
import ctypes
import os
from typing import Any, Protocol

from meshcache.core.policy import Verdict
from meshcache.core.scope import CONTEXT_BYTES
from meshcache.core.session import DER_BYTES_MAX
from meshcache.tls.functions import Functions, ffi
from meshcache.tls.port import SessionPort
from meshcache.tls.revalidate import certificate_still_good
from meshcache.tls.scopes import EXTENSION_BYTES_MAX, Scopes

TLS12, TLS13 = 0x0303, 0x0304
"""The only versions whose sessions are kept (RFC 8996)."""

_CLIENT_HELLO_SUCCESS = 1
_EXT_SERVER_NAME = 0
_EX_SESSION = 2
"""CRYPTO_EX_INDEX_SSL_SESSION of <openssl/crypto.h>."""

REMEMBERED_MAX = 65_536
"""Connections remembered by address, in each of two sets, until the address is used again: as many as a process has at
one time. When there are more all are forgotten, which costs counts and never a check."""

_KINDS = {
    "hello": ("int(uintptr_t, void *, uintptr_t)", _CLIENT_HELLO_SUCCESS),
    "get": ("uintptr_t(uintptr_t, char *, int, int *)", 0),
    "new": ("int(uintptr_t, uintptr_t)", 0),
    "remove": ("void(uintptr_t, uintptr_t)", None),
}
"""Types of the callbacks, and what OpenSSL gets whatever is raised and whenever: cffi sees to that, ctypes would return
what happens to be on the stack."""


class Attached(Protocol):
    """What the callbacks read of an attachment; `contexts.Attachment` is it."""

    port: SessionPort
    scopes: Scopes
    pointer: int
    verify_mode: int
    revalidates: bool


class _Scratch:
    """Room for what OpenSSL returns through pointers, used by one callback at a time and kept for the next.

    There are as many as callbacks ever ran at one moment, each of DER_BYTES_MAX.
    """

    __slots__ = ("count", "cursor", "der", "size")

    def __init__(self) -> None:
        self.cursor: Any = ffi.new("char *[1]")
        self.size: Any = ffi.new("size_t[1]")
        self.count: Any = ffi.new("unsigned int[1]")
        self.der: Any = ffi.new("char[]", DER_BYTES_MAX)


class Callbacks:
    """The callbacks for one OpenSSL, and the attachments they serve. Made once, kept for ever."""

    def __init__(self, functions: Functions) -> None:
        self.attachments: dict[int, Attached] = {}
        """By the address of the SSL_CTX."""
        self.functions = functions
        self._hits: set[int] = set()
        """Connections that a lookup found a session for."""
        self._apart: set[int] = set()
        """Connections that share nothing, which therefore look nothing up."""
        self._scratch: list[_Scratch] = []
        new_index = functions.CRYPTO_get_ex_new_index
        self._token, self._counted = (new_index(_EX_SESSION, 0, *(ffi.NULL,) * 4) for _ in range(2))
        self._bind(functions)
        self._kept = [
            ffi.callback(kind, getattr(self, f"_{name}"), error=error, onerror=_uncaught)
            for name, (kind, error) in _KINDS.items()
        ]
        self.addresses = {name: int(ffi.cast("uintptr_t", made)) for name, made in zip(_KINDS, self._kept, strict=True)}
        for made in self._kept:  # a connection can be freed while the interpreter ends: these never are
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))

    def _bind(self, f: Functions) -> None:
        """Hold what every handshake calls: an attribute here is found faster than through `functions`."""
        self._unpack, self._address = ffi.unpack, ffi.from_buffer
        self._server_name_of, self._set_context = f.SSL_client_hello_get0_ext, f.SSL_set_session_id_context
        self._ctx_of, self._verify_mode_of, self._reused = (
            f.SSL_get_SSL_CTX,
            f.SSL_get_verify_mode,
            f.SSL_session_reused,
        )
        self._ciphers_of, self._position = f.SSL_get_ciphers, f.OPENSSL_sk_find
        self._decode, self._encode, self._free = f.d2i_SSL_SESSION, f.i2d_SSL_SESSION, f.SSL_SESSION_free
        self._get_ex, self._set_ex = f.SSL_SESSION_get_ex_data, f.SSL_SESSION_set_ex_data
        self._id_of, self._context_of = f.SSL_SESSION_get_id, f.SSL_SESSION_get0_id_context
        self._peer_of, self._cipher_of = f.SSL_SESSION_get0_peer, f.SSL_SESSION_get0_cipher
        self._version_of, self._agreed_version = f.SSL_SESSION_get_protocol_version, f.SSL_version
        self._early_data_of = f.SSL_SESSION_get_max_early_data

    def add(self, attached: Attached) -> None:
        """Serve an attachment from now on."""
        self.attachments[attached.pointer] = attached

    def drop(self, attached: Attached) -> None:
        """Forget an attachment. Must happen before its SSL_CTX is freed: another may get the same address."""
        if self.attachments.get(attached.pointer) is attached:
            del self.attachments[attached.pointer]

    def token_of(self, ssl: int) -> int:
        """The token of the session that a connection resumed; 0 after a full handshake or before any."""
        session = self.functions.SSL_get_session(ssl)
        return int(self._get_ex(session, self._token)) if session else 0

    # ClientHello: the last place where the session id context counts (SSL_CTX_set_session_id_context(3)).

    def _hello(self, ssl: int, _alert: object, ctx: int) -> int:
        self._hits.discard(ssl)
        self._apart.discard(ssl)
        attached = self.attachments.get(ctx)
        if attached is None:
            return _CLIENT_HELLO_SUCCESS  # detached: nothing is found and nothing kept
        try:
            scratch = self._take()
            context = attached.scopes.of_extension(self._server_name(ssl, scratch))
            self._scratch.append(scratch)
            if context is None:
                self._set_apart(ssl)
            else:
                self._set_context(ssl, context, CONTEXT_BYTES)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            self._set_apart(ssl)
            attached.port.fault("client_hello")
        return _CLIENT_HELLO_SUCCESS

    def _set_apart(self, ssl: int) -> None:
        """Give a connection a context that nobody else has: what it makes resumes nowhere, and is not kept."""
        self._set_context(ssl, os.urandom(CONTEXT_BYTES), CONTEXT_BYTES)
        _remember(self._apart, ssl)

    def _server_name(self, ssl: int, scratch: _Scratch) -> bytes | None:
        """The body of the server_name extension, cut where it is too long to be well formed; None: not sent."""
        if not self._server_name_of(ssl, _EXT_SERVER_NAME, scratch.cursor, scratch.size):
            return None
        size = scratch.size[0]
        name: bytes = self._unpack(scratch.cursor[0], size if size <= EXTENSION_BYTES_MAX else EXTENSION_BYTES_MAX + 1)
        return name

    # Get: OpenSSL takes the session over (*copy = 0), so each connection has an object of its own.

    def _get(self, ssl: int, data: Any, length: int, copy: Any) -> int:
        copy[0] = 0
        attached = self.attachments.get(self._ctx_of(ssl))
        if attached is None or ssl in self._apart or self._verify_mode_of(ssl) != attached.verify_mode:
            return 0  # the last: it asks for more of its clients than its scope says, or for less
        try:
            session_id = self._unpack(data, length)
            found = attached.port.find(session_id)
            return 0 if found is None else self._session_for(ssl, attached, session_id, *found)
        except Exception:  # noqa: BLE001
            self.functions.ERR_clear_error()
            attached.port.fault("get")
            return 0

    def _session_for(self, ssl: int, attached: Attached, session_id: bytes, der: bytes, token: int) -> int:
        """A session object to resume with, or 0. OpenSSL itself compares session id contexts, and looks at the age."""
        scratch = self._take()
        start = self._address(der)
        scratch.cursor[0] = start
        session: int = self._decode(0, scratch.cursor, len(der))
        verdict, given = Verdict.DER, False
        try:
            if session and scratch.cursor[0] == start + len(der):  # OpenSSL ignores a tail
                verdict = self._fitness(ssl, attached, session, session_id, token, scratch)
            # A stranger who saw an id can offer it under another version: a miss that burns nothing. (OpenSSL would
            # compare too, in TLS 1.3 only after a binder that can't verify, which is fatal.)
            if verdict and self._version_of(session) == self._agreed_version(ssl):
                given = self._set_ex(session, self._token, token) == 1
        finally:
            if not given:
                self._free(session)
        self._scratch.append(scratch)
        if verdict:
            _remember(self._hits, ssl)
            return session if given else 0
        # What was queued by a failed decoding would turn this connection's next "want read" into an error.
        self.functions.ERR_clear_error()
        attached.port.unusable(session_id, verdict)
        return 0

    def _fitness(
        self, ssl: int, attached: Attached, session: int, session_id: bytes, token: int, scratch: _Scratch
    ) -> Verdict:
        """What OpenSSL does not look at: the entry's own id, early data, today's ciphers, the client certificate."""
        place = self._id_of(session, scratch.count)
        if self._unpack(place, scratch.count[0]) != session_id or self._early_data_of(session):
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

    # New: after the handshake in TLS 1.2, with each ticket in TLS 1.3.

    def _new(self, ssl: int, session: int) -> int:
        attached = self.attachments.get(self._ctx_of(ssl))
        if attached is None:  # or an SNI callback moved the connection to a context that isn't attached
            return 0
        try:
            token = self._get_ex(session, self._token)
            if token or self._made_in_full(ssl, attached, session):
                self._keep(ssl, attached, session, token)
        except Exception:  # noqa: BLE001
            self.functions.ERR_clear_error()
            attached.port.fault("new")
        return 0  # 1 would mean that we keep a reference to the session object

    def _made_in_full(self, ssl: int, attached: Attached, session: int) -> bool:
        """Whether the handshake was a full one, which is counted.

        Resumed without a token: by a PSK callback of the application's, from a lineage that nobody knows. A further
        ticket on the connection is a copy of the first one's session, and so of the mark that it was counted.
        """
        if self._reused(ssl):
            return False
        if not self._get_ex(session, self._counted):
            self._set_ex(session, self._counted, 1)
            attached.port.full()
            if ssl in self._hits:
                attached.port.hit_not_resumed()
        return True

    def _keep(self, ssl: int, attached: Attached, session: int, token: int) -> None:
        """Hand a session to the port, unless a callback of the application's changed what its scope says."""
        scratch = self._take()
        context = self._sized(self._context_of, session, scratch)
        version = self._version_of(session)
        if (
            attached.scopes.gave(context)
            and self._verify_mode_of(ssl) == attached.verify_mode
            and (version in (TLS12, TLS13))
            and not self._early_data_of(session)
        ):
            der = self._der(session, scratch)
            if der:
                session_id = self._sized(self._id_of, session, scratch)
                attached.port.created(session_id, der, token, self._peer_of(session) != 0, version)
        self._scratch.append(scratch)

    def _der(self, session: int, scratch: _Scratch) -> bytes:
        """The session as DER; empty when it is larger than any that is kept."""
        length = self._encode(session, ffi.NULL)
        if not 0 < length <= DER_BYTES_MAX:
            return b""
        scratch.cursor[0] = scratch.der
        self._encode(session, scratch.cursor)
        der: bytes = self._unpack(scratch.der, length)
        return der

    # Remove: an unclean close or a fatal alert. Set only where the application wants that obeyed.

    def _remove(self, ctx: int, session: int) -> None:
        attached = self.attachments.get(ctx)
        if attached is not None:
            try:
                attached.port.removed(self._sized(self._id_of, session, _Scratch()))
            except Exception:  # noqa: BLE001
                attached.port.fault("remove")

    # Helpers.

    def _sized(self, getter: Any, session: int, scratch: _Scratch) -> bytes:
        """What a getter of the form ``bytes *f(session, unsigned int *length)`` returns."""
        place = getter(session, scratch.count)
        value: bytes = self._unpack(place, scratch.count[0])
        return value

    def _take(self) -> _Scratch:
        try:
            return self._scratch.pop()
        except IndexError:
            return _Scratch()


def _remember(addresses: set[int], ssl: int) -> None:
    if len(addresses) >= REMEMBERED_MAX:
        addresses.clear()
    addresses.add(ssl)


def _uncaught(kind: type[BaseException], error: object, _trace: object) -> None:
    """OpenSSL gets the error value, a miss; Ctrl-C and SystemExit are the program's, and come back to it.

    By a thread, since that runs once this one has left the callback and gives up the interpreter's lock.
    """
    if not isinstance(error, Exception):
        _thread.start_new_thread(_raise_in, (_thread.get_ident(), kind))


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
