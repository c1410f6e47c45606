from __future__ import annotations

import ssl
import subprocess
import sys

import pytest

from meshcache import hot
from meshcache.tls.compiled import Marks
from meshcache.tls.functions import ffi
from meshcache.tls.libssl import find

pytestmark = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)


def test_a_mark_is_on_one_connection_and_goes_with_it() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found = find(context)
    functions = found.library.functions
    index = int(functions.CRYPTO_get_ex_new_index(0, 0, *(ffi.NULL,) * 4))
    hits, apart = Marks(functions, index, 1), Marks(functions, index, 2)
    one, other = functions.SSL_new(found.pointer), functions.SSL_new(found.pointer)
    hits.add(one)
    assert one in hits
    assert one not in apart
    assert other not in hits
    apart.discard(one)
    assert one in hits, "another mark was meant"
    hits.discard(one)
    assert one not in hits
    assert list(hits) == []
    assert len(hits) == 0
    functions.SSL_free(one)
    functions.SSL_free(other)


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


def test_a_fork_amid_handshakes_finds_nothing_half_done() -> None:
    """The child handshakes at once, on the one thread it has: a lock that another thread held would stop it."""
    code = (
        "import os, threading, warnings; warnings.simplefilter('ignore')\n"
        "from tests.tls.world import *\n"
        "context = server_context('stdlib', '1.3'); attach(context, DictPort())\n"
        "stop = threading.Event()\n"
        "def work():\n"
        "    client = client_context('1.3')\n"
        "    while not stop.is_set(): visit(context, client)\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "client = client_context('1.3')\n"
        "for _ in range(30):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        first = visit(context, client); os._exit(not visit(context, client, session=first.session).resumed)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "stop.set(); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
