"""The functions of OpenSSL that this package calls, as Python callables; no struct of OpenSSL's is ever looked into.

Pointers to OpenSSL's objects are plain numbers here: a number costs less to pass than an object that stands for one,
and nothing is freed behind anyone's back. Why cffi and not ctypes: hot, a call costs the same 0.2 us; cold, as in a
server that did something else meanwhile, 1 us against 2 us, and a handshake makes a dozen of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import _cffi_backend

from meshcache.errors import HookError

ffi: Any = _cffi_backend.FFI()
"""cffi's FFI as compiled modules have it, written in C: `cffi.FFI` adds a parser to it, and a Python call each time."""

PROTOTYPES: Mapping[str, str] = {
    # The library itself. As in its manual pages, with a number for each pointer to an object.
    "OpenSSL_version": "uintptr_t(int)",
    "TLS_method": "uintptr_t(void)",
    "ERR_clear_error": "void(void)",
    "OPENSSL_sk_num": "int(uintptr_t)",
    "OPENSSL_sk_value": "uintptr_t(uintptr_t, int)",
    "OPENSSL_sk_find": "int(uintptr_t, uintptr_t)",
    "OPENSSL_sk_free": "void(uintptr_t)",
    "CRYPTO_get_ex_new_index": "int(int, long, void *, void *, void *, void *)",
    # Contexts.
    "SSL_CTX_new": "uintptr_t(uintptr_t)",
    "SSL_CTX_free": "void(uintptr_t)",
    "SSL_CTX_ctrl": "long(uintptr_t, int, long, void *)",
    "SSL_CTX_get_security_level": "int(uintptr_t)",
    "SSL_CTX_get_options": "uint64_t(uintptr_t)",
    "SSL_CTX_set_options": "uint64_t(uintptr_t, uint64_t)",
    "SSL_CTX_clear_options": "uint64_t(uintptr_t, uint64_t)",
    "SSL_CTX_set_tlsext_ticket_key_evp_cb": "int(uintptr_t, uintptr_t)",
    "SSL_CTX_set_session_ticket_cb": "int(uintptr_t, uintptr_t, uintptr_t, uintptr_t)",
    "SSL_CTX_set_num_tickets": "int(uintptr_t, size_t)",
    "SSL_CTX_get_num_tickets": "size_t(uintptr_t)",
    "SSL_CTX_set_max_early_data": "int(uintptr_t, uint32_t)",
    "SSL_CTX_set_timeout": "long(uintptr_t, long)",
    "SSL_CTX_get_timeout": "long(uintptr_t)",
    "SSL_CTX_set_session_id_context": "int(uintptr_t, char *, unsigned int)",
    "SSL_CTX_set_client_hello_cb": "void(uintptr_t, uintptr_t, uintptr_t)",
    "SSL_CTX_set_generate_session_id": "int(uintptr_t, uintptr_t)",
    "SSL_CTX_sess_set_new_cb": "void(uintptr_t, uintptr_t)",
    "SSL_CTX_sess_set_get_cb": "void(uintptr_t, uintptr_t)",
    "SSL_CTX_sess_set_remove_cb": "void(uintptr_t, uintptr_t)",
    "SSL_CTX_get_verify_mode": "int(uintptr_t)",
    "SSL_CTX_get_verify_depth": "int(uintptr_t)",
    "SSL_CTX_get_verify_callback": "uintptr_t(uintptr_t)",
    "SSL_CTX_get_client_CA_list": "uintptr_t(uintptr_t)",
    "SSL_CTX_get_cert_store": "uintptr_t(uintptr_t)",
    "SSL_CTX_get0_param": "uintptr_t(uintptr_t)",
    "SSL_CTX_get0_client_cert_type": "int(uintptr_t, char **, size_t *)",
    "SSL_CTX_get0_server_cert_type": "int(uintptr_t, char **, size_t *)",
    "SSL_CTX_get0_certificate": "uintptr_t(uintptr_t)",
    "SSL_CTX_use_certificate_ASN1": "int(uintptr_t, int, char *)",
    "SSL_CTX_use_PrivateKey_ASN1": "int(int, uintptr_t, char *, long)",
    # Connections.
    "SSL_new": "uintptr_t(uintptr_t)",
    "SSL_free": "void(uintptr_t)",
    "SSL_ctrl": "long(uintptr_t, int, long, void *)",
    "SSL_set_options": "uint64_t(uintptr_t, uint64_t)",
    "SSL_set_connect_state": "void(uintptr_t)",
    "SSL_set_accept_state": "void(uintptr_t)",
    "SSL_set_bio": "void(uintptr_t, uintptr_t, uintptr_t)",
    "SSL_do_handshake": "int(uintptr_t)",
    "SSL_read": "int(uintptr_t, char *, int)",
    "SSL_version": "int(uintptr_t)",
    "SSL_session_reused": "int(uintptr_t)",
    "SSL_get_session": "uintptr_t(uintptr_t)",
    "SSL_get1_session": "uintptr_t(uintptr_t)",
    "SSL_set_session": "int(uintptr_t, uintptr_t)",
    "SSL_get_SSL_CTX": "uintptr_t(uintptr_t)",
    "SSL_set_SSL_CTX": "uintptr_t(uintptr_t, uintptr_t)",
    "SSL_get1_supported_ciphers": "uintptr_t(uintptr_t)",
    "SSL_get_ciphers": "uintptr_t(uintptr_t)",
    "SSL_get_security_callback": "uintptr_t(uintptr_t)",
    "SSL_CIPHER_get_kx_nid": "int(uintptr_t)",
    "SSL_get_negotiated_server_cert_type": "int(uintptr_t)",
    "SSL_get_verify_mode": "int(uintptr_t)",
    "SSL_get_verify_callback": "uintptr_t(uintptr_t)",
    "SSL_get_security_level": "int(uintptr_t)",
    "SSL_get0_param": "uintptr_t(uintptr_t)",
    "SSL_set_session_id_context": "int(uintptr_t, char *, unsigned int)",
    "SSL_get_ex_data": "uintptr_t(uintptr_t, int)",
    "SSL_set_ex_data": "int(uintptr_t, int, uintptr_t)",
    "SSL_get_servername": "char *(uintptr_t, int)",
    "SSL_client_hello_get0_ext": "int(uintptr_t, unsigned int, char **, size_t *)",
    "SSL_client_hello_get0_session_id": "size_t(uintptr_t, char **)",
    "BIO_new": "uintptr_t(uintptr_t)",
    "BIO_s_mem": "uintptr_t(void)",
    "BIO_read": "int(uintptr_t, char *, int)",
    "BIO_write": "int(uintptr_t, char *, int)",
    # Sessions.
    "i2d_SSL_SESSION": "int(uintptr_t, char **)",
    "d2i_SSL_SESSION": "uintptr_t(uintptr_t, char **, long)",
    "SSL_SESSION_free": "void(uintptr_t)",
    "SSL_SESSION_get_id": "char *(uintptr_t, unsigned int *)",
    "SSL_SESSION_get0_id_context": "char *(uintptr_t, unsigned int *)",
    "SSL_SESSION_get0_peer": "uintptr_t(uintptr_t)",
    "SSL_SESSION_get0_peer_rpk": "uintptr_t(uintptr_t)",
    "SSL_SESSION_get0_cipher": "uintptr_t(uintptr_t)",
    "SSL_SESSION_get_protocol_version": "int(uintptr_t)",
    "SSL_SESSION_get_max_early_data": "uint32_t(uintptr_t)",
    "SSL_SESSION_get_max_fragment_length": "uint8_t(uintptr_t)",
    "SSL_SESSION_get_compress_id": "unsigned int(uintptr_t)",
    "SSL_SESSION_set_time": "long(uintptr_t, long)",
    "SSL_SESSION_set_timeout": "long(uintptr_t, long)",
    "SSL_SESSION_set1_hostname": "int(uintptr_t, char *)",
    "SSL_SESSION_get0_ticket": "void(uintptr_t, char **, size_t *)",
    "SSL_SESSION_get0_ticket_appdata": "int(uintptr_t, char **, size_t *)",
    "SSL_SESSION_set1_ticket_appdata": "int(uintptr_t, char *, size_t)",
    "SSL_SESSION_get_ex_data": "uintptr_t(uintptr_t, int)",
    "SSL_SESSION_set_ex_data": "int(uintptr_t, int, uintptr_t)",
    # The cipher and the MAC of tickets.
    "EVP_aes_256_cbc": "uintptr_t(void)",
    "EVP_CIPHER_fetch": "uintptr_t(uintptr_t, char *, char *)",
    "EVP_EncryptInit_ex": "int(uintptr_t, uintptr_t, uintptr_t, char *, char *)",
    "EVP_DecryptInit_ex": "int(uintptr_t, uintptr_t, uintptr_t, char *, char *)",
    "EVP_MAC_init": "int(uintptr_t, char *, size_t, uintptr_t)",
    # What seals for the tiers.
    "EVP_CIPHER_free": "void(uintptr_t)",
    "EVP_CIPHER_CTX_new": "uintptr_t(void)",
    "EVP_CIPHER_CTX_free": "void(uintptr_t)",
    "EVP_CIPHER_CTX_ctrl": "int(uintptr_t, int, int, void *)",
    "EVP_EncryptUpdate": "int(uintptr_t, char *, int *, char *, int)",
    "EVP_EncryptFinal_ex": "int(uintptr_t, char *, int *)",
    "EVP_MD_fetch": "uintptr_t(uintptr_t, char *, char *)",
    "EVP_MD_free": "void(uintptr_t)",
    "EVP_Digest": "int(char *, size_t, char *, unsigned int *, uintptr_t, uintptr_t)",
    "OSSL_PARAM_BLD_new": "uintptr_t(void)",
    "OSSL_PARAM_BLD_push_utf8_string": "int(uintptr_t, char *, char *, size_t)",
    "OSSL_PARAM_BLD_to_param": "uintptr_t(uintptr_t)",
    "OSSL_PARAM_BLD_free": "void(uintptr_t)",
    # Certificates.
    "i2d_X509": "int(uintptr_t, char **)",
    "i2d_X509_CRL": "int(uintptr_t, char **)",
    "i2d_X509_NAME": "int(uintptr_t, char **)",
    "X509_OBJECT_get_type": "int(uintptr_t)",
    "X509_OBJECT_get0_X509": "uintptr_t(uintptr_t)",
    "X509_OBJECT_get0_X509_CRL": "uintptr_t(uintptr_t)",
    "X509_STORE_get0_objects": "uintptr_t(uintptr_t)",
    "X509_STORE_get0_param": "uintptr_t(uintptr_t)",
    "X509_STORE_CTX_new": "uintptr_t(void)",
    "X509_STORE_CTX_init": "int(uintptr_t, uintptr_t, uintptr_t, uintptr_t)",
    "X509_STORE_CTX_free": "void(uintptr_t)",
    "X509_STORE_CTX_set_flags": "void(uintptr_t, unsigned long)",
    "X509_STORE_CTX_set_default": "int(uintptr_t, char *)",
    "X509_STORE_CTX_get0_param": "uintptr_t(uintptr_t)",
    "X509_VERIFY_PARAM_set1": "int(uintptr_t, uintptr_t)",
    "X509_VERIFY_PARAM_set_auth_level": "void(uintptr_t, int)",
    "X509_VERIFY_PARAM_get_flags": "unsigned long(uintptr_t)",
    "X509_verify_cert": "int(uintptr_t)",
}

