"""The functions of OpenSSL that this package calls, as Python callables; no struct of OpenSSL's is ever looked into.

Why ctypes, and without giving up the interpreter's lock: a call costs 0.17 us against 0.25 us through cffi, a handshake
makes two dozen of them, and a thread that gives up the lock that often in a busy server waits for it that often. Only
what can take long (`_SLOW`) gives it up. OpenSSL holds none of its own locks while it calls back into Python with the
internal cache off, so that holding ours during such a call can't end in two threads waiting for each other.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from meshcache.errors import HookError

_ANY = ctypes.c_void_p
"""A pointer, or a small non-negative number: every ABI that Python's Linux wheels exist for passes both the same way,
and ctypes converts this type fastest."""
_INT = ctypes.c_int
_LONG = ctypes.c_long
_U64 = ctypes.c_uint64
_TEXT = ctypes.c_char_p

PROTOTYPES: Mapping[str, tuple[Any, ...]] = {
    # The library itself. Result first, then the arguments, as in its manual pages.
    "OpenSSL_version": (_ANY, _ANY),
    "TLS_method": (_ANY,),
    "ERR_clear_error": (None,),
    "OPENSSL_sk_num": (_INT, _ANY),
    "OPENSSL_sk_value": (_ANY, _ANY, _ANY),
    "OPENSSL_sk_find": (_INT, _ANY, _ANY),
    "CRYPTO_get_ex_new_index": (_INT, _INT, _LONG, _ANY, _ANY, _ANY, _ANY),
    # Contexts.
    "SSL_CTX_new": (_ANY, _ANY),
    "SSL_CTX_free": (None, _ANY),
    "SSL_CTX_ctrl": (_LONG, _ANY, _INT, _LONG, _ANY),
    "SSL_CTX_get_options": (_U64, _ANY),
    "SSL_CTX_set_options": (_U64, _ANY, _U64),
    "SSL_CTX_set_num_tickets": (_INT, _ANY, _ANY),
    "SSL_CTX_set_max_early_data": (_INT, _ANY, _ANY),
    "SSL_CTX_set_timeout": (_LONG, _ANY, _LONG),
    "SSL_CTX_set_session_id_context": (_INT, _ANY, _TEXT, _ANY),
    "SSL_CTX_set_client_hello_cb": (None, _ANY, _ANY, _ANY),
    "SSL_CTX_sess_set_new_cb": (None, _ANY, _ANY),
    "SSL_CTX_sess_set_get_cb": (None, _ANY, _ANY),
    "SSL_CTX_sess_set_remove_cb": (None, _ANY, _ANY),
    "SSL_CTX_set_ex_data": (_INT, _ANY, _ANY, _ANY),
    "SSL_CTX_get_ex_data": (_ANY, _ANY, _ANY),
    "SSL_CTX_get_verify_mode": (_INT, _ANY),
    "SSL_CTX_get_verify_depth": (_INT, _ANY),
    "SSL_CTX_get_verify_callback": (_ANY, _ANY),
    "SSL_CTX_get_client_CA_list": (_ANY, _ANY),
    "SSL_CTX_get_cert_store": (_ANY, _ANY),
    "SSL_CTX_get0_param": (_ANY, _ANY),
    "SSL_CTX_get0_certificate": (_ANY, _ANY),
    "SSL_CTX_use_certificate_ASN1": (_INT, _ANY, _INT, _TEXT),
    "SSL_CTX_use_PrivateKey_ASN1": (_INT, _INT, _ANY, _TEXT, _LONG),
    # Connections.
    "SSL_new": (_ANY, _ANY),
    "SSL_free": (None, _ANY),
    "SSL_ctrl": (_LONG, _ANY, _INT, _LONG, _ANY),
    "SSL_set_connect_state": (None, _ANY),
    "SSL_set_accept_state": (None, _ANY),
    "SSL_set_bio": (None, _ANY, _ANY, _ANY),
    "SSL_do_handshake": (_INT, _ANY),
    "SSL_read": (_INT, _ANY, _ANY, _INT),
    "SSL_version": (_INT, _ANY),
    "SSL_session_reused": (_INT, _ANY),
    "SSL_get_session": (_ANY, _ANY),
    "SSL_get1_session": (_ANY, _ANY),
    "SSL_set_session": (_INT, _ANY, _ANY),
    "SSL_get_SSL_CTX": (_ANY, _ANY),
    "SSL_get_ciphers": (_ANY, _ANY),
    "SSL_get_verify_mode": (_INT, _ANY),
    "SSL_get_verify_callback": (_ANY, _ANY),
    "SSL_get_security_level": (_INT, _ANY),
    "SSL_get0_param": (_ANY, _ANY),
    "SSL_get_ex_data": (_ANY, _ANY, _ANY),
    "SSL_set_ex_data": (_INT, _ANY, _ANY, _ANY),
    "SSL_set_session_id_context": (_INT, _ANY, _TEXT, _ANY),
    "SSL_client_hello_get0_ext": (_INT, _ANY, _ANY, _ANY, _ANY),
    "BIO_new": (_ANY, _ANY),
    "BIO_s_mem": (_ANY,),
    "BIO_read": (_INT, _ANY, _ANY, _INT),
    "BIO_write": (_INT, _ANY, _TEXT, _INT),
    # Sessions.
    "i2d_SSL_SESSION": (_INT, _ANY, _ANY),
    "d2i_SSL_SESSION": (_ANY, _ANY, _ANY, _ANY),
    "SSL_SESSION_free": (None, _ANY),
    "SSL_SESSION_get_id": (_ANY, _ANY, _ANY),
    "SSL_SESSION_get0_id_context": (_ANY, _ANY, _ANY),
    "SSL_SESSION_get0_peer": (_ANY, _ANY),
    "SSL_SESSION_get0_cipher": (_ANY, _ANY),
    "SSL_SESSION_get_protocol_version": (_INT, _ANY),
    "SSL_SESSION_get_max_early_data": (_INT, _ANY),
    "SSL_SESSION_get_ex_data": (_ANY, _ANY, _ANY),
    "SSL_SESSION_set_ex_data": (_INT, _ANY, _ANY, _ANY),
    # Certificates.
    "i2d_X509": (_INT, _ANY, _ANY),
    "i2d_X509_CRL": (_INT, _ANY, _ANY),
    "i2d_X509_NAME": (_INT, _ANY, _ANY),
    "X509_OBJECT_get_type": (_INT, _ANY),
    "X509_OBJECT_get0_X509": (_ANY, _ANY),
    "X509_OBJECT_get0_X509_CRL": (_ANY, _ANY),
    "X509_STORE_get0_objects": (_ANY, _ANY),
    "X509_STORE_get0_param": (_ANY, _ANY),
    "X509_STORE_CTX_new": (_ANY,),
    "X509_STORE_CTX_init": (_INT, _ANY, _ANY, _ANY, _ANY),
    "X509_STORE_CTX_free": (None, _ANY),
    "X509_STORE_CTX_set_default": (_INT, _ANY, _TEXT),
    "X509_STORE_CTX_get0_param": (_ANY, _ANY),
    "X509_VERIFY_PARAM_set1": (_INT, _ANY, _ANY),
    "X509_VERIFY_PARAM_set_auth_level": (None, _ANY, _INT),
    "X509_VERIFY_PARAM_get_flags": (_LONG, _ANY),
    "X509_VERIFY_PARAM_get_depth": (_INT, _ANY),
    "X509_VERIFY_PARAM_get_auth_level": (_INT, _ANY),
    "X509_verify_cert": (_INT, _ANY),
}

_SLOW = frozenset({"X509_verify_cert", "SSL_do_handshake"})
"""May check signatures or read files: other threads run meanwhile."""


class Functions:
    """All of `PROTOTYPES` as attributes. A pointer that is NULL comes back as None."""

    def __init__(self, address_of: Callable[[str], int | None]) -> None:
        """Raises HookError, with the names, when functions are missing."""
        addresses = {name: address_of(name) or 0 for name in PROTOTYPES}
        missing = sorted(name for name, address in addresses.items() if address == 0)
        if missing:
            raise HookError(f"it lacks {', '.join(missing[:4])}{' and more' if len(missing) > 4 else ''}")
        for name, prototype in PROTOTYPES.items():
            kind = ctypes.CFUNCTYPE if name in _SLOW else ctypes.PYFUNCTYPE
            setattr(self, name, kind(*prototype)(addresses[name]))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...


bytes_at: Callable[[int, int], bytes] = ctypes.PYFUNCTYPE(ctypes.py_object, _ANY, _ANY)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
"""A copy of so many bytes at an address: `ctypes.string_at`, at half its price."""


def der_of(encode: Callable[..., int], thing: int) -> bytes:
    """What an ``i2d_`` function makes of an object; empty when it can't be encoded."""
    length = encode(thing, None)
    if length <= 0:
        return b""
    buffer = ctypes.create_string_buffer(length)
    target = ctypes.c_void_p(ctypes.addressof(buffer))
    encode(thing, ctypes.addressof(target))
    return buffer.raw
