"""pyftpdlib as its page starts it: TLS begins with AUTH TLS on the control connection."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.contrib.clients import Protocol
from tests.contrib.pages import Served, check, plain

FTP = Protocol(
    request=b"QUIT\r\n",
    starttls="ftp",
    before_tls=("AUTH TLS",),
    curl=("--ssl-reqd", "--head", "--request", "NOOP"),
    url="ftp://{host}:{port}/",
)


def say(connection: socket.socket, said: str, expected: str) -> None:
    if said:
        connection.sendall(f"{said}\r\n".encode())
    answer = connection.makefile("r").readline()
    assert answer.startswith(expected), answer


def auth_tls(port: int) -> socket.socket:
    connection = plain(port)
    say(connection, "", "220")
    say(connection, "AUTH TLS", "234")
    return connection


def talk(tls: ssl.SSLSocket) -> None:
    say(tls, "NOOP", "200")
    say(tls, "QUIT", "221")


@pytest.mark.parametrize("served", ["pyftpdlib"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served, FTP, talk, auth_tls)
