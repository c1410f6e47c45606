"""OpenSSL's three callbacks for tickets: which key, what is written beside the session, and what may be used of one.

A ticket's session passes the checks that one from the cache passes, before OpenSSL may use it. Whatever is wrong with a
ticket is a full handshake, counted by its reason, and never an alert: a key that isn't known and a MAC that doesn't fit
are no news to OpenSSL (RFC 5077 section 3.2), and all else is said to be ignored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from meshcache.core.policy.gates import Verdict
from meshcache.tls.creation import full_handshake_counter, objection_check, resumption_counter
from meshcache.tls.functions import ffi
from meshcache.tls.lineage import lineage_marker
from meshcache.tls.lookup import clock_restarter, fitness_check, name_keeper, scope_check
from meshcache.tls.ordinary import ordinary_check
from meshcache.tls.state import (
    APART,
    APART_REFUSED,
    ASKED,
    HIT,
    NOTHING,
    REFUSED,
    SSL_OP_NO_TICKET,
    TLS12,
    Attached,
    State,
)
from meshcache.tls.ticket_keys import LINEAGE_BYTES, PREFIX_BYTES, EdgeKey, Note, read_note, write_note

IV_BYTES = 16
_NAME_BYTES = 16

NO_KEY, USED = 0, 1
"""What the key callback answers, SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 is no ticket when encrypting, and a full
handshake when opening."""

_NO_DECRYPT, _SUCCESS, _SUCCESS_RENEW = 4, 5, 6
IGNORE_RENEW, USE, USE_RENEW = 2, 3, 4
"""SSL_TICKET_STATUS and SSL_TICKET_RETURN, SSL_CTX_set_session_ticket_cb(3)."""

_APPDATA_BYTES_MAX = 256


def ticket_key_callback(state: State) -> Callable[[int, Any, Any, int, int, int], int]:
    """Return the function by which OpenSSL gets a key: AES-256-CBC with HMAC-SHA-256."""
    functions, unpack = state.functions, ffi.unpack
    attachment_at, ctx_of, session_of = state.attachments.get, functions.SSL_get_SSL_CTX, functions.SSL_get_session
    encrypt, decrypt, mac_init = functions.EVP_EncryptInit_ex, functions.EVP_DecryptInit_ex, functions.EVP_MAC_init
    cipher, digest, note_of = functions.EVP_aes_256_cbc(), hmac_sha256(functions), _note_reader(state)

    def load(key: EdgeKey, start: Callable[..., int], iv: Any, cipher_ctx: int, mac_ctx: int) -> int:
        done = mac_init(mac_ctx, key.mac, len(key.mac), digest) == 1 and start(cipher_ctx, cipher, 0, key.aes, iv) == 1
        return USED if done else NO_KEY

    def ticket_key(ssl: int, name: Any, iv: Any, cipher_ctx: int, mac_ctx: int, encrypting: int) -> int:
        attached = attachment_at(ctx_of(ssl))
        keys = None if attached is None else attached.port.ticket_keys
        if attached is None or keys is None:
            return NO_KEY
        try:
            now = attached.port.now()
            if not encrypting:
                key = keys.open(unpack(name, _NAME_BYTES), now)
                return NO_KEY if key is None else load(key, decrypt, iv, cipher_ctx, mac_ctx)
            note = note_of(session_of(ssl))  # none where no ticket is to be given
            key = None if note is None else keys.by_prefix(note.prefix)
            if key is None or now >= key.encrypts_until:
                return NO_KEY
            random = os.urandom(IV_BYTES)
            ffi.memmove(iv, random, IV_BYTES)
            ffi.memmove(name, key.name, _NAME_BYTES)
            if load(key, encrypt, random, cipher_ctx, mac_ctx) == NO_KEY:
                return NO_KEY
            attached.port.ticket_issued()
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            functions.ERR_clear_error()
            attached.port.fault("ticket_key")
            return NO_KEY
        return USED

    return ticket_key


def ticket_made_callback(state: State) -> Callable[[int, Any], int]:
    """Return the function that OpenSSL calls before it writes a ticket: counts the handshake, and notes what the ticket
    has to say of itself, or that none is to be given.
    """
    functions = state.functions
    attachment_at, ctx_of, session_of = state.attachments.get, functions.SSL_get_SSL_CTX, functions.SSL_get_session
    options, get_ex, token_index = functions.SSL_set_options, functions.SSL_SESSION_get_ex_data, state.token_index
    made_in_full, count_resumption = full_handshake_counter(state), resumption_counter(state)
    objection, mark_lineage, set_note = objection_check(state), lineage_marker(state), _note_writer(state)
    version_of = functions.SSL_SESSION_get_protocol_version

    def ticket_made(ssl: int, _arg: Any) -> int:
        attached = attachment_at(ctx_of(ssl))
        if attached is None or options(ssl, 0) & SSL_OP_NO_TICKET:  # a session for the cache, in the shape of a ticket
            return 1
        try:
            session = session_of(ssl)
            mark_lineage(session)
            token = get_ex(session, token_index)
            if token:
                if version_of(session) > TLS12:
                    count_resumption(attached, session, token)
            elif not made_in_full(ssl, attached, session):
                set_note(session, b"")
                return 1
            set_note(session, note_for(ssl, attached, session, token))
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            functions.ERR_clear_error()
            attached.port.fault("ticket_made")
        return 1  # 0 ends the handshake

    def note_for(ssl: int, attached: Attached, session: int, token: int) -> bytes:
        """Return the note; none where the session isn't one that its scope tells all of, or there is no key."""
        scratch = state.take_scratch()
        reason = objection(ssl, attached, session, scratch)
        state.scratch.append(scratch)
        if reason is not Verdict.ALLOWED:
            attached.port.session_refused(reason)
            return b""
        keys, now = attached.port.ticket_keys, attached.port.now()
        key = None if keys is None else keys.encrypting(now)
        if keys is None or key is None:
            return b""
        born_at = attached.port.born_at(token) if token else None
        return write_note(key, 0.0 if born_at is None else now - born_at, keys.node, now)

    return ticket_made


