"""One worker by itself, as a group starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meshcache_server.connections.listener import Listener
from meshcache_server.connections.table import ConnectionTable
from meshcache_server.faults import Faults
from meshcache_server.notices import Notices
from meshcache_server.worker import OTHER_ADDRESSES

from tests.server.deployment import READY_S_MAX, Deployment, deploy
from tests.support.processes import Processes
from tests.support.waiting import wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


class Started:
    """The process, the socket that it was given, and its log."""

    def __init__(self, shop: Deployment, key: str) -> None:
        self.listener = Listener("127.0.0.1:0", ConnectionTable(1, 1.0, Faults()))
        self.listener.bind()
        self._log = shop.folder / "worker.log"
        descriptor = self.listener.listening.fileno()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "meshcache_server.worker"],
                stdin=subprocess.PIPE,
                stderr=log,
                pass_fds=[descriptor],
                env=Notices(lambda *_: None).environment(),
            )
        told: dict[str, Any] = {
            "file": str(shop.file),
            "overrides": ["vip.shop.tickets=1"],
            "sockets": {key: descriptor},
        }
        told |= {"log_format": "json", "log_level": "info", "listens": False}
        self.say(json.dumps(told).encode())
        shop.port = int(self.listener.bound_address.rpartition(":")[2])

    def say(self, word: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + b"\n")
        self.process.stdin.flush()

    @property
    def output(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.listener.close()


@pytest.mark.parametrize("how", ["told to stop", "left alone"])
def test_it_serves_on_the_sockets_it_was_given_until_it_is_told_to_stop_or_left_alone(
    shop: Deployment, how: str
) -> None:
    worker = Started(shop, "shop[0]")
    try:
        wait_until(lambda: "ready: edge-1." in worker.output or worker.process.poll() is not None, READY_S_MAX)
        ready = json.loads(next(line for line in worker.output.splitlines() if "ready: " in line))
        assert (ready["worker"], ready["level"]) == (0, "INFO")
        assert b"200 OK" in shop.ask()
        assert (shop.folder / "state/edge-1/worker-0/admin.sock").exists()
        assert not (shop.folder / "state/edge-1/admin.sock").exists()
        worker.say(b"reopen")
        if how == "told to stop":
            worker.say(b"stop")
        else:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
            worker.process.stdin = None
        assert worker.process.wait(READY_S_MAX) == 0, worker.output
    finally:
        worker.end()


def test_other_addresses_than_it_was_given_sockets_for_are_a_fault(shop: Deployment) -> None:
    worker = Started(shop, "127.0.0.1:443")
    try:
        assert worker.process.wait(READY_S_MAX) == 2
        assert OTHER_ADDRESSES in worker.output
    finally:
        worker.end()


def test_without_a_group_it_says_nothing_of_use_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "meshcache_server.worker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 2
    assert b"started by meshcache serve" in done.stderr
