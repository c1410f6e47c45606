"""The priority of libzmq's threads, with real sockets and real permissions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from meshcache.edges.haste import NICE, hasten, libzmq_threads
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED, raising a priority needs root")


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(Keyring.new(), "127.0.0.1:0", lambda _: None)
    yield made
    made.close()


def priority(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


@needs_root
def test_the_threads_of_a_transport_and_no_others_run_first() -> None:
    others, own = libzmq_threads(), os.getpriority(os.PRIO_PROCESS, 0)
    made = Transport(Keyring.new(), "127.0.0.1:0", lambda _: None)
    new = libzmq_threads() - others
    assert len(new) >= 2, "a reaper, and a thread for the network"
    assert {priority(thread) for thread in new} == {NICE}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    made.close()


@needs_root
def test_a_process_that_may_not_goes_on_without() -> None:
    program = (
        "from meshcache.edges.haste import hasten\n"
        f"import os; os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "print(hasten([os.getpid()]), os.getpriority(os.PRIO_PROCESS, 0))"
    )
    inherited = os.getpriority(os.PRIO_PROCESS, 0)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["False", str(inherited)]


def test_a_thread_that_has_ended_is_no_fault(transport: Transport) -> None:
    transport.close()
    assert hasten([2**22 + 1]) is True