def ticket_opened_callback(state: State) -> Callable[[int, int, Any, int, int, Any], int]:
    """Return the function that OpenSSL asks whether it may use what it found in a ticket, or didn't."""
    functions, unpack = state.functions, ffi.unpack
    attachment_at, ctx_of, mark_of = state.attachments.get, functions.SSL_get_SSL_CTX, functions.SSL_get_ex_data
    set_mark, mark_index = functions.SSL_set_ex_data, state.mark_index
    use, judge, not_opened = _user(state), _judge(state), _unopened_counter(state)

    def ticket_opened(ssl: int, session: int, name: Any, name_bytes: int, status: int, _arg: Any) -> int:
        attached = attachment_at(ctx_of(ssl))
        if attached is None:
            return IGNORE_RENEW
        try:
            mark = mark_of(ssl, mark_index)
            if session and status in (_SUCCESS, _SUCCESS_RENEW):
                return opened(ssl, attached, session, unpack(name, name_bytes), mark)
            if status == _NO_DECRYPT:
                not_opened(ssl, attached, unpack(name, name_bytes), mark)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            functions.ERR_clear_error()
            attached.port.fault("ticket_opened")
        return IGNORE_RENEW

    def opened(ssl: int, attached: Attached, session: int, name: bytes, mark: int) -> int:
        """Use the session of a ticket, or refuse it: counted once, since a second ClientHello offers it again."""
        if mark in (APART, APART_REFUSED):
            reason, token, key = Verdict.NAME_CLASS, 0, None
        else:
            reason, token, key = judge(ssl, attached, session, name)
        if reason is Verdict.ALLOWED:
            return use(ssl, attached, session, token, key, mark)
        if mark not in (REFUSED, APART_REFUSED):
            attached.port.ticket_refused(reason)
            set_mark(ssl, mark_index, APART_REFUSED if mark == APART else REFUSED)
        return IGNORE_RENEW

    return ticket_opened


def _unopened_counter(state: State) -> Callable[[int, Attached, bytes, int], None]:
    functions, set_mark, mark_index = state.functions, state.functions.SSL_set_ex_data, state.mark_index

    def not_opened(ssl: int, attached: Attached, name: bytes, mark: int) -> None:
        """Count a ticket of an unknown key, or one that was changed on its way."""
        functions.ERR_clear_error()
        if mark != NOTHING:
            return
        keys = attached.port.ticket_keys
        known = keys is not None and keys.open(name, attached.port.now()) is not None
        if known:
            attached.port.ticket_refused(Verdict.DER)
            set_mark(ssl, mark_index, REFUSED)
        else:
            attached.port.ticket_unknown()
            set_mark(ssl, mark_index, ASKED)

    return not_opened


