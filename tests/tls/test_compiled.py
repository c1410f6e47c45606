from __future__ import annotations

import os
import subprocess
import sys

import pytest

from meshcache import hot

pytestmark = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)


@pytest.mark.slow
def test_a_process_that_ends_amid_handshakes_crashes_nothing() -> None:
    """Threads that are daemons are in callbacks when the interpreter ends: they are asked for nothing any more."""
    code = (
        "import threading, time\n"
        "from tests.tls.world import *\n"
        "context = server_context('pyopenssl', '1.3'); attach(context, DictPort())\n"
        "started = threading.Barrier(5)\n"
        "def work():\n"
        "    client = client_context('1.3'); started.wait()\n"
        "    while True: visit(context, client)\n"
        "for _ in range(4): threading.Thread(target=work, daemon=True).start()\n"
        "started.wait(); time.sleep(0.3); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.slow
@pytest.mark.skipif("MESHCACHE_SANITIZED" in os.environ, reason="the sanitizer's own locks don't survive such a fork")
def test_a_fork_amid_handshakes_finds_nothing_half_done() -> None:
    """The child handshakes at once, on the one thread it has: a lock of ours that another thread held would stop it.

    On a context of its own: OpenSSL's locks in a shared one are OpenSSL's to lose. So are those that all contexts share
    (random numbers, providers), hence not every child has to get through; with a lock of ours left shut none would.
    """
    code = (
        "import os, signal, threading, warnings; warnings.simplefilter('ignore')\n"
        "from tests.tls.world import *\n"
        "context = server_context('stdlib', '1.3'); attach(context, DictPort())\n"
        "other = server_context('stdlib', '1.3'); attach(other, DictPort())\n"
        "mine = client_context('1.3')\n"
        "stop = threading.Event()\n"
        "def work():\n"
        "    client = client_context('1.3')\n"
        "    while not stop.is_set(): visit(context, client)\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "through = 0\n"
        "for _ in range(10):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        signal.alarm(5)\n"
        "        first = visit(other, mine); os._exit(not visit(other, mine, session=first.session).resumed)\n"
        "    through += os.waitpid(child, 0)[1] == 0\n"
        "stop.set(); print(through)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
