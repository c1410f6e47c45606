"""Counts the arrays and maps of a CBOR item before it is decoded, so that a frame can't make us allocate what it likes.

Judges nothing else: bytes that are no CBOR are the decoder's to refuse.
"""

from __future__ import annotations

CONTAINERS_MAX = 12_288
"""Arrays and maps in one message. The most that a valid one of `MESSAGE_BYTES_MAX` can have are 8,400: a roster page
of VIPs with names of one byte, three containers in 46 bytes. Each costs 56 bytes or more, and every 700 new ones a pass
of the garbage collector, which in a large process is what takes the time."""

_HEADS = bytes(range(0x80, 0xC0))
"""First bytes of arrays and maps (RFC 8949 section 3.1: major types 4 and 5)."""


def too_many_containers(payload: bytes) -> bool:
    """Return whether `payload` has more than `CONTAINERS_MAX` of them. Call before decoding;
    no item is looked at twice.
    """
    if len(payload) <= CONTAINERS_MAX:
        return False
    heads = len(payload) - len(payload.translate(None, _HEADS))
    return heads > CONTAINERS_MAX and _count(payload) > CONTAINERS_MAX


def _count(payload: bytes) -> int:
    """Return how many there are, up to the first too many. Items follow each other, so their depth is no matter."""
    at = count = 0
    end = len(payload)
    while at < end and count <= CONTAINERS_MAX:
        major, low = payload[at] >> 5, payload[at] & 31
        start = at + 1
        at = start + (1 << low - 24 if 24 <= low < 28 else 0)
        if major in (4, 5):
            count += 1
        elif major in (2, 3):
            at += int.from_bytes(payload[start:at], "big") if at > start else low if low < 24 else 0
    return count
