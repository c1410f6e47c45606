"""Tests of `server.proxy_protocol` against byte vectors, written out by hand from HAProxy's proxy-protocol.txt."""

from __future__ import annotations

import pytest
from meshcache_server.proxy_protocol import VALUE_BYTES_MAX, TlsFacts, header

SIGNATURE = "0d0a0d0a000d0a515549540a"
PLAIN = TlsFacts(version="TLSv1.3")
# SSL TLV: type 20, length 15; client 01 (SSL), verify 1, sub-TLV 21 (version), length 7, "TLSv1.3"
SSL_TLV = "20 000f 01 00000001 21 0007 544c5376312e33"


def vector(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def test_ipv4_vector() -> None:
    expected = vector(f"{SIGNATURE} 21 11 001e c0000201 cb007105 e3a5 01bb {SSL_TLV}")
    assert header(("192.0.2.1", 58277), ("203.0.113.5", 443), PLAIN) == expected


def test_ipv6_vector() -> None:
    addresses = "20010db8000000000000000000000001 20010db8000000000000000000000002 e3a5 01bb"
    expected = vector(f"{SIGNATURE} 21 21 0036 {addresses} {SSL_TLV}")
    assert header(("2001:db8::1", 58277), ("2001:db8::2", 443), PLAIN) == expected


def test_a_mixed_pair_is_written_as_ipv6() -> None:
    written = header(("192.0.2.1", 1), ("::1", 2), PLAIN)
    assert written[13] == 0x21
    assert written[16:32] == vector("00000000000000000000ffffc0000201")


def test_a_scope_is_no_part_of_the_address() -> None:
    assert header(("fe80::1%eth0", 1), ("fe80::2", 2), PLAIN) == header(("fe80::1", 1), ("fe80::2", 2), PLAIN)


def test_every_fact_has_its_tlv() -> None:
    facts = TlsFacts("TLSv1.2", "AES128", b"h2", b"shop.example", common_name="anna", certificate_shown=True)
    tlvs = (
        "01 0002 6832"  # ALPN h2
        "02 000c 73686f702e6578616d706c65"  # authority shop.example
        "20 001f 07 00000000"  # SSL, certificate on this connection and in its session, verified
        "21 0007 544c5376312e32"  # TLSv1.2
        "23 0006 414553313238"  # cipher AES128
        "22 0004 616e6e61"  # CN anna
    )
    expected = vector(f"{SIGNATURE} 21 11 0042 7f000001 7f000001 0001 0002 {tlvs}")
    assert header(("127.0.0.1", 1), ("127.0.0.1", 2), facts) == expected


def test_a_resumed_session_shows_its_certificate_as_the_sessions_only() -> None:
    resumed = TlsFacts("TLSv1.2", common_name="anna", certificate_shown=False)
    written = header(("127.0.0.1", 1), ("127.0.0.1", 2), resumed)
    assert written[28 + 3] == 0x01 | 0x04


def test_nothing_a_client_chose_makes_the_header_large() -> None:
    facts = TlsFacts("TLSv1.2", common_name="a" * 100_000)
    assert len(header(("127.0.0.1", 1), ("127.0.0.1", 2), facts)) < VALUE_BYTES_MAX + 100


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="shop"):
        header(("shop.example", 1), ("127.0.0.1", 2), PLAIN)
