"""nginx and haproxy from Debian with ticket keys out of files, as a fleet has them; and clients that bring tickets."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.support.fronts import accepts, free_port
from tests.support.material import HOST
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a fleet: its server's port, and what keys are written to and how the server takes them."""

    port: int
    keys: Path
    command: tuple[str, ...] = ()
    runtime: Path | None = None
    process: Process | None = None


def nginx_host(processes: Processes, folder: Path, materials: Path) -> Host:
    """nginx with its master process, since only that reads its files again."""
    folder.mkdir()
    port, conf, keys = free_port(), folder / "nginx.conf", folder / "keys"
    conf.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr;\nworker_processes 2;\nevents {{}}\n"
        "http { access_log off;\n"
        f"  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
        f"  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"  ssl_certificate {materials}/shop.pem; ssl_certificate_key {materials}/shop.key;\n"
        "  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_timeout 1h;\n"
        f"  include {keys}/*.conf;\n"
        f'  server {{ listen 127.0.0.1:{port} ssl; return 200 "$ssl_session_reused"; }}\n'
        "}\n"
    )
    base = ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", str(conf)]
    process = processes.start(base)
    wait_until(lambda: accepts(port) or not process.running)
    assert process.running, process.output
    return Host(port, keys, (*base, "-s", "reload"), process=process)


def haproxy_host(processes: Processes, folder: Path, materials: Path) -> Host:
    """haproxy with a runtime socket; its file has to be there before it starts."""
    folder.mkdir()
    port, file, keys, runtime = free_port(), folder / "haproxy.cfg", folder / "keys", folder / "admin.sock"
    both = folder / "both.pem"
    both.touch(0o600)
    both.write_bytes((materials / "shop.pem").read_bytes() + (materials / "shop.key").read_bytes())
    file.write_text(
        f"global\n  stats socket {runtime} mode 600 level admin\n  tune.ssl.lifetime 3600\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
        f"frontend tls\n  bind 127.0.0.1:{port} ssl crt {both} ssl-min-ver TLSv1.2 tls-ticket-keys {keys}\n"
        '  http-request return status 200 content-type text/plain lf-string "%[ssl_fc_is_resumed]"\n'
    )
    return Host(port, keys, ("/usr/sbin/haproxy", "-db", "-f", str(file)), runtime)


def start_haproxy(processes: Processes, host: Host) -> Process:
    """Start it once its keys are there."""
    process = processes.start(list(host.command))
    wait_until(lambda: accepts(host.port) or not process.running)
    assert process.running, process.output
    return process


@dataclass(slots=True)
class Returning:
    """A client that trusts the tests' authority and may bring what it got before."""

    context: ssl.SSLContext

    @classmethod
    def new(cls, materials: Path, tls: str) -> Returning:
        context = ssl.create_default_context(cafile=str(materials / "ca.pem"))
        context.minimum_version = context.maximum_version = VERSIONS[tls]
        return cls(context)

    def visit(self, port: int, session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession]:
        """Whether the connection resumed, and what to bring next time."""
        with (
            socket.create_connection(("127.0.0.1", port), 20) as link,
            self.context.wrap_socket(link, server_hostname=HOST, session=session) as tls,
        ):
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while more := tls.recv(65536):
                answer += more
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            assert tls.session is not None
            return bool(tls.session_reused), tls.session
