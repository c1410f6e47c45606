from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
from meshcache.workers import ending

class Node:
    def close(self):
        print("closed", flush=True)

node = Node()
if "own" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
ending.close_at_end(node)
if "server" in sys.argv:  # uvicorn's way: its own handler, then the former one again, and the signal once more
    former = signal.signal(signal.SIGTERM, lambda *_: None)
    signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, former)
if "exit" not in sys.argv:
    signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize(
    "how, code", [("exit", 0), ("plain", -signal.SIGTERM), ("server", -signal.SIGTERM), ("own", 3)]
)
def test_a_node_closes_once_however_the_process_ends(how: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.returncode) == ("closed\n", code), done.stderr
