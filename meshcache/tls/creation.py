"""The new callback: a session that OpenSSL made goes to the port as DER; called after the handshake in TLS 1.2, with
each ticket in TLS 1.3. The remove callback is here too: it takes one away.

A session is kept only if the connection is still what its scope says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshcache.core.policy.gates import Verdict
from meshcache.core.values.session import DER_BYTES_MAX
from meshcache.tls.functions import ffi
from meshcache.tls.lineage import lineage_marker
from meshcache.tls.ordinary import ordinary_check
from meshcache.tls.port import SessionPort
from meshcache.tls.single_use import use_teller
from meshcache.tls.state import (
    APART,
    APART_REFUSED,
    ASKED,
    FOREIGN,
    HIT,
    KEPT_VERSIONS,
    NOTHING,
    SSL_OP_NO_TICKET,
    TLS13,
    Attached,
    Mode,
    State,
)

_ZEROS = bytes(DER_BYTES_MAX)


def new_callback(state: State) -> Callable[[int, int], int]:
    """Return the function to install as OpenSSL's new callback."""
    functions = state.functions
    ctx_of, get_ex, token_index = functions.SSL_get_SSL_CTX, functions.SSL_SESSION_get_ex_data, state.token_index
    attachment_at, made_in_full, keep = state.attachments.get, full_handshake_counter(state), _keeper(state)
    count_resumption, mark_lineage = resumption_counter(state), lineage_marker(state)
    tell_use = use_teller(state)
    options, version_of = functions.SSL_set_options, functions.SSL_SESSION_get_protocol_version

    def is_for_cache(ssl: int, attached: Attached, session: int) -> bool:
        """Return whether the client has an id for this session, and not a ticket that holds all of it."""
        if attached.mode is Mode.SESSIONS:
            return True
        has_id = version_of(session) != TLS13 or options(ssl, 0) & SSL_OP_NO_TICKET
        return attached.mode is Mode.BOTH and bool(has_id)

    def new(ssl: int, session: int) -> int:
        attached = attachment_at(ctx_of(ssl))
        if attached is None:  # or an SNI callback moved the connection to a context that isn't attached
            return 0
        try:
            mark_lineage(session)
            token = get_ex(session, token_index)
            if token:
                count_resumption(attached, session, token)
                if version_of(session) == TLS13 and attached.mode is not Mode.TICKETS:
                    tell_use(attached.port, session)
            in_full = not token and made_in_full(ssl, attached, session)
            if (token or in_full) and is_for_cache(ssl, attached, session):
                keep(ssl, attached, session, token)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            functions.ERR_clear_error()
            attached.port.fault("new")
        return 0  # 1 would mean that we keep a reference to the session object

    return new


def full_handshake_counter(state: State) -> Callable[[int, Attached, int], bool]:
    """Return a function that says whether a handshake was a full one, and counts it then."""
    functions, index, mark_index = state.functions, state.counted_index, state.mark_index

    def made_in_full(ssl: int, attached: Attached, session: int) -> bool:
        """Return whether the handshake was a full one, which is counted.

        Resumed without a token: by a PSK callback of the application's, from a lineage that nobody knows. A further
        ticket on the connection is a copy of the first one's session, and so of the mark that it was counted.
        """
        if functions.SSL_session_reused(ssl):
            return False
        if not functions.SSL_SESSION_get_ex_data(session, index):
            functions.SSL_SESSION_set_ex_data(session, index, 1)
            attached.port.full()
            count_lookup(ssl, attached.port, session)
        return True

    def count_lookup(ssl: int, port: SessionPort, session: int) -> None:
        """Count how the lookup of a full handshake ended, if there was one and it isn't counted yet."""
        mark = functions.SSL_get_ex_data(ssl, mark_index)
        if mark in (ASKED, FOREIGN):
            port.missed(mark == FOREIGN)
        elif mark >= HIT:
            port.hit_not_resumed()
            if functions.SSL_SESSION_get_protocol_version(session) == TLS13:
                port.hit(mark)
        if mark not in (NOTHING, APART, APART_REFUSED):
            functions.SSL_set_ex_data(ssl, mark_index, NOTHING)

    return made_in_full


