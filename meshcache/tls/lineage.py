"""Marks each lineage with a number drawn at random, by which a server sees that two connections belong together.

It lies in the session's own application data (SSL_SESSION_set1_ticket_appdata(3)): OpenSSL writes that into the DER and
copies it into every renewal, so it follows the lineage to any node, also through those that don't know of it. It says
nothing about the session, and whoever knows it can do nothing with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from meshcache.tls.functions import Functions, ffi
from meshcache.tls.state import State

LINEAGE_BYTES = 8
"""Nobody can choose one, so no two need differ but those that a client could pass off for one another."""


def lineage_marker(state: State) -> Callable[[int], None]:
    """Return a function that marks a session that OpenSSL has just made, unless its lineage is marked already."""
    get, mark = state.functions.SSL_SESSION_get0_ticket_appdata, state.functions.SSL_SESSION_set1_ticket_appdata
    take, give_back, random = state.take_scratch, state.scratch.append, os.urandom

    def mark_lineage(session: int) -> None:
        scratch = take()
        if get(session, scratch.cursor, scratch.size) and not scratch.size[0]:
            mark(session, random(LINEAGE_BYTES), LINEAGE_BYTES)
        give_back(scratch)

    return mark_lineage


def lineage_of(functions: Functions, ssl: int) -> str | None:
    """Return the lineage of a connection's session in hexadecimal digits, or None where it has none,
    or not one of ours.
    """
    session = functions.SSL_get_session(ssl)
    data, size = ffi.new("char *[1]"), ffi.new("size_t[1]")
    if not session or not functions.SSL_SESSION_get0_ticket_appdata(session, data, size) or size[0] < LINEAGE_BYTES:
        return None
    return bytes(ffi.unpack(data[0], LINEAGE_BYTES)).hex()
