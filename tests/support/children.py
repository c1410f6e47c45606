"""Programs as children of this process: started by exec, or, where that makes no difference to them, from a warm start.

``MESHCACHE_COLD=1`` starts all of them by exec.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Protocol

from tests.support.asked import BYTES_MAX, DESCRIPTORS_MAX

ROOT = Path(__file__).parents[2]

_OURS = ("meshcache", "meshcache_server")
_OF_PYTHON = ("PYTHON", "MESHCACHE_PURE", "LD_", "OPENSSL_", "SSL_", "MALLOC_", "GLIBC_", "UV_", "LC_", "LANG")
"""Variables that Python or a library read as they start; with others than this process's own nothing warm will do."""

_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)"""


class Child(Protocol):
    """A child of this process; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def start(
    command: Sequence[str],
    out: IO[bytes],
    err: IO[bytes],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a program that reads nothing and writes to these files."""
    whole = dict(os.environ if env is None else env)
    place = Path.cwd() if cwd is None else cwd
    program = _program(command, place)
    if program is None or "MESHCACHE_COLD" in whole or _read_early(whole) != _read_early(_warm().env):
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=place, env=whole, pass_fds=pass_fds
        )
    with Path(os.devnull).open("rb") as nothing:
        given = {0: nothing.fileno(), 1: out.fileno(), 2: err.fileno()} | {each: each for each in pass_fds}
        return _Forked(_warm().start(program, place, whole, given), command)


def _program(command: Sequence[str], place: Path) -> Sequence[str] | None:
    """Return what a warm start is to run: ``-m MODULE ARGUMENTS`` or ``FILE ARGUMENTS``. None for what it may not: no
    Python, Python's own options, what wants to be there before Python's modules are (gevent), and what starts itself
    again by the words that it was started with (reloaders).
    """
    of_python = command[0] == sys.executable
    if of_python and command[1] == "-m":
        return command[1:] if command[2] in _OURS else None
    file, *arguments = command[1:] if of_python else command
    if not of_python and Path(file).parent != Path(sys.executable).parent:
        return None
    text = " ".join(arguments)
    if (path := place / file).is_file():
        text += path.read_text(errors="replace")
    return None if file.startswith("-") or "gevent" in text or "reload" in text else [str(path), *arguments]


def _read_early(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_OF_PYTHON)}


class _Forked:
    """A child that was forked from a warm start and then given to this process."""

    def __init__(self, pid: int, command: Sequence[str]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._command = command

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.poll() is None:
            descriptor = os.pidfd_open(self.pid)
            try:
                select.select([descriptor], [], [], timeout)
            finally:
                os.close(descriptor)
            if self.poll() is None:
                raise subprocess.TimeoutExpired(self._command, timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Warm:
    """The warm start of this process, which ends with it."""

    def __init__(self) -> None:
        self.env = dict(os.environ)
        self._asked, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with asked:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm_start"], stdin=asked, cwd=ROOT, env=self.env
            )

    def start(self, command: Sequence[str], cwd: Path, env: Mapping[str, str], given: Mapping[int, int]) -> int:
        message = json.dumps({"command": command, "cwd": str(cwd), "env": env, "descriptors": list(given)}).encode()
        assert len(message) <= BYTES_MAX
        assert len(given) <= DESCRIPTORS_MAX
        _adopt(True)
        try:
            socket.send_fds(self._asked, [message], list(given.values()))
            answer = self._asked.recv(64)
        finally:
            _adopt(False)
        assert answer, f"the warm start ended with {self._process.wait()}"
        return int(answer)


@cache
def _warm() -> _Warm:
    return _Warm()


def _adopt(orphans: bool) -> None:
    """Become the parent of descendants that lose theirs, or no longer."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(orphans), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
