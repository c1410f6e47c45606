"""TLS terminators side by side, each in front of one backend: this server, nginx's stream module and haproxy.

`BENCH_BEFORE` names another checkout of this project whose server is measured too, such as a worktree of 0.1.0.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.material import VIP, free_port, write_certificate, write_mesh_key
from benchmarks.processes import ROOT, cpu_ns

HOST = "127.0.0.1"
START_S_MAX = 60.0
END_S_MAX = 15.0
NGINX = Path("/usr/sbin/nginx")
NGINX_STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
BEFORE = "BENCH_BEFORE"


@dataclass(frozen=True, slots=True)
class Front:
    """A running terminator: where clients connect, and whose CPU counts."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_s(self) -> float:
        """User and system time so far, of all its threads."""
        return cpu_ns(self.pid) / 1e9

    def resident_bytes(self) -> int:
        """Its own memory now."""
        return resident_bytes(self.pid)


def resident_bytes(pid: int) -> int:
    """Memory of a process (proc(5), VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} is gone")


def names() -> list[str]:
    """Those that can be measured here."""
    found = ["meshcache"]
    found += ["before"] if os.environ.get(BEFORE) else []
    found += ["nginx"] if shutil.which("nginx", path="/usr/sbin:/usr/bin") and NGINX_STREAM.exists() else []
    return found + (["haproxy"] if shutil.which("haproxy", path="/usr/sbin:/usr/bin") else [])


@contextmanager
def front(name: str, folder: Path, backend: int | None, more: str = "", sharing: str = "") -> Iterator[Front]:
    """Start one, in front of the backend at this port of loopback; without one, this server's own responder."""
    if not (folder / f"{VIP}.pem").exists():
        write_certificate(folder)
        write_mesh_key(folder / "mesh.key")
    port = free_port(HOST)
    if name in ("meshcache", "before"):
        command, environment = _ours(name, folder, port, backend, more, sharing)
    else:
        command, environment = {"nginx": _nginx, "haproxy": _haproxy}[name](folder, port, backend), None
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(process, port, folder / f"{name}.log")
        yield Front(name, port, process)
    finally:
        process.terminate()
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ours(
    name: str, folder: Path, port: int, backend: int | None, more: str, sharing: str
) -> tuple[list[str], Mapping[str, str] | None]:
    file = folder / f"{name}.toml"
    relays = "" if backend is None else f'backend = "{HOST}:{backend}"\n'
    file.write_text(
        f'[node]\nname = "{name}"\nstate_dir = "state-{name}"\n'
        f'[mesh]\nkey_file = "mesh.key"\nlisten = "{HOST}:0"\nmdns = false\n{more}\n'
        f'[[vip]]\nname = "{VIP}"\nlisten = ["{HOST}:{port}"]\ncertificate = "{VIP}.pem"\nprivate_key = "{VIP}.key"\n'
        f"{relays}" + (f"[vip.sharing]\n{sharing}" if sharing else "")
    )
    command = [sys.executable, "-m", "meshcache", "serve", str(file)]
    if name == "meshcache":
        return command, os.environ | {"PYTHONPATH": str(ROOT)}
    names_folder = folder / "names"
    names_folder.mkdir(exist_ok=True)
    checkout = Path(os.environ[BEFORE])
    for package, place in (("meshcache", "meshcache"), ("meshcache_server", "server")):
        with suppress(FileExistsError):
            (names_folder / package).symlink_to(checkout / place)
    start = f"import sys; sys.path.insert(0, {str(names_folder)!r}); from meshcache.cli.main import main; main()"
    return [sys.executable, "-c", start, "serve", str(file)], None


def _nginx(folder: Path, port: int, backend: int | None) -> list[str]:
    file = folder / "nginx.conf"
    file.write_text(
        f"load_module {NGINX_STREAM};\n"
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; worker_rlimit_nofile 65536;\n"
        "events { worker_connections 16384; }\n"
        "stream { server {\n"
        f"  listen {HOST}:{port} ssl backlog=1024;\n"
        f"  ssl_certificate {folder}/{VIP}.pem; ssl_certificate_key {folder}/{VIP}.key;\n"
        "  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:S:16m;\n"
        f"  proxy_pass {HOST}:{backend}; proxy_timeout 10m;\n"
        "} }\n"
    )
    return ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", str(file)]


def _haproxy(folder: Path, port: int, backend: int | None) -> list[str]:
    both = folder / "haproxy.pem"
    both.touch(0o600)
    both.write_bytes((folder / f"{VIP}.pem").read_bytes() + (folder / f"{VIP}.key").read_bytes())
    file = folder / "haproxy.cfg"
    file.write_text(
        "global\n  nbthread 1\n  maxconn 9000\n"
        "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n"
        f"listen tls\n  bind {HOST}:{port} ssl crt {both} backlog 1024\n  server one {HOST}:{backend}\n"
    )
    return ["/usr/sbin/haproxy", "-db", "-f", str(file)]


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, port), 5) as found:
            if found.getsockname() != found.getpeername():  # while nobody listens, TCP may connect a port to itself
                return
        time.sleep(0.05)
    raise RuntimeError(f"it did not start: {log.read_text(errors='replace')[-2000:]}")
