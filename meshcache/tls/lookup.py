"""The get callback: a session id from a client becomes a session object that OpenSSL may resume with, or a miss.

Whatever the cache says is checked here by OpenSSL's own getters, since most of it came from another machine. OpenSSL
takes the object over (``*copy = 0``): each connection has its own, for a session may not be shared between threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshcache.core.policy.gates import Verdict
from meshcache.tls.functions import ffi
from meshcache.tls.revalidate import certificate_still_good
from meshcache.tls.state import REMEMBERED_MAX, Attached, State

ALLOWED, DER = Verdict.ALLOWED, Verdict.DER


def get_callback(state: State) -> Callable[[int, Any, int, Any], int]:
    """The Python side of it."""
    functions, unpack = state.functions, ffi.unpack
    ctx_of, verify_mode_of = functions.SSL_get_SSL_CTX, functions.SSL_get_verify_mode
    attachment_at, apart = state.attachments.get, state.apart
    session_for = _session_maker(state)

    def get(ssl: int, data: Any, length: int, copy: Any) -> int:
        copy[0] = 0
        attached = attachment_at(ctx_of(ssl))
        if attached is None or ssl in apart or verify_mode_of(ssl) != attached.verify_mode:
            return 0  # the last: it asks for more of its clients than its scope says, or for less
        try:
            session_id = unpack(data, length)
            found = attached.port.find(session_id)
            return 0 if found is None else session_for(ssl, attached, session_id, found[0], found[1])
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            functions.ERR_clear_error()
            attached.port.fault("get")
            return 0

    return get


def _session_maker(state: State) -> Callable[[int, Attached, bytes, bytes, int], int]:
    functions, address = state.functions, ffi.from_buffer
    decode, free, set_ex = functions.d2i_SSL_SESSION, functions.SSL_SESSION_free, functions.SSL_SESSION_set_ex_data
    version_of, agreed_version = functions.SSL_SESSION_get_protocol_version, functions.SSL_version
    take, give_back, token_index, hits = state.take_scratch, state.scratch.append, state.token_index, state.hits
    fitness = _fitness_check(state)

    def session_for(ssl: int, attached: Attached, session_id: bytes, der: bytes, token: int) -> int:
        """A session object, or 0. OpenSSL itself compares session id contexts, and looks at the age."""
        scratch = take()
        start = address(der)
        scratch.cursor[0] = start
        session: int = decode(0, scratch.cursor, len(der))
        verdict, given = DER, 0
        try:
            if session and scratch.cursor[0] - start == len(der):  # OpenSSL ignores a tail
                verdict = fitness(ssl, attached, session, session_id, token, scratch)
            # A stranger who saw an id can offer it under another version: a miss that burns nothing. (OpenSSL would
            # compare too, in TLS 1.3 only after a binder that can't verify, which is fatal.)
            if verdict is ALLOWED and version_of(session) == agreed_version(ssl):
                set_ex(session, token_index, token)
                given = session
        finally:
            if not given:
                free(session)
        give_back(scratch)
        if verdict is ALLOWED:
            if len(hits) >= REMEMBERED_MAX:
                hits.clear()
            hits.add(ssl)
            return given
        # What was queued by a failed decoding would turn this connection's next "want read" into an error.
        functions.ERR_clear_error()
        attached.port.unusable(session_id, verdict)
        return 0

    return session_for


def _fitness_check(state: State) -> Callable[..., Verdict]:
    functions, unpack = state.functions, ffi.unpack
    id_of, early_data_of = functions.SSL_SESSION_get_id, functions.SSL_SESSION_get_max_early_data
    position, ciphers_of = functions.OPENSSL_sk_find, functions.SSL_get_ciphers
    cipher_of, peer_of = functions.SSL_SESSION_get0_cipher, functions.SSL_SESSION_get0_peer

    def fitness(ssl: int, attached: Attached, session: int, session_id: bytes, token: int, scratch: Any) -> Verdict:
        """What OpenSSL does not look at: the entry's own id, early data, today's ciphers, the client certificate."""
        place = id_of(session, scratch.count)
        if unpack(place, scratch.count[0]) != session_id or early_data_of(session):
            return DER
        if position(ciphers_of(ssl), cipher_of(session)) < 0:
            return Verdict.PROTOCOL
        certificate = peer_of(session)
        if certificate and not allowed(ssl, attached, certificate, token):
            return Verdict.CLIENT_CERTIFICATE
        return ALLOWED

    def allowed(ssl: int, attached: Attached, certificate: int, token: int) -> bool:
        port = attached.port
        if not attached.revalidates or not (port.allows_client_certificates or port.made_here(token)):
            return False
        return certificate_still_good(functions, ssl, certificate)

    return fitness
