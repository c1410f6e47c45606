"""A program that is forked from a warm start has what one has that is started by exec."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import children
from tests.support.processes import Processes, run
from tests.support.waiting import wait_until

TELLS = """
import json, os, signal, sys, threading
SIGNALS = ("SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE")
standard = (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__)
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "path": sys.path[0], "name": __name__,
    "signals": {name: str(signal.getsignal(getattr(signal, name))) for name in SIGNALS},
    "descriptors": sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1], "parent": os.getppid(),
    "streams": [(each.encoding, each.errors, each.line_buffering, each.fileno(), each.isatty()) for each in standard],
    "nothing": sys.stdin.read(), "threads": threading.active_count(), "main": sys.modules["__main__"].__file__,
    "group": os.getpgid(0), "given": os.read(int(sys.argv[1]), 10).decode(),
}))
print("told", file=sys.stderr)
sys.exit(int(sys.argv[2]))
"""


def test_it_has_what_it_would_have_by_exec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    program = tmp_path / "tells.py"
    program.write_text(TELLS)
    monkeypatch.setenv("ONE_MORE", "set since the warm start")

    def tells(**more: str) -> tuple[int, dict[str, object], str]:
        with (tmp_path / "out").open("w+b") as out, (tmp_path / "err").open("w+b") as err:
            read, write = os.pipe()
            os.write(write, b"given")
            command = [sys.executable, str(program), str(read), "3"]
            child = children.start(
                command, out, err, cwd=tmp_path / "elsewhere", env=os.environ | more, pass_fds=[read]
            )
            code = child.wait(60)
            os.close(read)
            os.close(write)
            told = json.loads((tmp_path / "out").read_text())
            told["env"].pop("MESHCACHE_COLD", None)
            return code, told, (tmp_path / "err").read_text()

    cold, warm = tells(MESHCACHE_COLD="1"), tells()
    for name, value in cold[1].items():
        assert (name, warm[1][name]) == (name, value)
    assert (warm[0], warm[2]) == (cold[0], cold[2])
    assert (cold[0], cold[1]["given"], cold[1]["parent"], cold[2]) == (3, "given", os.getpid(), "told\n")


def test_our_command_says_the_same(tmp_path: Path) -> None:
    for arguments in (["check", "missing.toml"], ["--version"], ["check"], ["stats", "--socket", "none"]):
        command = [sys.executable, "-m", "meshcache", *arguments]
        cold, warm = (run(command, cwd=tmp_path, env=os.environ | more) for more in ({"MESHCACHE_COLD": "1"}, {}))
        assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_signal_ends_it_and_its_parent_knows_by_which(
    number: signal.Signals, processes: Processes, folder: Path
) -> None:
    program = folder / "waits.py"
    program.write_text("import time; print('here', flush=True); time.sleep(300)")
    process = processes.start([sys.executable, str(program)])
    assert not isinstance(process.popen, subprocess.Popen), "it is warm"
    wait_until(lambda: process.output == "here\n")
    with pytest.raises(subprocess.TimeoutExpired):
        process.popen.wait(0.001)
    process.stop()
    process.send(signal.SIGCONT)
    process.send(number)
    assert process.wait() == -number
    process.send(number)  # nobody is there, and nobody else is hit


def test_an_error_is_told_as_ever(processes: Processes, folder: Path) -> None:
    program = folder / "fails.py"
    program.write_text("raise ValueError('on purpose')")
    process = processes.start([sys.executable, str(program)])
    assert process.wait() == 1
    assert process.output.endswith("ValueError: on purpose\n")


ELSEWISE = (["-c", "print(1)"], ["-I", "x.py"], ["-m", "json.tool"], ["x.py", "-k", "gevent"], ["x.py", "--reload"])


@pytest.mark.parametrize("command", ELSEWISE)
def test_what_a_warm_start_may_change_starts_by_exec(command: list[str], processes: Processes) -> None:
    assert isinstance(processes.start([sys.executable, *command]).popen, subprocess.Popen)


def test_so_does_what_has_another_environment_for_python(processes: Processes, folder: Path) -> None:
    (folder / "x.py").write_text("")
    for name in ("PYTHONHASHSEED", "MESHCACHE_PURE", "LD_PRELOAD"):
        assert isinstance(
            processes.start([sys.executable, "x.py"], env=os.environ | {name: ""}).popen, subprocess.Popen
        )
