"""What is on its way to a tier tells no log whose it is."""

from __future__ import annotations

from meshcache.core.replication.leaving_sessions import LeavingSession
from meshcache.core.wire.tier_record import Border


def test_neither_id_nor_record_is_in_what_is_printed() -> None:
    border = Border("shop", b"\x01" * 32)
    assert repr(LeavingSession(border, b"id" * 16, b"secret", 60.0, False, False)) == "<LeavingSession shop>"
