"""Tests of `server.client_hello`: hellos of real clients, whole, in pieces, over several records, and mutated."""

from __future__ import annotations

import random
import ssl

import pytest
from meshcache_server.connections.client_hello import HELLO_BYTES_MAX, HelloReader, Incomplete


def server_name(received: bytes | bytearray) -> str | None:
    """The name in what has come at once."""
    return HelloReader().server_name(received)


def hello(name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(message: bytes, size: int) -> bytes:
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_name_is_read_in_lower_case_and_without_a_final_dot(version: ssl.TLSVersion) -> None:
    assert server_name(hello("Shop.EXAMPLE", version)) == "shop.example"
    assert server_name(hello(None, version)) is None


def test_it_is_known_with_the_last_byte_and_not_before() -> None:
    whole = hello("shop.example")
    for length in range(len(whole)):
        with pytest.raises(Incomplete):
            server_name(whole[:length])
    assert server_name(whole + b"what follows") == "shop.example"


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_hello_over_many_records_is_put_together(size: int) -> None:
    whole = in_records(hello("shop.example")[5:], size)
    assert server_name(whole) == "shop.example"
    reader = HelloReader()
    for length in range(len(whole)):
        with pytest.raises(Incomplete):
            reader.server_name(whole[:length])
    assert reader.server_name(whole) == "shop.example"


def test_what_is_no_hello_has_no_name_at_once() -> None:
    for other in (b"GET / HTTP/1.1\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b"\x16\x02\x01\x00\x05", b"\x80\x2e\x01"):
        assert server_name(other) is None


def test_a_hello_without_end_is_given_up() -> None:
    endless = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(0x4000 - 4)
    endless += b"\x16\x03\x01\x40\x00" + bytes(0x4000)
    assert server_name(endless) is None
    assert len(endless) < HELLO_BYTES_MAX + 100


def test_nothing_that_a_stranger_sends_raises() -> None:
    chance = random.Random(14)
    whole = hello("shop.example")
    for _ in range(5000):
        mutated = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        try:
            name = server_name(mutated[: chance.randrange(len(mutated) + 1)])
        except Incomplete:
            continue
        assert name is None or len(name) <= 255
