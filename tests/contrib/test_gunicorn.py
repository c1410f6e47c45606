"""gunicorn as its page starts it: every worker class, and what happens to workers in a long life."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from meshcache.contrib import gunicorn
from tests.contrib.pages import START_S_MAX, VERSIONS, Served, Town, assert_counted, check, prepare
from tests.support.material import Authority
from tests.support.processes import Processes
from tests.support.waiting import wait_until

ASGI = """\
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"hello\\n"})
"""


def pids(served: Served) -> set[int]:
    """The workers' processes, as their master's children."""
    (master,) = served.running
    path = Path(f"/proc/{master.popen.pid}/task/{master.popen.pid}/children")
    return {int(pid) for pid in path.read_text().split()}


@pytest.mark.parametrize("served", ["gunicorn"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served)


@pytest.mark.parametrize("kind", ["gthread", "gevent", "tornado", "asgi", "uvicorn_worker.UvicornWorker"])
def test_every_worker_class_joins(kind: str, town: Town) -> None:
    def change(program: str) -> str:
        return ASGI if ("asgi" in kind or "uvicorn" in kind) and "start_response" in program else program

    served = town.page("gunicorn", beside="twisted")
    mine, theirs, nodes = served.ports[0], served.partners[0], 2 + len(served.partners)
    with closing(served):
        served.start(mine, "-k", kind, "-w", "2", change=change)
        served.wait_until_met(nodes)
        full, resumed = served.counted()
        for version in VERSIONS:
            served.visit(served.client(version), [mine, mine, mine, mine, theirs, mine])
        assert_counted(served, full + 2, resumed + 10)
        served.stop()
        assert len(served.stats()) == len(served.partners), "none of the page runs on"


def test_three_workers_behind_one_port_resume_20_of_20_through_a_long_life(
    folder: Path, authority: Authority, processes: Processes
) -> None:
    """Started from the page: five runs, then after a worker's SIGKILL, and after HUP with ``max_requests``."""
    prepare(folder, authority)
    served = Served("gunicorn", folder, processes)
    master = served.start(served.ports[0], "-w", "3")
    served.wait_until_met(3)
    for version in ("1.3", "1.2", "1.3", "1.2", "1.3"):
        served.visit(served.client(version), [served.ports[0]] * 21)

    former = pids(served)
    killed = min(former)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in pids(served) and len(pids(served)) == 3, START_S_MAX, "another in its place")
    served.wait_until_met(3)
    served.visit(served.client("1.3"), [served.ports[0]] * 21)

    with (served.places[served.ports[0]] / "gunicorn.conf.py").open("a") as settings:
        settings.write(f"max_requests = {REQUESTS_MAX}\n")
    former = pids(served)
    master.send(signal.SIGHUP)
    wait_until(lambda: not former & pids(served), START_S_MAX, "HUP has replaced the workers")
    served.wait_until_met(3)
    former = pids(served)
    served.visit(served.client("1.3"), _with_nobody_leaving(served))
    assert len(former & pids(served)) < 3

    folders = {path.name for path in served.folder.glob("state/*/worker-*")}
    assert len(folders) <= 6, "as many as ever lived at a time: three, and three that took over at HUP"
    served.stop()


REQUESTS_MAX = 4


def _with_nobody_leaving(served: Served) -> Iterator[int]:
    """Where to visit 21 times, each when no worker has reached its last request: two that leave at the same moment
    may take the only copies of a session along."""

    def settled() -> bool:
        done = [sum(vip["handshakes"].values()) for node in served.stats() for vip in node["vips"].values()]
        return len(done) == 3 and max(done) < REQUESTS_MAX

    for _ in range(21):
        wait_until(settled, START_S_MAX, "whoever has done its last request is replaced")
        served.wait_until_met(3)
        yield served.ports[0]


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
