"""gunicorn as its page starts it: every worker class, and what happens to workers in a long life."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache.contrib import gunicorn
from tests.contrib.pages import START_S_MAX, Served, check, prepared
from tests.support.material import Authority
from tests.support.processes import Processes
from tests.support.waiting import wait_until

ASGI = """\
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"hello\\n"})
"""


@pytest.fixture
def served(folder: Path, authority: Authority) -> Iterator[Served]:
    with Processes(folder) as processes:
        yield prepared("gunicorn", folder, authority, processes)


def pids(served: Served) -> set[int]:
    """The workers' processes, as their master's children."""
    (master,) = served.running
    path = Path(f"/proc/{master.popen.pid}/task/{master.popen.pid}/children")
    return {int(pid) for pid in path.read_text().split()}


def test_the_page_works(served: Served) -> None:
    for port in served.ports:
        served.start(port)
    served.wait_until_met()
    check(served)


@pytest.mark.parametrize("kind", ["gthread", "gevent", "asgi", "uvicorn_worker.UvicornWorker"])
def test_every_worker_class_joins(kind: str, served: Served) -> None:
    def change(program: str) -> str:
        return ASGI if ("asgi" in kind or "uvicorn" in kind) and "start_response" in program else program

    served.start(served.ports[0], "-k", kind, "-w", "2", change=change)
    served.wait_until_met()
    for version in ("1.2", "1.3"):
        served.come_back_to_any(5, version)
    assert served.count("full") == 2
    assert served.count("local") + served.count("remote") == 10, served.stats()
    served.stop()
    assert not list(served.folder.glob("state/*/worker-*/admin.sock")), "the nodes were closed"


def test_three_workers_behind_one_port_go_on_after_hup_a_kill_and_max_requests(served: Served) -> None:
    master = served.start(served.ports[0], "-w", "3")
    served.wait_until_met(3)
    served.come_back_to_any(20)
    former = pids(served)
    names = {node["node"]["name"] for node in served.stats()}

    master.send(signal.SIGHUP)
    wait_until(lambda: not former & pids(served), START_S_MAX, "HUP has replaced the workers")
    served.wait_until_met(3)
    served.come_back_to_any(10)

    former = pids(served)
    killed = min(former)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in pids(served) and len(pids(served)) == 3, START_S_MAX, "another in its place")
    wait_until(lambda: served.met(3), START_S_MAX, "the new worker is met")
    served.come_back_to_any(10)

    folders = {path.name for path in served.folder.glob("state/*/worker-*")}
    assert len(folders) <= 6, "as many as ever lived at a time: three, and three that took over at HUP"
    assert len(names) == 3
    served.stop()


def test_workers_that_are_replaced_after_some_requests_leave_nothing_and_go_on(served: Served) -> None:
    served.start(served.ports[0], "-w", "2", "--max-requests", "4")
    served.wait_until_met()
    first = pids(served)
    for _ in range(4):
        served.wait_until_met()
        served.come_back_to_any(2)
    assert not first & pids(served)
    assert len(list(served.folder.glob("state/*/worker-*"))) <= 4


def test_what_the_file_says_of_the_same_hooks_is_kept() -> None:
    called: list[str] = []

    class Config:
        is_ssl = False

    class Worker:
        cfg = Config()

    settings = {
        "post_worker_init": lambda worker: called.append("ready"),
        "worker_exit": lambda server, worker: called.append("exit"),
        "ssl_context": lambda config, default: called.append("context") or default(),
    }
    gunicorn.join(settings, "nosuch.toml", vip="shop")
    settings["post_worker_init"](Worker())  # type: ignore[call-arg]
    marker = object()
    assert settings["ssl_context"](Config(), lambda: marker) is marker  # type: ignore[call-arg]
    settings["worker_exit"](None, Worker())  # type: ignore[call-arg]
    assert called == ["ready", "context", "exit"]
