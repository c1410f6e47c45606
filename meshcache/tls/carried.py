"""Tells what of a context a connection doesn't get when its server name moves it there, after it came to another one.

``SSL_set_SSL_CTX`` takes over the certificates with their chains and keys, the security level and the signature
algorithms; what OpenSSL reads from the context when it needs it is the new one's as well: cipher lists, authorities
(those trusted and those named to clients), ALPN, status, info and key log callbacks. What `SSL_new` has copied stays as
it was where the connection came to: what is asked of clients, options, versions, the number of tickets; and groups,
which nobody can read from a context. tests/tls/test_carried.py holds both OpenSSLs to that.
"""

from __future__ import annotations

from typing import NamedTuple

from meshcache.tls.facts import FLAGS_OF_NO_CONSEQUENCE
from meshcache.tls.functions import Functions, ffi
from meshcache.tls.install import OPENSSL_TICKETS
from meshcache.tls.state import SSL_OP_NO_TICKET, TLS13

_GET_MIN_PROTO, _GET_MAX_PROTO = 130, 131
"""SSL_CTRL_… of <openssl/ssl.h>; a bound of 0 is the first or the last version that there is."""

_TLS10 = 0x0301


class LeftBehind(NamedTuple):
    """What must be equal of two contexts for a connection to be moved from one to the other; a field is a setting."""

    verify_mode: int
    verify_callback: int
    verify_depth: int
    verify_flags: int
    options: int
    minimum_version: int
    maximum_version: int
    num_tickets: int


def left_behind(functions: Functions, pointer: int, own_tickets: int | None = None) -> LeftBehind:
    """Read them from a context. `own_tickets` is the program's number for one that is attached already."""
    verify_mode = functions.SSL_CTX_get_verify_mode(pointer)
    asks = verify_mode != 0  # else nothing is verified, in whatever way
    flags = functions.X509_VERIFY_PARAM_get_flags(functions.SSL_CTX_get0_param(pointer)) & ~FLAGS_OF_NO_CONSEQUENCE
    return LeftBehind(
        verify_mode,
        functions.SSL_CTX_get_verify_callback(pointer) if asks else 0,
        functions.SSL_CTX_get_verify_depth(pointer) if asks else 0,
        flags if asks else 0,
        functions.SSL_CTX_get_options(pointer) & ~SSL_OP_NO_TICKET,  # the mesh turns tickets off, or sees to them
        functions.SSL_CTX_ctrl(pointer, _GET_MIN_PROTO, 0, ffi.NULL) or _TLS10,
        functions.SSL_CTX_ctrl(pointer, _GET_MAX_PROTO, 0, ffi.NULL) or TLS13,
        functions.SSL_CTX_get_num_tickets(pointer) if own_tickets is None else own_tickets or OPENSSL_TICKETS,
    )


def differences(mine: LeftBehind, listening: LeftBehind) -> list[str]:
    """Return the settings in which a context differs from the one that listens, in words for an operator."""
    return [
        f"{name} is {_shown(name, one)} where the listening context's is {_shown(name, other)}"
        for name, one, other in zip(LeftBehind._fields, mine, listening, strict=True)
        if one != other
    ]


_MODES = {0: "none", 1: "optional", 3: "required"}
_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


def _shown(name: str, value: int) -> str:
    match name:
        case "verify_mode":
            return _MODES.get(value, str(value))
        case "minimum_version" | "maximum_version":
            return _VERSIONS.get(value, hex(value))
        case "options" | "verify_flags":
            return hex(value)
        case "verify_callback":
            return "another" if value else "none"
        case _:
            return str(value)
