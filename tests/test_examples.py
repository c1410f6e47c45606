"""Every example runs as its head says, twice, and a client of one resumes on the other."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.material import HOST, Authority, free_ports, write_key
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent
ELSEWHERE = {"ftps_server.py", "named_sites.py"}
"""Examples that other tests run: they speak something else, or have other arguments."""

EXAMPLES = sorted({path.name for path in (ROOT / "examples").glob("*.py")} - ELSEWHERE)


@pytest.fixture
def file(folder: Path, authority: Authority) -> Path:
    authority.write(folder)
    write_key(folder)
    path = folder / "meshcache.toml"
    path.write_text(
        f"""\
[mesh]
key_file = "mesh.key"
mdns = false

[admin]
socket = false

[[vip]]
name = "shop"
certificate = "shop.pem"
private_key = "shop.key"
names = ["{HOST}"]
"""
    )
    return path


class Servers:
    """Two processes of one example, each the other's seed."""

    def __init__(self, example: str, file: Path) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        ports = free_ports(4)
        seeds = "[" + ",".join(f'"127.0.0.1:{port}"' for port in ports[:2]) + "]"
        self.tls = ports[2:]
        for name, mesh, tls in zip(("edge-1", "edge-2"), ports[:2], self.tls, strict=True):
            overrides = [f"node.name={name}", f"mesh.listen=127.0.0.1:{mesh}", f"mesh.seeds={seeds}"]
            command = [sys.executable, str(ROOT / "examples" / example), str(file), f"127.0.0.1:{tls}", *overrides]
            self.processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=file.parent))

    def stop(self) -> list[int]:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        return [process.wait(20) for process in self.processes]

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture(params=EXAMPLES)
def servers(request: pytest.FixtureRequest, file: Path) -> Iterator[Servers]:
    with ExitStack() as stack:
        started = Servers(request.param, file)
        stack.callback(started.kill)
        for process in started.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started


def ask(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None, host: str = HOST
) -> tuple[str, ssl.SSLSession]:
    """What the server says of the connection, and the session to come back with."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as tls,
    ):
        tls.sendall(b"which?\n")
        answer = b""
        while not answer.endswith(b"\n"):
            received = tls.recv(100)
            assert received, "the server hung up"
            answer += received
        assert tls.session is not None
        return answer.decode().strip(), tls.session


def test_a_client_of_one_resumes_on_the_other(servers: Servers, folder: Path) -> None:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    def there_and_back() -> bool:
        answer, session = ask(context, servers.tls[0])
        assert answer == "full None"
        return ask(context, servers.tls[1], session)[0] == "remote edge-1"

    wait_until(there_and_back, what="the two meet")
    session = ask(context, servers.tls[1])[1]
    assert ask(context, servers.tls[1], session)[0] == "local edge-2"
    assert servers.stop() == [0, 0]


def test_there_are_examples_for_asyncio_threads_and_pyopenssl() -> None:
    assert {"asyncio_ssl.py", "threaded_server.py", "pyopenssl_server.py"} <= set(EXAMPLES)
    assert all(os.access(ROOT / "examples" / name, os.R_OK) for name in EXAMPLES)
