"""Notices what a program has changed on a context since it joined: its sessions are bound to what it was then.

Reads a handful of numbers from OpenSSL and one attribute from Python; changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from meshcache.tls.functions import Functions, ffi
from meshcache.tls.names import has_ours, sni_callback
from meshcache.tls.state import SSL_OP_NO_TICKET

_GET_SESS_CACHE_MODE, _GET_MIN_PROTO, _GET_MAX_PROTO = 45, 130, 131
"""SSL_CTRL_… of <openssl/ssl.h>."""


class Setup(NamedTuple):
    """What matters for sharing and can be set again at any time; a field's name is the setting's."""

    session_tickets: bool
    options: int
    session_cache_mode: int
    num_tickets: int
    verify_mode: int
    minimum_version: int
    maximum_version: int
    sni_callback: bool


def setup_of(functions: Functions, pointer: int, context: object) -> Setup:
    """Return how a context is set up now."""
    options = functions.SSL_CTX_get_options(pointer)
    return Setup(
        session_tickets=not options & SSL_OP_NO_TICKET,
        options=options & ~SSL_OP_NO_TICKET,
        session_cache_mode=functions.SSL_CTX_ctrl(pointer, _GET_SESS_CACHE_MODE, 0, ffi.NULL),
        num_tickets=functions.SSL_CTX_get_num_tickets(pointer),
        verify_mode=functions.SSL_CTX_get_verify_mode(pointer),
        minimum_version=functions.SSL_CTX_ctrl(pointer, _GET_MIN_PROTO, 0, ffi.NULL),
        maximum_version=functions.SSL_CTX_ctrl(pointer, _GET_MAX_PROTO, 0, ffi.NULL),
        sni_callback=sni_callback(context) is not None and not has_ours(context),
    )


def changed(before: Setup, now: Setup) -> list[str]:
    """Return the names of the settings that differ."""
    return [name for name, one, other in zip(Setup._fields, before, now, strict=True) if one != other]
