"""amqtt as its page starts it."""

from __future__ import annotations

import ssl

import pytest

from tests.contrib.pages import Served, check

CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"
"""MQTT 3.1.1 section 3.1: clean session, keep-alive of a minute, client "a"."""

CONNACK, DISCONNECT = b"\x20\x02\x00\x00", b"\xe0\x00"


def talk(tls: ssl.SSLSocket) -> None:
    tls.sendall(CONNECT)
    assert tls.recv(4) == CONNACK
    tls.sendall(DISCONNECT)


@pytest.mark.parametrize("served", ["amqtt"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served, talk)
