"""The ClientHello callback: gives each connection the session id context of its VIP and server name.

It is the last place where that counts (SSL_CTX_set_session_id_context(3)), and it never fails: a connection whose
scope can't be told is set apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from meshcache.core.policy.scope import CONTEXT_BYTES
from meshcache.tls.functions import ffi
from meshcache.tls.pausing import CLIENT_HELLO_RETRY, offered_ids, pauser
from meshcache.tls.scopes import EXTENSION_BYTES_MAX
from meshcache.tls.state import APART, APART_REFUSED, HIT, NOTHING, SSL_OP_NO_TICKET, TLS13, Attached, Mode, State

CLIENT_HELLO_SUCCESS = 1
_EXT_SERVER_NAME, _EXT_SUPPORTED_VERSIONS = 0, 43
_GET_MAX_PROTO_VERSION = 131
_OP_NO_TLSV1_3 = 1 << 29
"""SSL_CTRL_GET_MAX_PROTO_VERSION and SSL_OP_NO_TLSv1_3 of <openssl/ssl.h>."""

_VERSIONS_BYTES_MAX = 255
"""RFC 8446 section 4.2.1: ``versions<2..254>``, behind one byte of length."""


def hello_callback(state: State) -> Callable[[int, object, int], int]:
    """Return the function to install as OpenSSL's ClientHello callback.

    Its last argument is the address of the SSL_CTX that it was set on.
    """
    functions, unpack = state.functions, ffi.unpack
    name_of, set_context = functions.SSL_client_hello_get0_ext, functions.SSL_set_session_id_context
    attachment_at = state.attachments.get
    set_apart, forget_former = _markers(state)
    take, give_back = state.take_scratch, state.scratch.append
    offers_tls13 = _tls13_check(state)
    choose_mode = _mode_chooser(state, offers_tls13)
    ids_of, paused = offered_ids(state, offers_tls13), pauser(state)

    def hello(ssl: int, _alert: object, ctx: int) -> int:
        attached = attachment_at(ctx)
        if attached is None:
            return CLIENT_HELLO_SUCCESS  # detached: nothing is found and nothing kept
        try:
            scratch = take()
            extension = None
            if name_of(ssl, _EXT_SERVER_NAME, scratch.cursor, scratch.size):
                size = scratch.size[0]  # one too long to be well formed is cut, and isn't well formed either
                extension = unpack(scratch.cursor[0], size if size <= EXTENSION_BYTES_MAX else EXTENSION_BYTES_MAX + 1)
            give_back(scratch)
            choose_mode(ssl, attached)
            context = attached.scopes.of_extension(extension)
            if context is None:
                set_apart(ssl)
            else:
                set_context(ssl, context, CONTEXT_BYTES)
                forget_former(ssl)
                if attached.pauses and paused(ssl, attached, ids_of(ssl, attached)):
                    return CLIENT_HELLO_RETRY
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            set_apart(ssl)
            attached.port.fault("client_hello")
        return CLIENT_HELLO_SUCCESS

    return hello


def _markers(state: State) -> tuple[Callable[[int], None], Callable[[int], None]]:
    functions, mark_index = state.functions, state.mark_index
    mark_of, set_mark = functions.SSL_get_ex_data, functions.SSL_set_ex_data
    set_context = functions.SSL_set_session_id_context

    def set_apart(ssl: int) -> None:
        """Give a connection a context that nobody else has: what it makes resumes nowhere, and is not kept."""
        set_context(ssl, os.urandom(CONTEXT_BYTES), CONTEXT_BYTES)
        if mark_of(ssl, mark_index) != APART_REFUSED:
            set_mark(ssl, mark_index, APART)

    def forget_former(ssl: int) -> None:
        """Forget the scope of the first of two ClientHellos: the second may have another name.
        What was refused stays so.
        """
        mark = mark_of(ssl, mark_index)
        if mark in (APART, APART_REFUSED) or mark >= HIT:
            set_mark(ssl, mark_index, NOTHING)

    return set_apart, forget_former


def _mode_chooser(state: State, offers_tls13: Callable[[int], bool]) -> Callable[[int, Attached], None]:
    set_options = state.functions.SSL_set_options

    def choose_mode(ssl: int, attached: Attached) -> None:
        """Where clients may have both, give those that speak TLS 1.3 sessions."""
        if attached.mode is Mode.BOTH and offers_tls13(ssl):
            set_options(ssl, SSL_OP_NO_TICKET)

    return choose_mode


def _tls13_check(state: State) -> Callable[[int], bool]:
    functions, unpack = state.functions, ffi.unpack
    extension_of, control, options = (
        functions.SSL_client_hello_get0_ext,
        functions.SSL_ctrl,
        functions.SSL_set_options,
    )

    def offers_tls13(ssl: int) -> bool:
        """Return whether the connection will be one of TLS 1.3: the client lists it (RFC 8446 section 4.2.1), and it
        isn't forbidden here. OpenSSL chooses the version after this callback. Where this is wrong, a client gets a
        session in place of a ticket or the reverse, both good.
        """
        scratch = state.take_scratch()
        listed = b""
        if extension_of(ssl, _EXT_SUPPORTED_VERSIONS, scratch.cursor, scratch.size):
            listed = unpack(scratch.cursor[0], min(scratch.size[0], _VERSIONS_BYTES_MAX))[1:]
        state.scratch.append(scratch)
        highest = control(ssl, _GET_MAX_PROTO_VERSION, 0, ffi.NULL)
        allowed = (highest == 0 or highest >= TLS13) and not options(ssl, 0) & _OP_NO_TLSV1_3
        return allowed and any(listed[at : at + 2] == b"\x03\x04" for at in range(0, len(listed), 2))

    return offers_tls13
