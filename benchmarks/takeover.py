"""Whether clients notice an upgrade: four in C come all the time while the server is taken over and reloaded."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import fronts, xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.processes import ROOT
from benchmarks.report import Figure
from benchmarks.servers import folder

CLIENTS = 4
READY_S_MAX = 120.0


def run(effort: Effort) -> list[Figure]:
    """Connections that failed, and the longest that one took, in each protocol version."""
    seconds = 30.0 if effort is FULL else 4.0 if effort is SMOKE else 15.0
    figures: list[Figure] = []
    with folder() as place:
        program = xresume.build(place)
        for tls in ("1.3",) if effort is SMOKE else ("1.2", "1.3"):
            with fronts.front("meshcache", place, None) as front:
                figures += _measure(front, place, program, tls, seconds)
    return figures


def _measure(front: fronts.Front, place: Path, program: Path, tls: str, seconds: float) -> list[Figure]:
    clients = xresume.Run(program, *xresume.cross(front.port, seconds, CLIENTS, tls))
    successor: subprocess.Popen[bytes] | None = None
    try:
        time.sleep(seconds / 4)
        with (place / f"successor-{tls}.log").open("wb") as log:
            command = [sys.executable, "-m", "meshcache", "serve", str(place / "meshcache.toml"), "--take-over"]
            successor = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        _wait_for(" ready: ", place / f"successor-{tls}.log", successor)
        successor.send_signal(signal.SIGHUP)
        _wait_for("reloaded: ", place / f"successor-{tls}.log", successor)
        outlasted = clients.running
        found = clients.result(seconds + READY_S_MAX)
        front.process.wait(READY_S_MAX)
    finally:
        clients.end()
        if successor is not None:
            successor.terminate()
            successor.wait()
    detail = {key: found[key] for key in ("handshakes", "offered", "resumed", "errors", "last_error")}
    detail["clients_outlasted_both"] = outlasted
    lost = int(found["offered"]) - int(found["resumed"])
    return [
        Figure("takeover", f"TLS {tls}, failed connections", float(found["errors"]), "", 0.0, detail=detail),
        Figure("takeover", f"TLS {tls}, sessions that didn't resume", float(lost), "", 0.0, detail=detail),
        Figure("takeover", f"TLS {tls}, slowest connection", xresume.worst(found, "max"), "ms", detail=detail),
    ]


def _wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while text not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the successor didn't say {text!r}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