def resumption_counter(state: State) -> Callable[[Attached, int, int], None]:
    """Return a function that counts a hit that resumed."""
    functions, index = state.functions, state.counted_index

    def count_resumption(attached: Attached, session: int, token: int) -> None:
        """Count a hit that resumed in TLS 1.3, where each resumption makes a session; once, if it makes more."""
        if not functions.SSL_SESSION_get_ex_data(session, index):
            functions.SSL_SESSION_set_ex_data(session, index, 1)
            attached.port.hit(token)

    return count_resumption


def _keeper(state: State) -> Callable[[int, Attached, int, int], None]:
    functions, unpack = state.functions, ffi.unpack
    id_of, version_of = functions.SSL_SESSION_get_id, functions.SSL_SESSION_get_protocol_version
    peer_of, encode = functions.SSL_SESSION_get0_peer, functions.i2d_SSL_SESSION
    take, give_back, null, overwrite = state.take_scratch, state.scratch.append, ffi.NULL, ffi.memmove
    objection = objection_check(state)

    def keep(ssl: int, attached: Attached, session: int, token: int) -> None:
        """Hand a session to the port, or say why it isn't kept."""
        scratch = take()
        reason, version = objection(ssl, attached, session, scratch), version_of(session)
        length = 0
        if reason is Verdict.ALLOWED:
            length = encode(session, null)
            reason = Verdict.ALLOWED if 0 < length <= DER_BYTES_MAX else Verdict.DER
        if reason is Verdict.ALLOWED:
            scratch.cursor[0] = scratch.der
            encode(session, scratch.cursor)
            der = unpack(scratch.der, length)
            overwrite(scratch.der, _ZEROS, length)  # the bytes object is out of reach, this copy isn't
            place = id_of(session, scratch.count)
            attached.port.created(unpack(place, scratch.count[0]), der, token, peer_of(session) != 0, version)
        else:
            attached.port.session_refused(reason)
        give_back(scratch)

    return keep


def objection_check(state: State) -> Callable[[int, Attached, int, Any], Verdict]:
    """Return a function that says why a session that was made may not be kept, nor given away in a ticket."""
    functions, unpack, mark_index = state.functions, ffi.unpack, state.mark_index
    context_of, version_of = functions.SSL_SESSION_get0_id_context, functions.SSL_SESSION_get_protocol_version
    verify_mode_of, kind_of = functions.SSL_get_verify_mode, functions.SSL_get_negotiated_server_cert_type
    mark_of = functions.SSL_get_ex_data
    ordinary = ordinary_check(functions)

    def objection(ssl: int, attached: Attached, session: int, scratch: Any) -> Verdict:
        """Return why a session isn't one that its scope tells all of, or ALLOWED."""
        if mark_of(ssl, mark_index) in (APART, APART_REFUSED) or kind_of(
            ssl
        ):  # the client knows this server by a raw public key, and not by a name
            return Verdict.NAME_CLASS
        place = context_of(session, scratch.count)
        # Else a callback of the application's changed what the scope says, or the policy changed meanwhile.
        if not attached.scopes.gave(unpack(place, scratch.count[0])) or verify_mode_of(ssl) != attached.verify_mode:
            return Verdict.SETTINGS_DIFFER
        return ordinary(session) if version_of(session) in KEPT_VERSIONS else Verdict.PROTOCOL

    return objection


def remove_callback(state: State) -> Callable[[int, int], None]:
    """Return the function to install as OpenSSL's remove callback: called at an unclean close or a fatal alert."""
    functions: Any = state.functions

    def remove(ctx: int, session: int) -> None:
        attached = state.attachments.get(ctx)
        if attached is not None:
            try:
                count = ffi.new("unsigned int[1]")
                place = functions.SSL_SESSION_get_id(session, count)
                session_id = ffi.unpack(place, count[0])
                attached.port.removed(session_id)
                if attached.names is not None:  # OpenSSL tells where it listened, and not whose session it was
                    for port in list(attached.names.ports.values()):
                        port.removed(session_id)
            except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
                attached.port.fault("remove")

    return remove
