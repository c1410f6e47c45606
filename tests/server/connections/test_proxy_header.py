"""Tests of `server.proxy_header`: both versions, in pieces, cut, wrong."""

from __future__ import annotations

import random

import pytest
from meshcache_server.connections.proxy_header import Header, HeaderError, looks_like_one, read_header
from meshcache_server.proxy_protocol import SIGNATURE, TlsFacts, header

ENDS = (("192.0.2.7", 40000), ("10.0.0.1", 443))
ENDS6 = (("2001:db8::7", 40000), ("fd00::1", 443))
V1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n"


def version_2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    "sent,ends",
    [
        (V1, ENDS),
        (b"PROXY TCP6 2001:db8::7 fd00::1 40000 443\r\n", ENDS6),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (header(*ENDS, TlsFacts("TLSv1.3")), ENDS),
        (header(*ENDS6, TlsFacts("TLSv1.3")), ENDS6),
        (version_2(0x21, 0x31, bytes(216)), None),
        (version_2(0x21, 0x00, b""), None),
    ],
)
def test_a_header_is_read_whole_and_in_pieces(sent: bytes, ends: object) -> None:
    for length in range(len(sent)):
        assert read_header(sent[:length]) is None
    assert read_header(sent + b"\x16\x03\x01") == Header(len(sent), ends)  # type: ignore[arg-type]


def test_a_balancers_own_connection_says_so() -> None:
    assert read_header(version_2(0x20, 0x11, bytes(12))) == Header(28, local=True)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443 x\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 70000\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4\xb20 443\r\n",
        b"PROXY TCP6 192.0.2.7 10.0.0.1 40000 443\r\n",
        b"PROXY TCP4 192.0.2.7 fd00::1 40000 443\r\n",
        b"PROXY TCP4 shop.example 10.0.0.1 40000 443\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * 101,
        version_2(0x31, 0x11, bytes(12)),
        version_2(0x22, 0x11, bytes(12)),
        version_2(0x21, 0x11, bytes(11)),
        version_2(0x21, 0x21, bytes(35)),
        version_2(0x21, 0x11, bytes(5000))[:100],
    ],
)
def test_what_is_no_header_is_refused(sent: bytes) -> None:
    with pytest.raises(HeaderError):
        read_header(sent)


def test_it_is_told_from_tls() -> None:
    assert looks_like_one(V1)
    assert looks_like_one(SIGNATURE)
    assert not looks_like_one(b"\x16\x03\x01\x02\x00\x01")
    assert not looks_like_one(b"PROX")


def test_nothing_that_is_sent_raises_anything_else() -> None:
    chance = random.Random(14)
    for _ in range(5000):
        whole = bytearray(chance.choice((V1, header(*ENDS, TlsFacts("TLSv1.3")))))
        for _ in range(chance.randrange(1, 4)):
            whole[chance.randrange(len(whole))] = chance.randrange(256)
        try:
            read_header(whole)
        except HeaderError:
            continue
