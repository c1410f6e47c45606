"""Pauses a handshake in its ClientHello callback while its session is looked for elsewhere, for those who can wait.

The callback returns -1, and SSL_do_handshake fails with SSL_ERROR_WANT_CLIENT_HELLO_CB: SSL_CTX_set_client_hello_cb(3).
Whoever drives the connection asks `contexts.paused` for what to wait for, and calls it again when that is over. It is
the last place where waiting is possible: the get callback can't pause. Knows no clock and waits for nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable

from meshcache.tls.functions import ffi
from meshcache.tls.port import Pending
from meshcache.tls.state import PAUSE_OVER, PAUSE_PULLED, Attached, Mode, State

CLIENT_HELLO_RETRY = -1

ID_BYTES = 32
"""Of the ids that members make: shorter ones are nobody's here. A client's own random one is as long."""

IDS_MAX = 4
"""Identities of one ClientHello that are looked for: clients offer one or two, and each may cost a question."""

PAUSES_MAX = 8192
"""Paused handshakes of one OpenSSL that are remembered; above it a miss is a miss at once. Each ends by its time."""

_EXT_PRE_SHARED_KEY = 41
_PSK_BYTES_MAX = 16 * 1024
"""Of that extension, which holds the identities; a longer one isn't read to its end."""


def pauser(state: State) -> Callable[[int, Attached, tuple[bytes, ...]], bool]:
    """Return the function that says whether a handshake pauses, or goes on being paused.

    Its arguments are the connection, its attachment, and the ids that its client offers; it is called in the
    ClientHello callback. What is raised in it is counted, and the handshake goes on.
    """
    set_mark, mark_of, index = state.functions.SSL_set_ex_data, state.functions.SSL_get_ex_data, state.pause_index
    pauses = state.pauses

    def paused(ssl: int, attached: Attached, ids: tuple[bytes, ...]) -> bool:
        try:
            mark = mark_of(ssl, index)
            return begins(ssl, attached, ids) if mark == _NEVER else mark == _PAUSED and goes_on(ssl)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            attached.port.fault("client_hello")
            return False

    def begins(ssl: int, attached: Attached, ids: tuple[bytes, ...]) -> bool:
        asking = attached.port.asking
        if asking is None or not ids or not _room(pauses):
            return False
        pending = asking.begin(ids)
        if pending is None:
            return False
        if pending.over or not set_mark(ssl, index, _PAUSED):
            set_mark(ssl, index, PAUSE_PULLED if pending.pulled else PAUSE_OVER)
            return False
        pauses[ssl] = pending  # in place of that of a connection which was freed and had the same address
        return True

    def goes_on(ssl: int) -> bool:
        pending = pauses.get(ssl)
        if pending is not None and not pending.over:
            return True
        pauses.pop(ssl, None)
        set_mark(ssl, index, PAUSE_PULLED if pending is not None and pending.pulled else PAUSE_OVER)
        return False

    return paused


def _room(pauses: dict[int, Pending]) -> bool:
    """Return whether another may pause; when it is full, those go whose connection was freed in its pause."""
    if len(pauses) >= PAUSES_MAX:
        for ssl, pending in list(pauses.items()):
            if pending.over:
                pauses.pop(ssl, None)
    return len(pauses) < PAUSES_MAX


_NEVER, _PAUSED = 0, 1
"""Marks of a connection that wasn't paused yet, and of one that is; `tls.state` has those of one that was."""


def offered_ids(state: State, offers_tls13: Callable[[int], bool]) -> Callable[[int, Attached], tuple[bytes, ...]]:
    """Return the function that reads from a ClientHello the ids under which its client may resume, if members made
    them: a stranger's costs this check, and nothing else.
    """
    functions, unpack = state.functions, ffi.unpack
    extension_of, session_id_of = functions.SSL_client_hello_get0_ext, functions.SSL_client_hello_get0_session_id

    def ids(ssl: int, attached: Attached) -> tuple[bytes, ...]:
        asking = attached.port.asking
        if attached.mode is Mode.TICKETS or asking is None or not asking.wanted:
            return ()
        scratch = state.take_scratch()
        found: tuple[bytes, ...] = ()
        if not offers_tls13(ssl):  # else its session id is for middleboxes (RFC 8446 section 4.1.2)
            size = session_id_of(ssl, scratch.cursor)
            found = (unpack(scratch.cursor[0], size),) if size == ID_BYTES else ()
        elif extension_of(ssl, _EXT_PRE_SHARED_KEY, scratch.cursor, scratch.size):
            found = identities(unpack(scratch.cursor[0], min(scratch.size[0], _PSK_BYTES_MAX)))
        state.scratch.append(scratch)
        known = attached.port.ids
        return found if known is None else tuple(each for each in found if known.minted(each))

    return ids


def identities(extension: bytes) -> tuple[bytes, ...]:
    """Return the first identities of a pre_shared_key extension that have an id's length (RFC 8446 section 4.2.11)."""
    found: list[bytes] = []
    at, end = 2, 2 + int.from_bytes(extension[:2])
    end = min(end, len(extension))
    while at + 2 <= end and len(found) < IDS_MAX:
        size = int.from_bytes(extension[at : at + 2])
        identity = extension[at + 2 : at + 2 + size]
        if size == ID_BYTES and at + 2 + size <= end:
            found.append(identity)
        at += 2 + size + 4  # the age of the ticket follows
    return tuple(found)
