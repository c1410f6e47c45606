"""The ClientHello callback: gives each connection the session id context of its VIP and server name, and where one
context listens for several, first the context of that name (`names`).

It is the last place where that counts (SSL_CTX_set_session_id_context(3)), and it never fails: a connection whose
scope can't be told is set apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from meshcache.core.policy.scope import CONTEXT_BYTES
from meshcache.tls.functions import ffi
from meshcache.tls.names import UNRECOGNIZED_NAME
from meshcache.tls.pausing import CLIENT_HELLO_RETRY, offered_ids, pauser
from meshcache.tls.scopes import EXTENSION_BYTES_MAX
from meshcache.tls.state import APART, APART_REFUSED, HIT, NOTHING, SSL_OP_NO_TICKET, TLS13, Attached, Mode, State

CLIENT_HELLO_SUCCESS, CLIENT_HELLO_ERROR = 1, 0
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
    attachment_at, read, set_apart, give_scope = state.attachments.get, _name_reader(state), *_scope_givers(state)
    offers_tls13 = _tls13_check(state)
    choose_mode, choose = _mode_chooser(state, offers_tls13), _chooser(state)
    ids_of, paused = offered_ids(state, offers_tls13), pauser(state)

    def hello(ssl: int, alert: object, ctx: int) -> int:
        attached = attachment_at(ctx)
        if attached is None:
            return CLIENT_HELLO_SUCCESS  # detached: nothing is found and nothing kept
        try:
            extension = read(ssl)
            chosen = choose(ssl, attached, extension) if state.names_seen else attached
            if chosen is REFUSED:
                ffi.cast("int *", alert)[0] = UNRECOGNIZED_NAME
                return CLIENT_HELLO_ERROR
            if chosen is not None:
                choose_mode(ssl, chosen)
                scoped = give_scope(ssl, chosen, chosen.scopes.of_extension(extension))
                if scoped and chosen.pauses and paused(ssl, chosen, ids_of(ssl, chosen)):
                    return CLIENT_HELLO_RETRY
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            set_apart(ssl)
            attached.port.fault("client_hello")
        return CLIENT_HELLO_SUCCESS

    return hello


def _name_reader(state: State) -> Callable[[int], bytes | None]:
    name_of, unpack = state.functions.SSL_client_hello_get0_ext, ffi.unpack
    take, give_back = state.take_scratch, state.scratch.append

    def read(ssl: int) -> bytes | None:
        """Return the body of the server_name extension, or None."""
        scratch = take()
        extension = None
        if name_of(ssl, _EXT_SERVER_NAME, scratch.cursor, scratch.size):
            size = scratch.size[0]  # one too long to be well formed is cut, and isn't well formed either
            extension = unpack(scratch.cursor[0], size if size <= EXTENSION_BYTES_MAX else EXTENSION_BYTES_MAX + 1)
        give_back(scratch)
        return extension

    return read


def _scope_givers(state: State) -> tuple[Callable[[int], None], Callable[[int, Attached, bytes | None], bool]]:
    functions, mark_index, version_of = state.functions, state.mark_index, state.functions.SSL_version
    set_context, mark_of, set_mark = (
        functions.SSL_set_session_id_context,
        functions.SSL_get_ex_data,
        functions.SSL_set_ex_data,
    )

    def set_apart(ssl: int) -> None:
        """Give a connection a context that nobody else has: what it makes resumes nowhere, and is not kept."""
        set_context(ssl, os.urandom(CONTEXT_BYTES), CONTEXT_BYTES)
        if mark_of(ssl, mark_index) != APART_REFUSED:
            set_mark(ssl, mark_index, APART)

    def give_scope(ssl: int, attached: Attached, context: bytes | None) -> bool:
        """Give it the context of its scope, and forget that of the first of two ClientHellos: the second may have
        another name. What was refused stays so, and that a ticket was opened, which is counted by then. False for a
        connection that shares nothing.
        """
        if context is None:
            set_apart(ssl)
            return False
        set_context(ssl, context, CONTEXT_BYTES)
        mark = mark_of(ssl, mark_index)
        if mark in (APART, APART_REFUSED) or (mark >= HIT and not keeps_ticket(ssl, attached)):
            set_mark(ssl, mark_index, NOTHING)
        return True

    def keeps_ticket(ssl: int, attached: Attached) -> bool:
        """Return whether what was found is a ticket, and this no renegotiation, which TLS 1.3 has none of."""
        return attached.mode is Mode.TICKETS and version_of(ssl) == TLS13

    return set_apart, give_scope


REFUSED = object()
"""In place of a context: the connection is to end."""


def _chooser(state: State) -> Callable[[int, Attached, bytes | None], Any]:
    """Return a function that moves a connection to the context of its name; `hot/hello.c` has its twin."""
    functions, attachment_at, index = state.functions, state.attachments.get, state.listening_index
    get_ex, set_ex = functions.SSL_get_ex_data, functions.SSL_set_ex_data
    context_of, move, set_options = functions.SSL_get_SSL_CTX, functions.SSL_set_SSL_CTX, functions.SSL_set_options

    def choose(ssl: int, attached: Attached, extension: bytes | None) -> Any:
        """Return the attachment of the context chosen; None when no node serves that; REFUSED."""
        # A second ClientHello, which may have another name, comes to the context that the first one chose.
        listening = get_ex(ssl, index)
        listener = attachment_at(listening) if listening else attached
        if listening:
            set_ex(ssl, index, 0)  # should this fail, or the listener have left, the SNI callback chooses
        if listener is None or listener.names is None:
            return attached
        chosen = listener.names.chosen_by(extension)
        if chosen is None:
            return REFUSED
        pointer, _context = chosen
        if context_of(ssl) != pointer and not move(ssl, pointer):
            return REFUSED  # no memory
        set_ex(ssl, index, listener.pointer)
        found = attachment_at(pointer)
        if found is not None and found.mode is Mode.SESSIONS:
            set_options(ssl, SSL_OP_NO_TICKET)  # options are the listener's, which may be one of a VIP with tickets
        return found

    return choose


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
