"""Builds and runs `xresume.c`, a load generator in C: it comes back sooner than any client in Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("xresume.c")
BUILD_S_MAX = 120.0


class NoCompilerError(RuntimeError):
    """There is no C compiler, or OpenSSL's headers (Debian's libssl-dev) are missing."""


def build(folder: Path) -> Path:
    """Compile it into `folder`. Raises NoCompilerError."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompilerError("a C compiler is needed: apt-get install gcc libssl-dev")
    program = folder / "xresume"
    command = [compiler, "-O2", "-o", str(program), str(SOURCE), "-lssl", "-lcrypto"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S_MAX, check=False)
    if done.returncode:
        raise NoCompilerError(f"xresume.c can't be compiled (apt-get install libssl-dev): {done.stderr[:500]}")
    return program


class Run:
    """One run beside something else: started at once, asked for its result at the end."""

    def __init__(self, program: Path, *arguments: str | float) -> None:
        command = [str(program), *map(str, arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._process.poll() is None

    def result(self, within_s: float) -> dict[str, Any]:
        """What it found, once it has ended; handshakes that failed are in ``errors`` and are no error here."""
        out, err = self._process.communicate(timeout=within_s)
        if self._process.returncode not in (0, 1):
            raise RuntimeError(f"xresume ended with {self._process.returncode}: {err[-500:]}")
        found: dict[str, Any] = json.loads(out)
        return found

    def end(self) -> None:
        """End it, if it still runs."""
        self._process.kill()
        self._process.wait()


def run(program: Path, *arguments: str | float, within_s: float = 300.0) -> dict[str, Any]:
    """One run from start to end."""
    return Run(program, *arguments).result(within_s)


def worst(found: dict[str, Any], which: str) -> float:
    """A percentile (``p99``, ``max``, …) of the slower kind of handshake, in milliseconds."""
    return max(float(found[kind][which]) for kind in ("full_ms", "resumed_ms") if found[kind])


def cross(port: int, seconds: float, clients: int, tls: str, *more: str) -> Sequence[str | int | float]:
    """Arguments for clients that make a session, come back with it to the same address, ask and read, for so long."""
    return (
        *("-m", "cross", "--same", "-n", 100_000_000, "-t", seconds, "-c", clients, "-r", 4, "-V", tls),
        *("--request", "--path", "/", "--sni", "shop.example", "--timeout", 20_000, *more, f"127.0.0.1:{port}"),
    )
