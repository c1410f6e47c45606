"""The get callback: a session id from a client becomes a session object that OpenSSL may resume with, or a miss.

Whatever the cache says is checked here by OpenSSL's own getters, since most of it came from another machine. OpenSSL
takes the object over (``*copy = 0``): each connection has its own, for a session may not be shared between threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from meshcache.core.policy.gates import Verdict
from meshcache.tls.functions import ffi
from meshcache.tls.ordinary import ordinary_check
from meshcache.tls.revalidate import certificate_still_good
from meshcache.tls.scopes import EXTENSION_BYTES_MAX, host_name
from meshcache.tls.single_use import use_marker
from meshcache.tls.state import (
    APART,
    APART_REFUSED,
    ASKED,
    FOREIGN,
    NOTHING,
    PAUSE_PULLED,
    REFUSED,
    TLS12,
    Attached,
    Mode,
    State,
)

EXT_SERVER_NAME = 0
"""RFC 6066 section 1.1."""

_APART = (APART, APART_REFUSED)

ALLOWED, DER = Verdict.ALLOWED, Verdict.DER


def get_callback(state: State) -> Callable[[int, Any, int, Any], int]:
    """Return the function to install as OpenSSL's get callback."""
    functions, unpack = state.functions, ffi.unpack
    ctx_of, verify_mode_of, mark_of = (
        functions.SSL_get_SSL_CTX,
        functions.SSL_get_verify_mode,
        functions.SSL_get_ex_data,
    )
    attachment_at, mark_index = state.attachments.get, state.mark_index
    look_for, refuse = _looker(state), _refuser(state)

    def get(ssl: int, data: Any, length: int, copy: Any) -> int:
        copy[0] = 0
        attached = attachment_at(ctx_of(ssl))
        if attached is None:
            return 0
        try:
            mark = mark_of(ssl, mark_index)
            if mark in _APART:
                return refuse(ssl, attached, Verdict.NAME_CLASS, mark, APART_REFUSED)
            if verify_mode_of(ssl) != attached.verify_mode:  # it asks for more than its scope says, or for less
                return refuse(ssl, attached, Verdict.SETTINGS_DIFFER, mark, REFUSED)
            return look_for(ssl, attached, unpack(data, length), mark)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            functions.ERR_clear_error()
            attached.port.fault("get")
            return 0

    return get


def _looker(state: State) -> Callable[[int, Attached, bytes, int], int]:
    set_mark, mark_index = state.functions.SSL_set_ex_data, state.mark_index
    mark_of, pause_index = state.functions.SSL_get_ex_data, state.pause_index
    session_for, refuse = _session_maker(state), _refuser(state)

    def look_for(ssl: int, attached: Attached, session_id: bytes, mark: int) -> int:
        found = attached.port.find(session_id)
        if found is None and mark in (NOTHING, FOREIGN) and waits_here(attached, session_id):
            found = attached.port.find(session_id)
        if found is None:
            if mark in (NOTHING, FOREIGN):
                ids = attached.port.ids
                set_mark(ssl, mark_index, ASKED if ids is None or ids.minted(session_id) else FOREIGN)
            return 0
        if isinstance(found, Verdict):
            return refuse(ssl, attached, found, mark, REFUSED)
        der, token = found
        if attached.pauses and attached.port.asking is not None and mark_of(ssl, pause_index) == PAUSE_PULLED:
            token = attached.port.asking.pulled(token)
        return session_for(ssl, attached, session_id, der, token, mark)

    return look_for


def waits_here(attached: Attached, session_id: bytes) -> bool:
    """Wait for a session that is on its way, once in a handshake that can't be paused. Return false: nobody waits for
    it.
    """
    port = attached.port
    asking, ids = port.asking, port.ids
    if attached.pauses or attached.mode is Mode.TICKETS or asking is None or not asking.holds:
        return False
    if ids is None or not ids.minted(session_id):
        return False
    asking.hold(session_id)
    return True


