"""Checks a session's client certificate again, at the moment it would resume: OpenSSL itself does not.

On resumption OpenSSL takes over the result of the first verification, however long ago and wherever that was
(SSL_get_verify_result(3)). The check here is the one that a full handshake makes, by the same store, parameters and
purpose, so that a certificate that has expired, or stands in a revocation list by now, ends in a full handshake.

A session holds the client's own certificate and none of its issuers (d2i_SSL_SESSION(3)): intermediate authorities
must be in the context's store, else such clients shake hands in full. An application's own verify callback is not
asked, and therefore a context or a connection that has one never gets here.
"""

from __future__ import annotations

from meshcache.tls.functions import Functions, ffi

_GET_VERIFY_CERT_STORE = 137
"""SSL_CTRL_GET_VERIFY_CERT_STORE: the store that SSL_CTX_set1_verify_cert_store(3) set, if any."""


_GET_CERT_FLAGS = 99
"""SSL_CTRL_CERT_FLAGS, which adds the flags that it is given and tells all."""

_SUITE_B = 0x30000
"""SSL_CERT_FLAG_SUITEB_128_LOS, of cipher lists such as "SUITEB128" (RFC 6460); X509_V_FLAG_… has the same bits."""


def certificate_still_good(functions: Functions, ssl: int, certificate: int) -> bool:
    """Return whether the chain of a client's ``X509 *`` verifies now, under what the connection asks of its clients.

    Takes as long as the verification of a full handshake, 0.1 to 1 ms, without the interpreter's lock.
    """
    context = functions.X509_STORE_CTX_new()
    if not context:
        return False
    try:
        return _prepare(functions, ssl, context, certificate) and functions.X509_verify_cert(context) == 1
    finally:
        functions.X509_STORE_CTX_free(context)
        functions.ERR_clear_error()


def _prepare(functions: Functions, ssl: int, context: int, certificate: int) -> bool:
    """Set the context up as OpenSSL's own ssl_verify_cert_chain does: defaults first, the connection's own last."""
    store = _store(functions, ssl)
    if not store or functions.X509_STORE_CTX_init(context, store, certificate, 0) != 1:
        return False
    parameters = functions.X509_STORE_CTX_get0_param(context)
    functions.X509_VERIFY_PARAM_set_auth_level(parameters, functions.SSL_get_security_level(ssl))
    functions.X509_STORE_CTX_set_flags(context, functions.SSL_ctrl(ssl, _GET_CERT_FLAGS, 0, ffi.NULL) & _SUITE_B)
    return bool(
        functions.X509_STORE_CTX_set_default(context, b"ssl_client") == 1
        and functions.X509_VERIFY_PARAM_set1(parameters, functions.SSL_get0_param(ssl)) == 1
    )


def _store(functions: Functions, ssl: int) -> int:
    own = ffi.new("uintptr_t[1]")
    functions.SSL_ctrl(ssl, _GET_VERIFY_CERT_STORE, 0, own)
    return own[0] or int(functions.SSL_CTX_get_cert_store(functions.SSL_get_SSL_CTX(ssl)))