def _judge(state: State) -> Callable[[int, Attached, int, bytes], tuple[Verdict, int, EdgeKey | None]]:
    functions = state.functions
    version_of, agreed_version = functions.SSL_SESSION_get_protocol_version, functions.SSL_version
    verify_mode_of, peer_of = functions.SSL_get_verify_mode, functions.SSL_SESSION_get0_peer
    note_of, in_scope = _note_reader(state), scope_check(state)
    ordinary, fitness = ordinary_check(functions), fitness_check(state)

    def judge(ssl: int, attached: Attached, session: int, name: bytes) -> tuple[Verdict, int, EdgeKey | None]:
        """Return what today's policy says to the session in a ticket,
        with the token that it gets and the key that it was opened with.
        """
        keys, now = attached.port.ticket_keys, attached.port.now()
        key = None if keys is None else keys.open(name, now)
        note = note_of(session)
        if keys is None or key is None or note is None or note.prefix != name[:PREFIX_BYTES]:
            return Verdict.DER, 0, key
        if version_of(session) != agreed_version(ssl):
            return Verdict.PROTOCOL, 0, key
        if verify_mode_of(ssl) != attached.verify_mode:
            return Verdict.SETTINGS_DIFFER, 0, key
        scratch = state.take_scratch()
        mine = in_scope(ssl, attached, session, scratch)
        state.scratch.append(scratch)
        if not mine:
            return Verdict.NAME_CLASS, 0, key
        age_s = max(now - key.born_at - note.key_age_s, 0.0)
        lifetime_s = keys.lifetime12_s if version_of(session) <= TLS12 else keys.lifetime13_s
        if age_s > min(lifetime_s, key.lifetime_s):
            return Verdict.LIFETIME, 0, key
        if note.lineage_s + age_s > keys.lineage_s:
            return Verdict.LINEAGE, 0, key
        born_at, ends_at = now - note.lineage_s - age_s, now + lifetime_s - age_s
        if not attached.port.ticket_may_resume(note.node, born_at, ends_at, peer_of(session) != 0):
            return Verdict.OWN_POLICY, 0, key
        token = attached.port.ticket_token(note.node, born_at)
        verdict = ordinary(session)
        return fitness(ssl, attached, session, token) if verdict is Verdict.ALLOWED else verdict, token, key

    return judge


def _user(state: State) -> Callable[[int, Attached, int, int, Any, int], int]:
    functions = state.functions
    set_ex, set_mark, version_of = (
        functions.SSL_SESSION_set_ex_data,
        functions.SSL_set_ex_data,
        functions.SSL_SESSION_get_protocol_version,
    )
    restart_clock, name_as_asked, set_note = clock_restarter(state), name_keeper(state), _note_writer(state)

    def use(ssl: int, attached: Attached, session: int, token: int, key: EdgeKey, mark: int) -> int:
        """Let OpenSSL have the session. In TLS 1.3 with a new ticket, since clients use each once (RFC 8446 section
        C.4); in TLS 1.2 without, so that its lifetime counts from the full handshake, as a cached session's does.
        """
        set_ex(session, state.token_index, token)
        set_ex(session, state.counted_index, 0)
        set_note(session, b"")
        restart_clock(ssl, session)
        set_mark(ssl, state.mark_index, token)
        if mark < HIT:  # else it was in the first of two ClientHellos
            attached.port.ticket_opened(attached.port.now() - key.born_at)
        if version_of(session) > TLS12:
            return USE_RENEW
        scratch = state.take_scratch()
        name_as_asked(ssl, session, scratch)
        state.scratch.append(scratch)
        attached.port.hit(token)  # its resumptions end without a callback
        return USE

    return use


def _note_reader(state: State) -> Callable[[int], Note | None]:
    functions, unpack = state.functions, ffi.unpack
    get = functions.SSL_SESSION_get0_ticket_appdata

    def note_of(session: int) -> Note | None:
        scratch = state.take_scratch()
        found = get(session, scratch.cursor, scratch.size) and scratch.size[0] <= _APPDATA_BYTES_MAX
        data = unpack(scratch.cursor[0], scratch.size[0]) if found and scratch.size[0] else b""
        state.scratch.append(scratch)
        return read_note(data)

    return note_of


def _note_writer(state: State) -> Callable[[int, bytes], None]:
    functions, unpack = state.functions, ffi.unpack
    get, put = functions.SSL_SESSION_get0_ticket_appdata, functions.SSL_SESSION_set1_ticket_appdata

    def set_note(session: int, note: bytes) -> None:
        """Put a note behind the lineage in a session's application data, in place of any other."""
        scratch = state.take_scratch()
        lineage = b""
        if get(session, scratch.cursor, scratch.size) and scratch.size[0] >= LINEAGE_BYTES:
            lineage = unpack(scratch.cursor[0], LINEAGE_BYTES)
        state.scratch.append(scratch)
        data = lineage + note
        put(session, data, len(data))

    return set_note


def hmac_sha256(functions: Any) -> int:
    """Return the parameters that make an HMAC one of SHA-256; made once for each OpenSSL, and kept for ever."""
    builder = functions.OSSL_PARAM_BLD_new()
    functions.OSSL_PARAM_BLD_push_utf8_string(builder, b"digest", b"SHA256", 0)
    made = int(functions.OSSL_PARAM_BLD_to_param(builder))
    functions.OSSL_PARAM_BLD_free(builder)
    assert made, "OpenSSL 3 makes parameters"
    return made
