"""A server process of `python -m meshcache_server` with files of its own, and what it said."""

from __future__ import annotations

import re
import signal
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.server.harness import Certificates, Dialogue, connect
from tests.support.material import Authority, write_key
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

ASK = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"

READY_S_MAX = 90.0


@dataclass
class Deployment:
    """Files in `folder`, a server on them, and the authority that its clients trust."""

    folder: Path
    processes: Processes
    certificates: Certificates
    process: Process | None = None
    port: int = 0

    @property
    def file(self) -> Path:
        return self.folder / "meshcache.toml"

    def write(self, more: str = "", vip: str = "", name: str = "shop") -> None:
        self.file.write_text(
            f"""\
[node]
name = "edge-1"
colo = "ams1"

[mesh]
listen = "127.0.0.1:0"
mdns = false

{more}

[[vip]]
name = "{name}"
listen = "127.0.0.1:{self.port}"
certificate = "shop.pem"
private_key = "shop.key"
{vip}
"""
        )

    def renew(self) -> None:
        """Another certificate of the same authority."""
        issued = self.certificates.authority.issue_cert("shop.example", "*.shop.example")
        (self.folder / "shop.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        (self.folder / "shop.key").write_bytes(issued.private_key_pem.bytes())

    def start(self, env: dict[str, str] | None = None) -> Process:
        """Start the server and wait until it is ready; a port of 0 becomes the one it got."""
        process = self.process = self.processes.start(
            [sys.executable, "-m", "meshcache_server", str(self.file)], env=env
        )
        wait_until(lambda: " ready: " in process.output or not process.running, READY_S_MAX)
        ready = re.search(r" ready: edge-1@ams1 mesh=\S+ shop=127\.0\.0\.1:(\d+)$", process.output, re.MULTILINE)
        assert ready, process.output
        self.port = int(ready[1])
        return process

    def reload(self) -> None:
        """Send SIGHUP and wait until it is obeyed."""
        assert self.process is not None
        before = len(self.process.output)
        self.process.send(signal.SIGHUP)
        wait_until(lambda: "reloaded: " in self.process.output[before:])
        assert "not reloaded" not in self.process.output[before:]

    def dial(self) -> Dialogue:
        return Dialogue(self.port, self.certificates)

    def ask(self) -> bytes:
        dialogue = self.dial()
        try:
            return dialogue.ask(ASK)
        finally:
            dialogue.close()

    def serial(self) -> int:
        """The serial number of the certificate that clients get."""
        dialogue = self.dial()
        certificate = dialogue.tls.get_peer_certificate(as_cryptography=True)
        dialogue.close()
        assert certificate is not None
        return certificate.serial_number

    def visit(
        self, session: ssl.SSLSession | None, context: ssl.SSLContext, request: bytes = ASK, name: str = "shop.example"
    ) -> tuple[ssl.SSLSession, bytes]:
        """One connection with Python's own client: the session afterwards, and the answer."""
        with context.wrap_socket(connect(self.port), server_hostname=name, session=session) as tls:
            tls.sendall(request.replace(b"shop.example", name.encode()))
            answer = b""
            while data := tls.recv(65536):
                answer += data
            assert tls.session is not None
            return tls.session, answer


def deploy(folder: Path, processes: Processes) -> Deployment:
    """Key, certificate and file, for a server that isn't started yet."""
    authority = Authority.new("shop.example", "*.shop.example")
    authority.write(folder)
    write_key(folder)
    certificates = Certificates(authority.ca, folder / "shop.pem", folder / "shop.key", folder / "ca.pem")
    deployment = Deployment(folder, processes, certificates)
    deployment.write()
    return deployment
