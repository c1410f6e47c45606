"""amqtt as its page starts it. It asks every client for a certificate, so who shares with it has to do that too."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.contrib.clients import Protocol
from tests.contrib.pages import Served, check, over_pyopenssl, prepare
from tests.support.material import Authority
from tests.support.processes import Processes

CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"
"""MQTT 3.1.1 section 3.1: clean session, keep-alive of a minute, client "a"."""

CONNACK, DISCONNECT = b"\x20\x02\x00\x00", b"\xe0\x00"

MQTT = Protocol(request=CONNECT + DISCONNECT, curl_in=())
"""curl speaks MQTT without TLS only."""


def talk(tls: ssl.SSLSocket) -> None:
    tls.sendall(CONNECT)
    assert tls.recv(4) == CONNACK
    tls.sendall(DISCONNECT)


def _asking_for_certificates(program: str) -> str:
    """cheroot's page over pyOpenSSL, whose context asks for a certificate of the same authority and takes none too."""
    asking = (
        "from OpenSSL import SSL\n"
        "def asking(adapter):\n"
        "    adapter.context = adapter.get_context()\n"
        "    adapter.context.set_verify(SSL.VERIFY_PEER)\n"
        "    adapter.context.load_verify_locations('ca.pem')\n"
        "    return adapter\n"
    )
    adapter = 'BuiltinSSLAdapter("shop.pem", "shop.key")'
    return asking + over_pyopenssl(program.replace(adapter, f"asking({adapter})"))


def test_the_page_works(folder: Path, authority: Authority, processes: Processes) -> None:
    prepare(folder, authority)
    served = Served("amqtt", folder, processes)
    other = Served("cheroot", folder, processes)
    other.start(other.ports[0], change=_asking_for_certificates)
    other.wait_until_met()
    served.partners = other.ports[:1]
    served.start_all()
    check(served, MQTT, talk)