NEWER = frozenset(
    (
        "SSL_CTX_get0_client_cert_type",
        "SSL_CTX_get0_server_cert_type",
        "SSL_get_negotiated_server_cert_type",
        "SSL_SESSION_get0_peer_rpk",
    )
)
"""Raw public keys (RFC 7250), since OpenSSL 3.2: what an older one doesn't have to be asked about."""


SEALING = frozenset(
    (
        "EVP_CIPHER_free",
        "EVP_CIPHER_CTX_new",
        "EVP_CIPHER_CTX_free",
        "EVP_CIPHER_CTX_ctrl",
        "EVP_EncryptUpdate",
        "EVP_EncryptFinal_ex",
        "EVP_MD_fetch",
        "EVP_MD_free",
        "EVP_Digest",
    )
)
"""With these the tiers seal without the interpreter. A library that was linked without one of them serves handshakes
all the same."""


class Functions:
    """All of `PROTOTYPES` as attributes. NULL is 0, or `ffi.NULL` where a prototype says ``*``.

    Those in `NEWER` and `SEALING` answer 0, whatever they are asked, where the library lacks them.
    """

    def __init__(self, address_of: Callable[[str], int | None]) -> None:
        """Raises HookError, with the names, when functions are missing."""
        addresses = {name: address_of(name) or 0 for name in PROTOTYPES}
        missing = sorted(name for name, address in addresses.items() if address == 0 and name not in NEWER | SEALING)
        if missing:
            raise HookError(f"it lacks {', '.join(missing[:4])}{' and more' if len(missing) > 4 else ''}")
        self.addresses = addresses
        """For those who call them without cffi."""
        for name, prototype in PROTOTYPES.items():
            setattr(self, name, _callable(prototype, addresses[name]) if addresses[name] else _absent)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...


def _callable(prototype: str, address: int) -> Callable[..., Any]:
    found: Callable[..., Any] = ffi.cast(prototype.replace("(", "(*)(", 1), address)
    return found


def _absent(*_: object) -> int:
    """Stand for a function that the library lacks."""
    return 0


def der_of(encode: Callable[..., int], thing: int) -> bytes:
    """Return what an ``i2d_`` function makes of an object; empty when it can't be encoded."""
    length = encode(thing, ffi.NULL)
    if length <= 0:
        return b""
    buffer = ffi.new("char[]", length)
    encode(thing, ffi.new("char *[1]", [buffer]))
    return bytes(ffi.buffer(buffer, length))
