"""The generate callback: a new session gets an id that says to members who made it, and when.

OpenSSL asks for ids of TLS 1.2 sessions and of TLS 1.3 tickets alike (SSL_CTX_set_generate_session_id(3)), and compares
each with its own cache, which is empty here. Where clients keep their sessions themselves nobody looks for an id, so it
is any.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from meshcache.tls.functions import ffi
from meshcache.tls.pausing import ID_BYTES
from meshcache.tls.state import Mode, State


def generate_callback(state: State) -> Callable[[int, Any, Any], int]:
    """Return the function to install as OpenSSL's generate callback."""
    ctx_of, attachment_at, move = state.functions.SSL_get_SSL_CTX, state.attachments.get, ffi.memmove

    def generate(ssl: int, place: Any, length: Any) -> int:
        attached = attachment_at(ctx_of(ssl))
        made = None
        ids = None if attached is None or attached.mode is Mode.TICKETS else attached.port.ids
        if attached is not None and ids is not None and length[0] == ID_BYTES:
            try:
                made = ids.mint()
            except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
                attached.port.fault("generate")
        move(place, os.urandom(length[0]) if made is None else made, length[0])
        return 1

    return generate