def _refuser(state: State) -> Callable[[int, Attached, Verdict, int, int], int]:
    set_mark, mark_index = state.functions.SSL_set_ex_data, state.mark_index

    def refuse(ssl: int, attached: Attached, reason: Verdict, mark: int, refused: int) -> int:
        """Count a refusal once in a handshake, and mark the connection with it."""
        if mark != refused:
            attached.port.lookup_refused(reason)
            set_mark(ssl, mark_index, refused)
        return 0

    return refuse


def _session_maker(state: State) -> Callable[[int, Attached, bytes, bytes, int, int], int]:
    functions, address = state.functions, ffi.from_buffer
    decode, free, set_ex = functions.d2i_SSL_SESSION, functions.SSL_SESSION_free, functions.SSL_SESSION_set_ex_data
    version_of, agreed_version = functions.SSL_SESSION_get_protocol_version, functions.SSL_version
    take, give_back, token_index, mark_index = (
        state.take_scratch,
        state.scratch.append,
        state.token_index,
        state.mark_index,
    )
    set_mark, mark_use, refuse = functions.SSL_set_ex_data, use_marker(state), _refuser(state)
    flaw_of, fitness, in_scope = _flaw_finder(state), fitness_check(state), scope_check(state)
    restart_clock, name_as_asked = clock_restarter(state), name_keeper(state)

    def session_for(ssl: int, attached: Attached, session_id: bytes, der: bytes, token: int, mark: int) -> int:
        """Return a session object, or 0. OpenSSL itself compares session id contexts, after this.

        An entry that is flawed is flawed for everybody, and goes. What isn't for this connection alone stays: whoever
        saw an id can offer it under another version, and to another context of the group.
        """
        scratch = take()
        start = address(der)
        scratch.cursor[0] = start
        session: int = decode(0, scratch.cursor, len(der))
        flaw, unfit, given = DER, ALLOWED, 0
        try:
            if session and scratch.cursor[0] - start == len(der):  # OpenSSL ignores a tail
                flaw, version = flaw_of(session, session_id, scratch), version_of(session)
                # Another version is a miss. (OpenSSL would compare too, in TLS 1.3 only after a binder that can't
                # verify, which is fatal.)
                if flaw is ALLOWED and version == agreed_version(ssl):
                    unfit = fitness(ssl, attached, session, token)
                    if unfit is not ALLOWED:
                        unfit = unfit if in_scope(ssl, attached, session, scratch) else ALLOWED  # a miss
                    elif version <= TLS12 or not attached.port.single_use or mark_use(session, session_id):
                        set_ex(session, token_index, token)
                        restart_clock(ssl, session)
                        if version <= TLS12:
                            name_as_asked(ssl, session, scratch)
                            attached.port.hit(token)  # its resumptions end without a callback
                        given = session
        finally:
            if not given:
                free(session)
        give_back(scratch)
        if unfit is not ALLOWED:
            return refuse(ssl, attached, unfit, mark, REFUSED)
        if flaw is ALLOWED:
            set_mark(ssl, mark_index, token if given else ASKED)
            return given
        # What was queued by a failed decoding would turn this connection's next "want read" into an error.
        functions.ERR_clear_error()
        attached.port.unusable(session_id, flaw)
        set_mark(ssl, mark_index, REFUSED)
        return 0

    return session_for


def scope_check(state: State) -> Callable[[int, Attached, int, Any], bool]:
    """Return a function that says whether a session is of a connection's scope; `hot/tickets.c` has its twin."""
    functions, unpack = state.functions, ffi.unpack
    extension_of, context_of = functions.SSL_client_hello_get0_ext, functions.SSL_SESSION_get0_id_context

    def in_scope(ssl: int, attached: Attached, session: int, scratch: Any) -> bool:
        """Return whether a session was made under the session id context that this connection's ClientHello gets."""
        place = context_of(session, scratch.count)
        context, extension = unpack(place, scratch.count[0]), None
        if extension_of(ssl, EXT_SERVER_NAME, scratch.cursor, scratch.size):
            extension = unpack(scratch.cursor[0], min(scratch.size[0], EXTENSION_BYTES_MAX + 1))
        return bool(context == attached.scopes.of_extension(extension))

    return in_scope


