"""Remembers with a session that resumes which one it was, and tells the port when the handshake has ended.

For TLS 1.3 alone, where every resumption makes a new session: OpenSSL copies the old one's application data into it, so
the old id lies behind the lineage there from the get callback on, and is taken away in the new callback. No table of
connections is kept, and a client that can't prove that the session is its own (RFC 8446 section 4.2.11.2), or doesn't
end its handshake, uses nothing up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshcache.tls.functions import ffi
from meshcache.tls.lineage import LINEAGE_BYTES, lineage_marker
from meshcache.tls.port import SessionPort
from meshcache.tls.state import State

ID_BYTES = 32
"""Of every id that stands for a session in TLS 1.3."""

NOTE_BYTES = LINEAGE_BYTES + ID_BYTES
"""Of the application data of a session that is being used up."""


def use_marker(state: State) -> Callable[[int, bytes], bool]:
    """Return a function that notes on a session that OpenSSL is given under which id it was found."""
    get, put = state.functions.SSL_SESSION_get0_ticket_appdata, state.functions.SSL_SESSION_set1_ticket_appdata
    take, give_back, mark_lineage = state.take_scratch, state.scratch.append, lineage_marker(state)

    def mark_use(session: int, session_id: bytes) -> bool:
        """False where it can't be noted: the session isn't to be given then."""
        if len(session_id) != ID_BYTES:
            return False
        mark_lineage(session)
        scratch = take()
        whole = get(session, scratch.cursor, scratch.size) and scratch.size[0] >= LINEAGE_BYTES
        note = ffi.unpack(scratch.cursor[0], LINEAGE_BYTES) + session_id if whole else b""
        give_back(scratch)
        return bool(whole and put(session, note, NOTE_BYTES))

    return mark_use


def use_teller(state: State) -> Callable[[SessionPort, Any], None]:
    """Return a function that tells the port which session a new one follows on, once, and takes the note away."""
    get, put = state.functions.SSL_SESSION_get0_ticket_appdata, state.functions.SSL_SESSION_set1_ticket_appdata
    take, give_back = state.take_scratch, state.scratch.append

    def tell_use(port: SessionPort, session: int) -> None:
        scratch = take()
        noted = get(session, scratch.cursor, scratch.size) and scratch.size[0] == NOTE_BYTES
        note = ffi.unpack(scratch.cursor[0], NOTE_BYTES) if noted else b""
        give_back(scratch)
        if note:
            put(session, note[:LINEAGE_BYTES], LINEAGE_BYTES)
            port.consumed(note[LINEAGE_BYTES:])

    return tell_use
