"""examples/ftps_server.py with clients of the field: who owns the control connection gets the data, nobody else."""

from __future__ import annotations

import ftplib
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.material import HOST, Authority, free_ports, write_key
from tests.support.processes import Processes
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent
WITHIN_S = 30.0
CONTENT = b"what is in the file\n" * 5000

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Client(ftplib.FTP_TLS):
    """ftplib's client. With `reuses` its data connections offer the session of its control connection."""

    reuses = True

    def connect_here(self, port: int) -> Client:
        self.connect("127.0.0.1", port, timeout=WITHIN_S)
        self.host = HOST  # the name for which certificates are checked
        self.login()
        self.prot_p()
        return self

    def ntransfercmd(self, command: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, command, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        session = self.sock.session if self.reuses else None
        return self.context.wrap_socket(connection, server_hostname=HOST, session=session), size

    def makepasv(self) -> tuple[str, int]:
        return "127.0.0.1", super().makepasv()[1]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("ftps")
    authority.write(folder)
    write_key(folder)
    (folder / "public").mkdir()
    (folder / "public/file.txt").write_bytes(CONTENT)
    (folder / "meshcache.toml").write_text(
        '[mesh]\nkey_file = "mesh.key"\nlisten = "127.0.0.1:0"\nmdns = false\n[admin]\nsocket = false\n'
        '[[vip]]\nname = "shop"\ncertificate = "shop.pem"\nprivate_key = "shop.key"\n'
    )
    (port,) = free_ports(1)
    with Processes(folder) as processes:
        command = [sys.executable, str(ROOT / "examples" / "ftps_server.py"), "meshcache.toml", f"127.0.0.1:{port}"]
        server = processes.start(command, cwd=folder)
        wait_until(lambda: "ready" in server.output or not server.running, what="the server is up")
        assert server.running, server.output
        yield port


@pytest.fixture
def context(port: int, authority: Authority, folder: Path) -> ssl.SSLContext:
    authority.write(folder)
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_of_the_control_connection_reads_and_writes(
    port: int, context: ssl.SSLContext, version: str
) -> None:
    context.minimum_version = context.maximum_version = VERSIONS[version]
    with Client(context=context).connect_here(port) as client:
        for _ in range(3):
            got = BytesIO()
            client.retrbinary("RETR file.txt", got.write)
            assert got.getvalue() == CONTENT
        client.storbinary("STOR written.txt", BytesIO(b"new"))
        assert client.size("written.txt") == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_data_connection_with_a_full_handshake_gets_nothing(port: int, context: ssl.SSLContext, version: str) -> None:
    context.minimum_version = context.maximum_version = VERSIONS[version]
    with Client(context=context).connect_here(port) as client:
        client.reuses = False
        got = BytesIO()
        with pytest.raises((ftplib.error_perm, ftplib.error_temp, OSError, EOFError)):
            client.retrbinary("RETR file.txt", got.write)
        assert got.getvalue() == b""


def test_another_client_with_a_session_of_its_own_gets_nothing(port: int, context: ssl.SSLContext) -> None:
    """Somebody who is known here, and reaches the data port first."""
    with Client(context=context).connect_here(port) as victim, Client(context=context).connect_here(port) as thief:
        host, data_port = victim.makepasv()
        assert isinstance(thief.sock, ssl.SSLSocket)
        with socket.create_connection((host, data_port), timeout=WITHIN_S) as plain:
            victim.putcmd("RETR file.txt")
            received = b""
            try:
                with context.wrap_socket(plain, server_hostname=HOST, session=thief.sock.session) as tls:
                    while more := tls.recv(65_536):
                        received += more
            except OSError:
                pass
        assert received == b""
        assert victim.getresp().startswith(("150", "125")), "about to send"
        with pytest.raises(ftplib.error_perm, match="522"):
            victim.getresp()


def test_curl_belongs_together_by_itself(port: int, folder: Path, authority: Authority) -> None:
    authority.write(folder)
    curl = shutil.which("curl")
    assert curl is not None, "make test installs it"
    for version in ("1.2", "1.3"):
        command = [
            curl,
            "--silent",
            "--show-error",
            "--ssl-reqd",
            "--cacert",
            str(folder / "ca.pem"),
            "--max-time",
            "30",
        ]
        command += ["--resolve", f"{HOST}:{port}:127.0.0.1", "--ftp-skip-pasv-ip", f"--tlsv{version}"]
        command += ["--tls-max", version, f"ftp://{HOST}:{port}/file.txt"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, (version, done.stderr)
        assert done.stdout == CONTENT
