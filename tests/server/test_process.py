"""Tests of `server.process`, each in a process of its own: limits stay for good."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout + done.stderr


def test_no_core_is_dumped_and_no_other_process_may_look() -> None:
    program = """
import ctypes, resource
from meshcache_server import process
process.keep_secrets_in()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # 3: PR_GET_DUMPABLE
"""
    assert run(program) == "(0, 0) 0\n"


def test_hooks_are_found_all_the_same() -> None:
    """They read /proc/self/maps, which a process that isn't dumpable may read of itself and nobody else."""
    program = """
from meshcache_server import process
process.keep_secrets_in()
print(len(open("/proc/self/maps").read()) > 100)
"""
    assert run(program) == "True\n"


def test_open_files_are_raised_to_what_is_needed() -> None:
    program = """
import resource
from meshcache_server import process
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 5000))
process.allow_files(100, 2)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
process.allow_files(10_000, 2)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
process.allow_files(1, 1)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    lines = run(program).splitlines()
    assert lines[:3] == ["(456, 5000)", "(5000, 5000)", "(5000, 5000)"]
    assert lines[3] == "max_connections needs 20256 open files, and the limit is 5000: raise LimitNOFILE= or ulimit"
