"""The messages about ticket keys: what orders keys, that no secret is shown, and that the largest of them fit."""

from __future__ import annotations

import pytest

from meshcache.core.wire.codec import Decoder, WireError, encode
from meshcache.core.wire.messages import MESSAGE_BYTES_MAX
from meshcache.core.wire.ticket_messages import (
    KEYS_MAX,
    RINGS_MAX,
    HeldKey,
    RingStatus,
    TicketKeys,
    TicketStatus,
    ToldKey,
)

KEY = ToldKey(1 << 53, bytes(range(32)), 1 << 42, 1 << 30, 1 << 30)
HELD = HeldKey(1 << 53, b"n" * 16, 1 << 42)


def test_a_key_s_age_doesn_t_order_it() -> None:
    assert HELD.rank == HELD._replace(age_ms=0).rank
    assert HELD.rank > HeldKey(5, b"\xff" * 16).rank


def test_no_message_shows_a_secret() -> None:
    shown = repr(TicketKeys(b"r" * 16, (KEY,))) + repr(KEY)
    assert "\\x1f" not in shown


def test_the_largest_fit_into_a_message() -> None:
    status = RingStatus(b"r" * 16, (HELD,) * KEYS_MAX, b"s" * 16)
    for message in (TicketKeys(b"r" * 16, (KEY,) * KEYS_MAX), TicketStatus((status,) * RINGS_MAX)):
        payload = encode("n" * 64, 1 << 53, message)
        assert len(payload) <= MESSAGE_BYTES_MAX
        assert Decoder().decode(payload).message == message


@pytest.mark.parametrize(
    "message",
    (
        TicketKeys(b"r" * 15, (KEY,)),
        TicketKeys(b"r" * 16, (ToldKey(1, b"x" * 31, 0, 60, 60),)),
        TicketKeys(b"r" * 16, (ToldKey(-1, b"x" * 32, 0, 60, 60),)),
        TicketKeys(b"r" * 16, (ToldKey(1, b"x" * 32, (1 << 42) + 1, 60, 60),)),
        TicketKeys(b"r" * 16, (KEY,) * (KEYS_MAX + 1)),
        TicketStatus((RingStatus(b"r" * 16, (HeldKey(1, b"n" * 17),)),)),
        TicketStatus((RingStatus(b"r" * 16, (), b"s" * 17),)),
        TicketStatus((RingStatus(b"r" * 16, (HELD,) * (KEYS_MAX + 1)),)),
        TicketStatus((RingStatus(b"r" * 16, ()),) * (RINGS_MAX + 1)),
    ),
)
def test_what_breaks_a_maximum_is_dropped(message: TicketKeys | TicketStatus) -> None:
    with pytest.raises(WireError):
        Decoder().decode(encode("a", 1, message))
