"""Tests of `server.stream` and its twin in C, in memory against Python's own TLS client."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from meshcache_server.tls import streams
from meshcache_server.tls.stream import SLICE_BYTES, StreamError, TlsStream, make_scratch
from OpenSSL import SSL

from tests.server.harness import NAME, Certificates

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class MemoryClient:
    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=NAME)

    def hear(self, data: bytes) -> None:
        self._incoming.write(data)

    def says(self) -> bytes:
        return self._outgoing.read()

    def shake(self, stream: TlsStream) -> None:
        """The whole handshake; the server's last bytes are left in the stream."""
        for _ in range(4):
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            if not stream.established:
                stream.handshake(self.says())
            self.hear(stream.outgoing())
            if stream.established:
                try:
                    self.tls.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                return
        raise AssertionError("no handshake takes longer")

    def read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += self.tls.read(size - len(got))
        return got


@pytest.fixture(autouse=True)
def _each_twin(stream_path: str) -> None:
    """All of it is true of both."""


@pytest.fixture(params=VERSIONS, ids=str)
def pair(
    request: pytest.FixtureRequest, certificates: Certificates, context: SSL.Context
) -> tuple[MemoryClient, TlsStream]:
    client, stream = MemoryClient(certificates.client(request.param)), streams.maker(context)(make_scratch())
    client.shake(stream)
    return client, stream


def test_bytes_go_both_ways(pair: tuple[MemoryClient, TlsStream]) -> None:
    client, stream = pair
    client.tls.write(b"question")
    assert stream.receive(client.says()) == b"question"
    client.hear(stream.send(b"answer"))
    assert client.read(6) == b"answer"


@pytest.mark.parametrize("size", [0, 1, SLICE_BYTES, SLICE_BYTES + 1, 1_000_000])
def test_any_amount_arrives_whole(pair: tuple[MemoryClient, TlsStream], size: int) -> None:
    client, stream = pair
    sent = bytes(range(256)) * (size // 256) + bytes(size % 256)
    client.hear(stream.send(sent))
    assert client.read(size) == sent
    written = 0
    while written < size:
        written += client.tls.write(sent[written:])
    assert stream.receive(client.says()) == sent


def test_an_idle_connection_gives_memory_back_and_goes_on_in_the_middle_of_a_record(
    pair: tuple[MemoryClient, TlsStream],
) -> None:
    client, stream = pair
    client.hear(stream.send(bytes(1_000_000)))
    client.read(1_000_000)
    client.tls.write(b"question")
    record = client.says()
    assert stream.receive(record[:7]) == b""
    assert [stream.slim(1.0) for _ in range(3)] == [False, True, False]
    assert stream.receive(record[7:]) == b"question"
    stream.close()  # leaves close_notify to be taken
    assert [stream.slim(2.0) for _ in range(2)] == [False, True]
    client.hear(stream.outgoing())
    assert client.tls.read(1) == b""


def test_a_handshake_in_single_bytes_ends_like_any_other(certificates: Certificates, context: SSL.Context) -> None:
    client, stream = MemoryClient(certificates.client()), streams.maker(context)(make_scratch())
    while not stream.established:
        with suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        said = client.says()
        assert [stream.handshake(said[at : at + 1]) for at in range(len(said))][:-1].count(True) == 0
        client.hear(stream.outgoing())


def test_bytes_behind_the_handshake_are_not_lost(certificates: Certificates, context: SSL.Context) -> None:
    client, stream = (
        MemoryClient(certificates.client(ssl.TLSVersion.TLSv1_3)),
        streams.maker(context)(make_scratch()),
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    assert not stream.handshake(client.says())
    client.hear(stream.outgoing())
    client.tls.do_handshake()
    client.tls.write(b"early bird")
    assert stream.handshake(client.says())
    assert stream.receive(b"") == b"early bird"


def test_close_notify_ends_the_clients_half_only(pair: tuple[MemoryClient, TlsStream]) -> None:
    client, stream = pair
    client.tls.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert stream.receive(client.says() + b"whatever follows is ignored") == b"last words"
    assert stream.ended
    assert stream.receive(b"and stays ignored") == b""
    assert stream.send(b"still here")


def test_close_sends_close_notify_once(pair: tuple[MemoryClient, TlsStream]) -> None:
    client, stream = pair
    stream.close()
    client.hear(stream.outgoing())
    stream.close()
    assert stream.outgoing() == b""
    assert client.tls.read(1) == b""  # without a close_notify it would want to read more


def test_an_alert_says_why_a_client_was_refused(context: SSL.Context) -> None:
    stream = streams.maker(context)(make_scratch())
    with pytest.raises(StreamError, match="unexpected message"):
        stream.handshake(b"\x16\x03\x01\x00\x05hello")
    assert stream.outgoing()[:1] == b"\x15"  # a TLS alert record


def test_a_forged_record_is_refused(pair: tuple[MemoryClient, TlsStream]) -> None:
    _, stream = pair
    with pytest.raises(StreamError, match=r"bad|failure|mac"):
        stream.receive(b"\x17\x03\x03\x00\x40" + bytes(64))


def test_one_broken_connection_leaves_nothing_that_another_could_trip_over(
    pair: tuple[MemoryClient, TlsStream], context: SSL.Context
) -> None:
    """OpenSSL's error queue belongs to the thread, and SSL_get_error looks into it."""
    client, stream = pair
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x80" * 400, bytes(100)):
        broken = streams.maker(context)(make_scratch())
        with pytest.raises(StreamError):
            broken.handshake(garbage * 1000)
        broken.close()
        broken.free()
        client.tls.write(b"ping")
        assert stream.receive(client.says()) == b"ping"
        assert stream.receive(b"") == b""


def test_a_freed_connection_leaves_its_session_resumable(certificates: Certificates, context: SSL.Context) -> None:
    clients = certificates.client(ssl.TLSVersion.TLSv1_2)
    client, stream = MemoryClient(clients), streams.maker(context)(make_scratch())
    client.shake(stream)
    session = client.tls.session
    stream.free()
    del stream
    again, stream = MemoryClient(clients), streams.maker(context)(make_scratch())
    again.tls.session = session
    again.shake(stream)
    assert again.tls.session_reused
