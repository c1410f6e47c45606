"""Native threads and locks without gevent; with it, in processes of their own, a whole node."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from meshcache.edges import native
from tests.support.material import write_key
from tests.support.waiting import wait_until

PROGRAM = """
import sys
when, file = sys.argv[1:]
if when == "before":
    from gevent import monkey; monkey.patch_all()
import meshcache.node
if when == "after":
    from gevent import monkey; monkey.patch_all()
import gevent, ssl, threading
from meshcache import MeshNode
from meshcache.edges import native
assert native.patched()
turns = []
def count():
    while True:
        turns.append(1)
        gevent.sleep(0.001)
gevent.spawn(count)
with MeshNode.from_file(file, ["node.name=a"]) as one:
    with MeshNode.from_file(file, ["node.name=b", f'mesh.seeds=["{one.address}"]']) as other:
        with gevent.Timeout(20):
            while not any(peer["state"] == "alive" for peer in one.peers()):
                gevent.sleep(0.01)
        from meshcache.admin.client import AdminClient
        from pathlib import Path
        ask = AdminClient(Path(file).parent / "state" / "a" / "admin.sock").stats
        assert gevent.get_hub().threadpool.apply(ask)["node"]["name"] == "a"
assert len(turns) > 3, "the greenlets stood still"
print("closed")
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_nodes_meet_and_close_in_a_program_that_gevent_has_patched(when: str, folder: Path) -> None:
    write_key(folder)
    file = folder / "meshcache.toml"
    file.write_text('[mesh]\nkey_file = "mesh.key"\nlisten = "127.0.0.1:0"\nmdns = false\n\n[[vip]]\nname = "shop"\n')
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, when, str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "closed\n", done.stderr


def test_a_thread_is_python_s_own_where_nobody_has_patched() -> None:
    ran = threading.Event()
    thread = native.thread(ran.set, "meshcache-test")
    assert isinstance(thread, threading.Thread)
    thread.start()
    assert ran.wait(60)


def test_a_native_thread_runs_is_joined_and_is_over() -> None:
    go = native.Event()
    thread = native._Native(lambda: go.wait() and None)
    assert not thread.is_alive()
    thread.start()
    assert thread.is_alive()
    thread.join(0)
    assert thread.is_alive()
    go.set()
    thread.join()
    assert not thread.is_alive()


def test_an_event_wakes_all_who_wait_and_tells_those_who_gave_up() -> None:
    event = native.Event()
    assert not event.wait(0)
    assert event.waiting == 0
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(event.wait(60))) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: event.waiting == 3)
    event.set()
    for thread in threads:
        thread.join(60)
    assert woken == [True] * 3
    assert event.is_set()
    event.clear()
    assert not event.is_set()
