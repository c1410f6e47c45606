"""The ClientHello callback: gives each connection the session id context of its VIP and server name.

It is the last place where that counts (SSL_CTX_set_session_id_context(3)), and it never fails: a connection whose
scope can't be told is set apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from meshcache.core.policy.scope import CONTEXT_BYTES
from meshcache.tls.functions import ffi
from meshcache.tls.scopes import EXTENSION_BYTES_MAX
from meshcache.tls.state import APART, APART_REFUSED, HIT, NOTHING, State

CLIENT_HELLO_SUCCESS = 1
_EXT_SERVER_NAME = 0


def hello_callback(state: State) -> Callable[[int, object, int], int]:
    """Return the function to install as OpenSSL's ClientHello callback.

    Its last argument is the address of the SSL_CTX that it was set on.
    """
    functions, unpack = state.functions, ffi.unpack
    name_of, set_context = functions.SSL_client_hello_get0_ext, functions.SSL_set_session_id_context
    attachment_at, mark_of, set_mark = state.attachments.get, functions.SSL_get_ex_data, functions.SSL_set_ex_data
    mark_index = state.mark_index
    take, give_back = state.take_scratch, state.scratch.append

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
            context = attached.scopes.of_extension(extension)
            if context is None:
                set_apart(ssl)
            else:
                set_context(ssl, context, CONTEXT_BYTES)
                forget_former(ssl)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            set_apart(ssl)
            attached.port.fault("client_hello")
        return CLIENT_HELLO_SUCCESS

    def set_apart(ssl: int) -> None:
        """A context that nobody else has: what the connection makes resumes nowhere, and is not kept."""
        set_context(ssl, os.urandom(CONTEXT_BYTES), CONTEXT_BYTES)
        if mark_of(ssl, mark_index) != APART_REFUSED:
            set_mark(ssl, mark_index, APART)

    def forget_former(ssl: int) -> None:
        """A second ClientHello may have another name. What was refused or missed at the first one it goes on being."""
        mark = mark_of(ssl, mark_index)
        if mark in (APART, APART_REFUSED) or mark >= HIT:
            set_mark(ssl, mark_index, NOTHING)

    return hello
