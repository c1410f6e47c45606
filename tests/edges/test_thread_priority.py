"""The priority of libzmq's threads, with real sockets and real permissions."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import pytest

from meshcache.edges import thread_priority
from meshcache.edges.keyring import Keyring
from meshcache.edges.thread_priority import NICE, libzmq_threads
from meshcache.edges.transport import Transport
from tests.support.waiting import PATIENCE_S

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED, raising a priority needs root")


@needs_root
def test_the_threads_of_a_transport_and_no_others_run_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        thread_priority, "_STARTED_S_MAX", PATIENCE_S
    )  # what is a start's to bound is not this test's to lose by
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for _ in range(20):  # they name themselves, at any time after they were made
        others = libzmq_threads()
        # Closed also where this fails: one that the collector finds later holds up another test for ever.
        with closing(Transport(Keyring.new(), "127.0.0.1:0", lambda _: None)):
            new = libzmq_threads() - others
            assert len(new) >= 2, "one for the network, and one that closes sockets"
            assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in new} == {NICE}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


@needs_root
def test_a_process_that_may_not_goes_on_without() -> None:
    program = (
        "import os, zmq\n"
        "from meshcache.edges.thread_priority import raise_priority, libzmq_threads\n"
        f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "socket = zmq.Context().socket(zmq.DEALER)\n"
        "done = raise_priority(set())\n"
        "print(done, *{os.getpriority(os.PRIO_PROCESS, thread) for thread in libzmq_threads()})"
    )
    own = os.getpriority(os.PRIO_PROCESS, 0)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["False", str(own)]
