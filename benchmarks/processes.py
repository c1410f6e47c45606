"""Server processes: started, waited for, their CPU read, ended by the one who started them.

CPU is user plus system time of all threads of a process, in nanoseconds, from its CPU clock (clock_getcpuclockid(3));
/proc/PID/stat has the same sum in steps of 10 ms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.material import ServerPlan

ROOT = Path(__file__).parent.parent

READY_S_MAX = 30.0
"""A server that isn't ready by then has failed; its log is part of the error."""

_END_S_MAX = 15.0

_CPUCLOCK_SCHED = 2
"""Linux: a process's CPU clock is ``~pid << 3 | CPUCLOCK_SCHED`` (include/linux/posix-timers.h)."""


class Server:
    """One server process of `benchmarks.server`, in the way that `mode` says, ended with the ``with`` block."""

    def __init__(
        self,
        plan: ServerPlan,
        mode: str,
        checkout: Path | None = None,
        *,
        may_hasten: bool = True,
        program: str = "benchmarks.server",
    ) -> None:
        """`checkout` is another one of this project, such as a worktree of 0.1.0, with a ``.venv`` of its own.

        Without `may_hasten` the process has no right to raise its threads' priorities, whoever started it. `program` is
        another module than `benchmarks.server`, which is started and asked in the same way.
        """
        self.plan = plan
        self.log = plan.file.with_suffix(".log")
        self._log_file = self.log.open("wb")
        python = sys.executable if checkout is None else str(checkout / ".venv" / "bin" / "python")
        command = [*([] if may_hasten else _without_haste()), python, "-m", program, mode, str(plan.file)]
        self._process = subprocess.Popen(
            command,
            cwd=checkout or ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log_file.close()

    def ask(self, question: str) -> str:
        """Send one line to the server process and wait for the one that answers it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().rstrip("\n")
        if not answer:
            raise RuntimeError(f"{self.plan.name} ended: {self.log.read_text()[-2000:]}")
        return answer

    def cpu_ns(self) -> int:
        """CPU that the process has used, all threads."""
        return cpu_ns(self.pid)


def _without_haste() -> list[str]:
    """Words before a command that take CAP_SYS_NICE from it; only root has it to lose."""
    return ["setpriv", "--inh-caps", "-sys_nice", "--bounding-set", "-sys_nice"] if os.geteuid() == 0 else []


def hastened(pid: int) -> bool:
    """Whether any thread of a process has a raised priority (proc(5), the 19th field of stat)."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return any(int(stat.rpartition(")")[2].split()[16]) < 0 for stat in stats)


def cpu_ns(pid: int) -> int:
    """CPU that a process has used, all threads."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)


def wait_until_ready(servers: Sequence[Server], peers: int) -> None:
    """Until every server accepts clients and has `peers` peers that it may send sessions to."""
    deadline = time.monotonic() + READY_S_MAX
    for server in servers:
        while int(server.ask("peers")) < peers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{server.plan.name} has too few peers: {server.log.read_text()[-2000:]}")
            time.sleep(0.05)
