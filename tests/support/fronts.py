"""nginx and haproxy from Debian, terminating TLS in front of one backend: to hold this server's manners against."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from tests.support.processes import Processes
from tests.support.waiting import wait_until

NGINX_STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def free_port() -> int:
    """A port that nobody listens on, for programs that can't take one that is bound already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def accepts(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    return False


def nginx(processes: Processes, folder: Path, chain: Path, key: Path, backend: int) -> int:
    """nginx's stream module; the port that it listens on."""
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(
        f"load_module {NGINX_STREAM};\n"
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n"
        "events {}\n"
        "stream { server {\n"
        f"  listen 127.0.0.1:{port} ssl; ssl_certificate {chain}; ssl_certificate_key {key};\n"
        "  ssl_protocols TLSv1.2 TLSv1.3;\n"
        f"  proxy_pass 127.0.0.1:{backend};\n"
        "} }\n"
    )
    return _started(processes, ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", str(file)], port)


def haproxy(processes: Processes, folder: Path, chain: Path, key: Path, backend: int) -> int:
    """haproxy in TCP mode, terminating TLS; the port that it listens on."""
    port = free_port()
    both = folder / "haproxy.pem"
    both.touch(0o600)
    both.write_bytes(chain.read_bytes() + key.read_bytes())
    return run_haproxy(
        processes,
        folder,
        f"listen tls\n  bind 127.0.0.1:{port} ssl crt {both}\n  server one 127.0.0.1:{backend}\n",
        port,
    )


def run_haproxy(processes: Processes, folder: Path, sections: str, port: int) -> int:
    """haproxy with these sections in TCP mode, once it listens on `port`."""
    file = folder / "haproxy.cfg"
    file.write_text(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n" + sections
    )
    return _started(processes, ["/usr/sbin/haproxy", "-db", "-f", str(file)], port)


def _started(processes: Processes, command: list[str], port: int) -> int:
    process = processes.start(command)
    wait_until(lambda: accepts(port) or not process.running, 20)
    assert process.running, process.output
    return port


FRONTS = {"nginx": nginx, "haproxy": haproxy}


def front(program: str, processes: Processes, folder: Path, chain: Path, key: Path, backend: int) -> int:
    """Start one of `FRONTS`; the port that it listens on."""
    return FRONTS[program](processes, folder, chain, key, backend)
