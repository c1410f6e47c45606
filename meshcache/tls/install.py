"""Sets on an SSL_CTX everything that external caching needs, and nothing about who may share what.

Every setting here is needed for resumption to work at all, or for it to be safe; the reasons stand at each.
"""

from __future__ import annotations

import os

from meshcache.core.policy.scope import CONTEXT_BYTES
from meshcache.errors import AttachError
from meshcache.tls.callbacks import Callbacks
from meshcache.tls.functions import ffi
from meshcache.tls.state import SSL_OP_NO_TICKET, Mode

_SSL_CTRL_SET_SESS_CACHE_MODE = 44
_SSL_SESS_CACHE_SERVER = 0x0002
_SSL_SESS_CACHE_NO_INTERNAL = 0x0300

TICKETS = 1
"""New sessions for a full TLS 1.3 handshake, where the caller doesn't ask for another number; a VIP does."""

OPENSSL_TICKETS = 2
"""New sessions for a full TLS 1.3 handshake that a context makes which nobody has told otherwise."""


def install(
    callbacks: Callbacks,
    pointer: int,
    *,
    remove: bool,
    lifetime_s: int | None,
    tickets: int,
    mode: Mode = Mode.SESSIONS,
) -> None:
    """Give a context the callbacks. Raises AttachError if OpenSSL refuses."""
    functions = callbacks.functions
    set_mode(callbacks, pointer, mode)
    # Internal cache: freeing a context would remove every session, and it can grow without end (CVE-2024-2511).
    cache = _SSL_SESS_CACHE_SERVER | _SSL_SESS_CACHE_NO_INTERNAL
    functions.SSL_CTX_ctrl(pointer, _SSL_CTRL_SET_SESS_CACHE_MODE, cache, ffi.NULL)
    if lifetime_s is not None:
        functions.SSL_CTX_set_timeout(pointer, lifetime_s)
    done = (
        functions.SSL_CTX_set_num_tickets(pointer, tickets)
        # Early data: its replay protection needs the internal cache, and without that nothing would resume.
        and functions.SSL_CTX_set_max_early_data(pointer, 0)
        # What the ClientHello callback doesn't decide about shares nothing with anyone.
        and functions.SSL_CTX_set_session_id_context(pointer, os.urandom(CONTEXT_BYTES), CONTEXT_BYTES)
    )
    if not done:
        functions.ERR_clear_error()
        raise AttachError("OpenSSL refuses the settings that external caching needs")
    addresses = callbacks.addresses
    functions.SSL_CTX_sess_set_get_cb(pointer, addresses["get"])
    functions.SSL_CTX_sess_set_new_cb(pointer, addresses["new"])
    functions.SSL_CTX_sess_set_remove_cb(pointer, addresses["remove"] if remove else 0)
    functions.SSL_CTX_set_client_hello_cb(pointer, addresses["hello"], pointer)
    functions.SSL_CTX_set_generate_session_id(pointer, addresses["generate"])


def set_mode(callbacks: Callbacks, pointer: int, mode: Mode) -> None:
    """Let a context give tickets under the mesh's keys, or none. Never under its own: OpenSSL would make one, that no
    other server has and that isn't changed for as long as the context lives.
    """
    functions, addresses = callbacks.functions, callbacks.addresses
    if mode is Mode.SESSIONS:
        # Tickets: TLS 1.2 would never call new, TLS 1.3 would call it for sessions that nobody can look up.
        functions.SSL_CTX_set_options(pointer, SSL_OP_NO_TICKET)
        return
    functions.SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer, addresses["ticket_key"])
    argument = addresses.get("ticket_argument", 0)
    functions.SSL_CTX_set_session_ticket_cb(pointer, addresses["ticket_made"], addresses["ticket_opened"], argument)
    functions.SSL_CTX_clear_options(pointer, SSL_OP_NO_TICKET)


def uninstall(callbacks: Callbacks, pointer: int) -> None:
    """Take the callbacks away. Tickets and the internal cache stay off: nothing resumes on the context any more."""
    functions = callbacks.functions
    functions.SSL_CTX_set_options(pointer, SSL_OP_NO_TICKET)
    functions.SSL_CTX_set_client_hello_cb(pointer, 0, 0)
    functions.SSL_CTX_set_generate_session_id(pointer, 0)
    functions.SSL_CTX_sess_set_get_cb(pointer, 0)
    functions.SSL_CTX_sess_set_new_cb(pointer, 0)
    functions.SSL_CTX_sess_set_remove_cb(pointer, 0)
