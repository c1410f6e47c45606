"""CPU of two servers that share sessions, for a full and a resumed handshake, beside nginx and its one zone.

Clients in C: full handshakes on both in turn, or a session that is made on one and resumes on the other many times.
CPU is that of all servers together, as what is shared costs both. nginx is Debian's, two workers, two addresses and one
shared zone, which is what two of our servers are compared with. `BENCH_BEFORE` names another checkout to measure too.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from benchmarks import xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.fronts import BEFORE, END_S_MAX, NGINX
from benchmarks.material import NAME, VIP, free_port, write_certificate
from benchmarks.processes import cpu_ns
from benchmarks.report import Figure
from benchmarks.servers import folder, mesh
from benchmarks.statistic import median

HOSTS = ("127.0.0.1", "127.0.0.2")
CLIENTS = 4
_RESUMES = 50
_START_S = 0.5

KINDS = {"full": ("-m", "full"), "resumed": ("-m", "cross", "-r", _RESUMES)}
TARGETS = {
    ("full", "rsa", "1.2"): 1.25,
    ("full", "rsa", "1.3"): 1.25,
    ("full", "ecdsa", "1.2"): 1.5,
    ("full", "ecdsa", "1.3"): 1.5,
    ("resumed", "rsa", "1.2"): 1.4,
    ("resumed", "rsa", "1.3"): 1.3,
}
"""Of nginx's CPU at most, on a quiet machine."""

Case = tuple[str, str, str]
Spent = Callable[[], float]


def run(effort: Effort) -> list[Figure]:
    """Microseconds a handshake of each kind, key and version, and ours as a multiple of nginx's, in one run."""
    rounds, seconds = (5, 2.0) if effort is FULL else (1, 0.2) if effort is SMOKE else (3, 1.0)
    keys = ("rsa",) if effort is SMOKE else ("rsa", "ecdsa")
    before = os.environ.get(BEFORE)
    found: dict[tuple[str, Case], list[float]] = {}
    with folder() as place:
        program = xresume.build(place)
        for _, key in product(range(rounds), keys):
            for name in ("meshcache", *(("nginx",) if NGINX.exists() else ()), *(("before",) if before else ())):
                with _servers(name, key, Path(before) if before and name == "before" else None) as (addresses, spent):
                    for kind, tls in product(KINDS, ("1.3",) if effort is SMOKE else ("1.2", "1.3")):
                        us = _measure(program, (*KINDS[kind], "-V", tls), addresses, spent, seconds)
                        found.setdefault((name, (kind, key, tls)), []).append(us)
    return list(_figures(found))


@contextmanager
def _servers(name: str, key: str, checkout: Path | None) -> Iterator[tuple[list[str], Spent]]:
    """Two servers of one kind: where they listen, and the nanoseconds that all their processes have used."""
    if name == "nginx":
        with _nginx(key) as running:
            yield running
        return
    with mesh(("mesh", "mesh"), key, checkout) as servers:
        yield (
            [f"{host}:{port}" for host, port in (each.plan.tls for each in servers)],
            lambda: sum(server.cpu_ns() for server in servers),
        )


@contextmanager
def _nginx(key: str) -> Iterator[tuple[list[str], Spent]]:
    with folder() as place:
        write_certificate(place, key)
        addresses = [f"{host}:{free_port(host)}" for host in HOSTS]
        servers = "".join(
            f"server {{ listen {each} ssl backlog=511; server_name {NAME}; ssl_certificate {place}/{VIP}.pem;"
            f' ssl_certificate_key {place}/{VIP}.key; location / {{ return 200 "ok\\n"; }} }}\n'
            for each in addresses
        )
        (place / "nginx.conf").write_text(
            f"daemon off; worker_processes 2; pid {place}/nginx.pid; error_log stderr warn;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off;\n"
            f"ssl_session_cache shared:SSL:64m; ssl_session_timeout 1h;\n{servers}}}\n"
        )
        with (place / "nginx.log").open("wb") as log:
            command = [str(NGINX), "-e", "stderr", "-p", str(place), "-c", str(place / "nginx.conf")]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            time.sleep(_START_S)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            pids = [process.pid, *map(int, children)]
            yield addresses, lambda: float(sum(map(cpu_ns, pids)))
        finally:
            process.terminate()
            process.wait(END_S_MAX)


def _measure(program: Path, kind: tuple[str | int, ...], addresses: list[str], spent: Spent, seconds: float) -> float:
    """Microseconds of CPU a handshake, after a moment for what is only done at first."""
    arguments = (*kind, "-n", 100_000_000, "-c", CLIENTS, "--sni", NAME)
    xresume.run(program, *arguments, "-t", min(seconds / 4, 0.3), *addresses)
    before = spent()
    result = xresume.run(program, *arguments, "-t", seconds, *addresses)
    if result["errors"] or not result["handshakes"]:
        raise RuntimeError(f"{result['errors']} handshakes failed: {result['last_error']}")
    if "cross" in kind and float(result["resumed"]) < 0.9 * float(result["offered"]):
        raise RuntimeError(f"only {result['resumed']} of {result['offered']} resumed")
    time.sleep(0.1)  # what is shared has arrived
    return (spent() - before) / 1000 / float(result["handshakes"])


def _figures(found: dict[tuple[str, Case], list[float]]) -> Iterator[Figure]:
    medians = {at: median(each) for at, each in found.items()}
    for (name, (kind, key, tls)), us in medians.items():
        detail: dict[str, object] = {"rounds": [round(each, 1) for each in found[name, (kind, key, tls)]]}
        yield Figure("peers", f"{key.upper()} TLS {tls} {kind}, {name}", us, "us", detail=detail)
        for other in ("nginx", "before"):
            if name == "meshcache" and (other, (kind, key, tls)) in medians:
                ratio = us / medians[other, (kind, key, tls)]
                target = TARGETS.get((kind, key, tls)) if other == "nginx" else None
                yield Figure("peers", f"{key.upper()} TLS {tls} {kind}, of {other}'s", ratio, "x", target)