def clock_restarter(state: State) -> Callable[[int, int], None]:
    """Return a function that lets a session's time begin now."""
    functions, unix_now = state.functions, time.time
    set_time, set_timeout = functions.SSL_SESSION_set_time, functions.SSL_SESSION_set_timeout
    ctx_of, timeout_of = functions.SSL_get_SSL_CTX, functions.SSL_CTX_get_timeout

    def restart_clock(ssl: int, session: int) -> None:
        """Take away what the DER says of time: OpenSSL would compare its maker's wall clock with ours.

        The port looked at the age, by a clock that no two machines need agree on. A renewal takes over the timeout, and
        tells it to the client: today's, then, and not that of the handshake with which the lineage began.
        """
        set_time(session, int(unix_now()))
        set_timeout(session, timeout_of(ctx_of(ssl)))

    return restart_clock


def name_keeper(state: State) -> Callable[[int, int, Any], None]:
    """Return a function that lets a TLS 1.2 session bear the name of this connection."""
    functions, unpack = state.functions, ffi.unpack
    extension_of, set_name = functions.SSL_client_hello_get0_ext, functions.SSL_SESSION_set1_hostname

    def name_as_asked(ssl: int, session: int, scratch: Any) -> None:
        """Let SSL_get_servername(3) tell what this client asked for: up to TLS 1.2 it tells the session's name, and a
        session that came from a cache has none, or that of another visit. In TLS 1.3 it tells the connection's."""
        name = None
        if extension_of(ssl, EXT_SERVER_NAME, scratch.cursor, scratch.size):
            size = scratch.size[0]
            name = host_name(unpack(scratch.cursor[0], size)) if size <= EXTENSION_BYTES_MAX else None
        set_name(session, ffi.NULL if name is None else name.encode())

    return name_as_asked


def _flaw_finder(state: State) -> Callable[[int, bytes, Any], Verdict]:
    id_of, unpack, ordinary = state.functions.SSL_SESSION_get_id, ffi.unpack, ordinary_check(state.functions)

    def flaw_of(session: int, session_id: bytes, scratch: Any) -> Verdict:
        """Return why an entry may resume nowhere, or ALLOWED: another id is in it, or what `ordinary` says."""
        place = id_of(session, scratch.count)
        if unpack(place, scratch.count[0]) != session_id:
            return DER
        return ordinary(session)

    return flaw_of


def fitness_check(state: State) -> Callable[[int, Attached, int, int], Verdict]:
    """Return a function that says why an ordinary session may not resume on a connection, or ALLOWED."""
    functions = state.functions
    cipher_of, peer_of = functions.SSL_SESSION_get0_cipher, functions.SSL_SESSION_get0_peer
    callback_of = functions.SSL_get_verify_callback
    supported, position, free_stack = (
        functions.SSL_get1_supported_ciphers,
        functions.OPENSSL_sk_find,
        functions.OPENSSL_sk_free,
    )

    def fitness(ssl: int, attached: Attached, session: int, token: int) -> Verdict:
        """Return what OpenSSL does not look at: today's ciphers, the certificate. Says nothing of other connections."""
        ciphers = supported(ssl)  # that it would agree to: listed, of its versions, not below its security level
        agreeable = ciphers and position(ciphers, cipher_of(session)) >= 0
        free_stack(ciphers)
        if not agreeable:
            return Verdict.PROTOCOL
        certificate = peer_of(session)
        if certificate and not allowed(ssl, attached, certificate, token):
            return Verdict.CLIENT_CERTIFICATE
        return ALLOWED

    def allowed(ssl: int, attached: Attached, certificate: int, token: int) -> bool:
        port = attached.port
        if not attached.revalidates or not (port.allows_client_certificates or port.made_here(token)):
            return False
        if callback_of(ssl):  # set on this connection alone: it can be asked again as little as a context's
            return False
        return certificate_still_good(functions, ssl, certificate)

    return fitness
