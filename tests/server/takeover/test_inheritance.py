"""Tests of `server.inheritance`: sockets as systemd gives them; taking over is tested with `succession`."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from meshcache_server.takeover.inheritance import Inheritance, _by_address

from meshcache import ConfigError
from tests.server.deployment import ASK, Deployment, deploy
from tests.support.processes import Process, Processes


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def test_a_socket_that_is_no_tcp_listener_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as good:
        wrong = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with pytest.raises(ConfigError, match=r"LISTEN_FDS: descriptor [0-9]+ is no TCP socket that listens"):
            _by_address([good, wrong])
        assert wrong.fileno() == -1


def test_a_socket_that_nobody_takes_is_closed_and_named(caplog: pytest.LogCaptureFixture) -> None:
    given = socket.create_server(("127.0.0.1", 0))
    Inheritance({"127.0.0.1:443": given}).leave_the_rest()
    assert given.fileno() == -1
    assert "127.0.0.1:443: a socket for it was given, and no VIP listens there" in caplog.text


ACTIVATED = """
import os, sys
if sys.argv[1] != "3":
    os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "shop.socket", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "meshcache", "serve", sys.argv[2]])
"""


def test_a_socket_of_systemds_is_served_and_its_queue_lost_by_nobody(shop: Deployment) -> None:
    """As systemd does it: the socket listens before the process is there, and after it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        shop.port = listening.getsockname()[1]
        shop.write()
        listening.set_inheritable(True)
        early = socket.create_connection(listening.getsockname())
        for _ in range(2):
            process = Process(
                [sys.executable, "-c", ACTIVATED, str(listening.fileno()), str(shop.file)],
                shop.folder / "activated.log",
                shop.folder,
                None,
                pass_fds=[listening.fileno()],
            )
            try:
                with shop.certificates.client().wrap_socket(early, server_hostname="shop.example") as tls:
                    tls.sendall(ASK)
                    assert tls.recv(12) == b"HTTP/1.1 200"
                assert " ready: " in process.output
            finally:
                process.end()
            assert process.popen.returncode == 0, process.output
            early = socket.create_connection(listening.getsockname())
        early.close()
