"""Tests of `server.http`: what is one request to every parser is taken, and nothing else."""

from __future__ import annotations

import time

import pytest
from meshcache_server.applications.http import FIELDS_MAX, HEAD_BYTES_MAX, Request, RequestError, parse_head, take_head

HOST = b"Host: shop.example\r\n"


def refused(head: bytes) -> int:
    with pytest.raises(RequestError) as caught:
        parse_head(head)
    return caught.value.status


def test_a_plain_request_is_read() -> None:
    assert parse_head(b"GET /a?b HTTP/1.1\r\nhost:\t Shop.Example. \r\nAccept: */*") == Request(
        method="GET", host="shop.example", body_bytes=0, keep_alive=True
    )


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GE\x00T / HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1.1\nHost: shop.example",
        b"",
    ],
)
def test_a_request_line_that_can_be_read_two_ways_is_refused(line: bytes) -> None:
    assert refused(line + b"\r\n" + HOST.strip()) == 400


def test_another_version_is_named_as_such() -> None:
    assert refused(b"PRI * HTTP/2.0") == 505


@pytest.mark.parametrize(
    "field",
    [
        b" folded: value",
        b"Name : value",
        b"Name",
        b": value",
        b"Na me: value",
        b"Name: a\rb",
        b"Name: a\nb",
        b"Name: a\x00b",
        b"Host: other.example",
        b"Host:",
    ],
)
def test_a_field_that_can_be_read_two_ways_is_refused(field: bytes) -> None:
    assert refused(b"GET / HTTP/1.1\r\n" + HOST + field) == 400


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"a@b", b"a:b", b"[::1", b"a:80:80", b"\xc3\xa9"])
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    assert refused(b"GET / HTTP/1.1\r\nHost: " + host) == 400


@pytest.mark.parametrize(
    ("host", "read"), [(b"A.b:8443", "a.b"), (b"[::1]:443", "[::1]"), (b"10.0.0.1", "10.0.0.1"), (b"", "")]
)
def test_a_host_is_read_without_its_port(host: bytes, read: str) -> None:
    assert parse_head(b"GET / HTTP/1.1\r\nHost: " + host).host == read


def test_an_absolute_target_overrides_the_host() -> None:
    head = b"GET https://real.example:443/path HTTP/1.1\r\nHost: other.example"
    assert parse_head(head).host == "real.example"
    assert refused(b"GET https://user@real.example/ HTTP/1.1\r\nHost: other.example") == 400


def test_host_is_needed_from_1_1_on() -> None:
    assert refused(b"GET / HTTP/1.1") == 400
    assert parse_head(b"GET / HTTP/1.0") == Request("GET", "", 0, keep_alive=False)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 5\r\nContent-Length: 5", 400),
        (b"Content-Length: 5, 5", 400),
        (b"Content-Length: +5", 400),
        (b"Content-Length: -5", 400),
        (b"Content-Length: 0x5", 400),
        (b"Content-Length:", 400),
        (b"Content-Length: " + b"9" * 19, 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: identity", 501),
        (b"Transfer-Encoding: \x0bchunked", 400),
    ],
)
def test_any_doubt_about_a_bodys_length_is_refused(fields: bytes, status: int) -> None:
    assert refused(b"POST / HTTP/1.1\r\n" + HOST + fields) == status


def test_chunks_before_1_1_are_refused() -> None:
    assert refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked") == 400


def test_lengths_are_read() -> None:
    assert parse_head(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0012").body_bytes == 12
    assert parse_head(b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: Chunked").body_bytes is None


@pytest.mark.parametrize(("value", "keep"), [(b"close", False), (b"Keep-Alive, CLOSE", False), (b"closed", True)])
def test_connection_close_is_heard(value: bytes, keep: bool) -> None:
    assert parse_head(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: " + value).keep_alive is keep


def test_heads_are_taken_one_by_one_however_they_arrive() -> None:
    stream = b"\r\nGET /1 HTTP/1.1\r\n" + HOST + b"\r\nHEAD /2 HTTP/1.1\r\n" + HOST + b"\r\nrest"
    buffer, methods = bytearray(), []
    for byte in stream:
        buffer.append(byte)
        if (request := take_head(buffer)) is not None:
            methods.append(request.method)
    assert methods == ["GET", "HEAD"]
    assert bytes(buffer) == b"rest"


def test_a_head_has_a_largest_size_and_a_largest_number_of_fields() -> None:
    fits = b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * (HEAD_BYTES_MAX - 60)
    assert take_head(bytearray(fits)) is None
    with pytest.raises(RequestError, match="431"):
        take_head(bytearray(fits + b"a" * 60))
    many = b"GET / HTTP/1.1\r\n" + HOST + b"A: a\r\n" * FIELDS_MAX + b"\r\n"
    with pytest.raises(RequestError, match="431"):
        take_head(bytearray(many))


def test_a_line_of_blanks_costs_no_more_than_any_other() -> None:
    """Trying every division of it would hold the interpreter, and with it every client, for seconds."""
    blanks = b" " * 15_000
    began_s = time.process_time()
    assert refused(b"GET / HTTP/1.1\r\n" + HOST + b"X:" + blanks[:2000] + b"\x01") == 400
    assert time.process_time() - began_s < 1
    for value in (blanks + b"close", b"close" + blanks, *[b"x," + blanks + b"close"] * 10):
        assert not parse_head(b"GET / HTTP/1.1\r\n" + HOST + b"Connection:" + value).keep_alive
    assert time.process_time() - began_s < 1
