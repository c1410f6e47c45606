"""Tells sessions that may travel from those that remember more of a connection than their scope says.

Asked of every session twice: when this node made it, before it is kept, and when it comes from the cache, before
OpenSSL sees it, since another node may have made it. What a field of a session does at resumption is OpenSSL's alone,
so each field that can do something stands here, in a scope (`core.policy.scope`) or in a check of `lookup`.
"""

from __future__ import annotations

from collections.abc import Callable

from meshcache.core.policy.gates import Verdict
from meshcache.tls.functions import Functions

KEY_EXCHANGES = frozenset({1037, 1038, 1039, 1063})
"""NID_kx_rsa, NID_kx_ecdhe, NID_kx_dhe and NID_kx_any of <openssl/obj_mac.h>: RSA, (EC)DHE and TLS 1.3. With any other
the client has shown a key of its own (PSK) or a password (SRP), which OpenSSL takes over into a resumed connection."""


def ordinary_check(functions: Functions) -> Callable[[int], Verdict]:
    """Return a function that says of an ``SSL_SESSION *`` why it may not travel, or ALLOWED."""
    early_data_of, raw_key_of = functions.SSL_SESSION_get_max_early_data, functions.SSL_SESSION_get0_peer_rpk
    fragments_of, compression_of = functions.SSL_SESSION_get_max_fragment_length, functions.SSL_SESSION_get_compress_id
    cipher_of, exchange_of = functions.SSL_SESSION_get0_cipher, functions.SSL_CIPHER_get_kx_nid
    allowed, der, protocol, client = Verdict.ALLOWED, Verdict.DER, Verdict.PROTOCOL, Verdict.CLIENT_CERTIFICATE

    def ordinary(session: int) -> Verdict:
        if early_data_of(session):
            return der
        # OpenSSL sends the one extension unasked, at which clients end the handshake, and refuses the other.
        if fragments_of(session) or compression_of(session):
            return protocol
        # Raw public keys (RFC 7250) aren't certificates to `SSL_SESSION_get0_peer`; nothing can check them again.
        cipher = cipher_of(session)
        if raw_key_of(session) or not cipher or exchange_of(cipher) not in KEY_EXCHANGES:
            return client
        return allowed

    return ordinary
