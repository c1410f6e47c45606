"""aiosmtpd as its page starts it: TLS begins with STARTTLS."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.contrib.clients import Protocol
from tests.contrib.pages import Served, check, plain

SMTP = Protocol(
    request=b"QUIT\r\n",
    starttls="smtp",
    before_tls=("EHLO client", "STARTTLS"),
    curl=("--ssl-reqd", "--request", "NOOP"),
    url="smtp://{host}:{port}/",
    curl_in=("1.2",),
)
"""curl 7.88 offers no ticket after STARTTLS, whoever the server is."""


def line(connection: socket.socket, said: bytes = b"") -> bytes:
    """Say something, and read the answer up to its last line."""
    connection.sendall(said)
    answer = b""
    while not answer.endswith(b"\r\n") or answer.rstrip().rpartition(b"\r\n")[2][3:4] == b"-":
        more = connection.recv(4096)
        assert more, answer
        answer += more
    return answer


def starttls(port: int) -> socket.socket:
    connection = plain(port)
    assert line(connection).startswith(b"220")
    assert b"STARTTLS" in line(connection, b"EHLO client\r\n")
    assert line(connection, b"STARTTLS\r\n").startswith(b"220")
    return connection


def talk(tls: ssl.SSLSocket) -> None:
    assert line(tls, b"EHLO client\r\n").startswith(b"250")
    assert line(tls, b"QUIT\r\n").startswith(b"221")


@pytest.mark.parametrize("served", ["aiosmtpd"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served, SMTP, talk, starttls)
