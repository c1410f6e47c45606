"""Processes of a test: started with a log of their own, waited for, always ended, and only by their own handle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from tests.support import children
from tests.support.children import Child
from tests.support.waiting import PATIENCE_S

END_S_MAX = PATIENCE_S


def stop(popen: Child) -> None:
    """Stop a child with SIGSTOP. Until the thread that is to take the signal runs, all the others go on."""
    popen.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, popen.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class Process:
    """One running program and what it wrote so far (standard output and error together)."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        cwd: Path,
        env: Mapping[str, str] | None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.log = log
        with log.open("wb") as out:
            self.popen = children.start(command, out, out, cwd=cwd, env=env, pass_fds=pass_fds)

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, within_s: float = END_S_MAX) -> int:
        """Its exit code; fails the test, with its log, when it goes on beyond `within_s`."""
        try:
            return self.popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s} s:\n{self.output[-3000:]}") from None

    def stop(self) -> None:
        """SIGSTOP; returns when it stands still."""
        stop(self.popen)

    def kill(self) -> None:
        """SIGKILL; no goodbye."""
        self.popen.kill()
        self.popen.wait()

    def end(self) -> None:
        """SIGTERM, and SIGKILL for one that doesn't heed it or is stopped."""
        if self.running:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
        try:
            self.popen.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()


class Processes:
    """Starts programs for one test and ends them all when it is over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._started:
            if process.running:
                process.popen.terminate()
        for process in self._started:
            process.end()

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        log = self._folder / f"process-{len(self._started) + 1}.log"
        process = Process(command, log, cwd or self._folder, env, pass_fds)
        self._started.append(process)
        return process

    def meshcache(
        self, *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """``meshcache ARGUMENTS…`` in the background."""
        return self.start([sys.executable, "-m", "meshcache", *map(str, arguments)], cwd=cwd, env=env)


def meshcache(
    *arguments: str | Path, cwd: Path | None = None, within_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run ``meshcache ARGUMENTS…`` to its end; the exit code is the test's to judge."""
    return run([sys.executable, "-m", "meshcache", *map(str, arguments)], cwd=cwd, within_s=within_s)


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    within_s: float = PATIENCE_S,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; the exit code is the test's to judge."""
    with TemporaryFile() as out, TemporaryFile() as err:
        child = children.start(command, out, err, cwd=cwd, env=env)
        try:
            code = child.wait(within_s)
        finally:
            child.kill()
            child.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(command, code, *texts)
