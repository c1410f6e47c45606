"""A process that has imported what our programs need, and forks itself for each that a test starts.

Most of what a short program costs is imports. `tests/support/children.py` starts this module and asks it; programs that
a warm start could change (another environment for Python itself, a namespace, a wrapper) start by exec as ever.
"""

from __future__ import annotations

import fcntl
import gc
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.support.asked import BYTES_MAX, DESCRIPTORS_MAX

WARM = ("meshcache.cli.main", "meshcache.node", "meshcache_server.main", "aiohttp.web")

_FREE = 200
"""Descriptors from here on are free while others are moved to where a program expects them."""


def main() -> None:
    """Serve what comes through standard input, a socket, until it is closed. Returns in each child, too, after its
    program has ended.
    """
    for name in WARM:
        import_module(name)
    assert threading.active_count() == 1, "a thread can't be forked"
    gc.collect()
    gc.freeze()  # so that a child's collector doesn't write to pages which it could share
    asked = socket.socket(fileno=os.dup(0))
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, BYTES_MAX, DESCRIPTORS_MAX)
        if not message:
            return
        pid = _orphan()
        if pid == 0:
            _become(json.loads(message), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        asked.send(str(pid).encode())


def _orphan() -> int:
    """Fork a child that has no parent, so that whoever asked for it (a subreaper, prctl(2)) becomes its parent. Return
    0 in the child, once that is so.
    """
    told, tell = os.pipe()
    wait, go = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid == 0:
            for descriptor in (told, tell, go):
                os.close(descriptor)
            os.read(wait, 1)  # nothing comes; both that could write have closed it
            os.close(wait)
            return 0
        os.write(tell, str(pid).encode())
        os._exit(0)
    pid = int(os.read(told, 20))
    os.waitpid(between, 0)
    for descriptor in (told, tell, wait, go):
        os.close(descriptor)
    return pid


def _become(program: dict[str, Any], descriptors: list[int]) -> None:
    """Run a program with all that it would have if it had been started by exec: descriptors, environment, folder."""
    _take(program["descriptors"], descriptors)
    os.chdir(program["cwd"])
    for name in set(os.environ) - set(program["env"]):
        del os.environ[name]
    os.environ.update(program["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        stream = _stream(getattr(sys, name), descriptor, mode)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    first, *others = program["command"]
    if first == "-m":
        sys.path[0] = program["cwd"]
        sys.argv[:] = others
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(first).resolve().parent)
        sys.argv[:] = program["command"]
        runpy.run_path(first, run_name="__main__")


def _take(numbers: list[int], descriptors: list[int]) -> None:
    """Move descriptors to the numbers that the program knows them by; close all others."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _FREE) for descriptor in descriptors]
    os.closerange(0, _FREE)
    for number, descriptor in zip(numbers, high, strict=True):
        os.dup2(descriptor, number)
    for descriptor in high:
        if descriptor not in numbers:
            os.close(descriptor)


def _stream(like: io.TextIOWrapper, descriptor: int, mode: str) -> io.TextIOWrapper:
    """What Python makes of a standard descriptor; ``PYTHONUNBUFFERED`` and the locale are this process's own."""
    at_once = like.write_through
    buffer = open(descriptor, f"{mode}b", 0 if at_once else -1, closefd=False)  # noqa: SIM115 - it is to stay open
    by_line = not at_once and (descriptor == 2 or os.isatty(descriptor))
    return io.TextIOWrapper(buffer, like.encoding, like.errors, line_buffering=by_line, write_through=at_once)


if __name__ == "__main__":
    main()
