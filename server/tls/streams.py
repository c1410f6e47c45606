"""Makes the TLS stream of each connection: compiled where there is a module for it, else `stream.TlsStream`.

`steps.c` is that class once more, with one call where Python takes five through cffi, and with pyOpenSSL's object for
the connections alone whose application asks for it. OpenSSL is pyOpenSSL's own, by the addresses of what it calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from .stream import TlsStream, UnlistedConnection, raise_refusal

if TYPE_CHECKING:
    from .._steps import TlsStream as CompiledStream

    AnyStream = TlsStream | CompiledStream
    """One as the other."""

INTERFACE = 4
"""What `steps.c` can be asked, as it says too: a module from before a change is not used."""

_FUNCTIONS = (
    "SSL_new",
    "SSL_free",
    "SSL_set_accept_state",
    "SSL_set_mode",
    "SSL_set_bio",
    "SSL_do_handshake",
    "SSL_get_error",
    "SSL_read",
    "SSL_write",
    "SSL_shutdown",
    "SSL_set_shutdown",
    "SSL_version",
    "SSL_session_reused",
    "BIO_new",
    "BIO_s_mem",
    "BIO_read",
    "BIO_write",
    "BIO_free",
    "ERR_clear_error",
)

_KEPT = ("_verify_helper", "_verify_callback", "_cookie_generate_helper", "_cookie_verify_helper")
"""What a connection keeps alive of its context's."""


def load() -> ModuleType | None:
    """Return the compiled module; None where there is none for this OpenSSL, or MESHCACHE_PURE wants Python."""
    if os.environ.get("MESHCACHE_PURE", "") not in ("", "0", "no"):
        return None
    try:
        from .. import _steps

        home = lib.SSL_new.__self__  # cffi's library, which alone tells addresses
        addresses = {name: _address(ffi.addressof(home, name)) for name in _FUNCTIONS}
    except (ImportError, AttributeError, TypeError):  # it is a choice between two ways that do the same
        return None
    if getattr(_steps, "INTERFACE", 0) != INTERFACE:
        return None
    _steps.use(addresses)
    return _steps


def path() -> str:
    """Return which way the server's connections go: ``c`` or ``python``."""
    return "python" if compiled is None else "c"


def maker(context: SSL.Context, listed: bool = True) -> Callable[[Any], AnyStream]:
    """Return what makes the stream of a connection with this context, given a buffer of `stream.make_scratch`.

    `listed` as in `service.Service`.
    """
    if compiled is None:
        return partial(TlsStream, context, listed=listed)
    context._used = True  # noqa: SLF001  # as its connections do: what is set from now on may come too late
    address = _address(context._context)  # noqa: SLF001
    made: Callable[[Any], AnyStream] = compiled.Maker(context, address, partial(_wrap, listed), raise_refusal, listed)
    return made


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _wrap(
    listed: bool, context: SSL.Context, ssl: int, into: int, out_of: int, known: SSL.Connection | None
) -> SSL.Connection:
    """Return pyOpenSSL's object of a connection, which frees it from now on; or let a known one know its new BIOs.

    Its attributes are those of ``Connection.__init__``, which makes the connection itself.
    """
    about = {"_into_ssl": ffi.cast("BIO *", into), "_from_ssl": ffi.cast("BIO *", out_of)}
    if known is not None:
        vars(known).update(about)
        return known
    connection = SSL.Connection.__new__(SSL.Connection if listed else UnlistedConnection)
    kept = {name: getattr(context, name, None) for name in _KEPT}
    nothing = {"_app_data": None, "_alpn_select_callback_args": None, "_socket": None}
    vars(connection).update(about, **kept, **nothing, _context=context)
    pointer = ffi.cast("SSL *", ssl)
    if listed:
        SSL.Connection._reverse_mapping[pointer] = connection  # noqa: SLF001
    vars(connection)["_ssl"] = ffi.gc(pointer, lib.SSL_free)  # last: before it the caller is the owner
    return connection


compiled = load()
"""What this process uses."""
