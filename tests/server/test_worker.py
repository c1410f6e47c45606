"""One worker by itself, as a group starts it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meshcache_server import systemd
from meshcache_server.connections.listener import Listener
from meshcache_server.connections.table import ConnectionTable
from meshcache_server.faults import Faults
from meshcache_server.notices import Notices
from meshcache_server.worker import OTHER_ADDRESSES, READ_BYTES, STOP, Orders

from meshcache.admin.client import AdminClient
from tests.server.deployment import READY_S_MAX, Deployment, deploy
from tests.support.processes import Processes
from tests.support.waiting import wait_until, wait_until_async


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


class Started:
    """The process, the socket that it was given, and its log."""

    def __init__(self, shop: Deployment, key: str, taken: str = "", notices: Notices | None = None) -> None:
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
                env=(notices or Notices(lambda *_: None)).environment(),
            )
        told: dict[str, Any] = {
            "file": str(shop.file),
            "overrides": ["vip.shop.tickets=1"],
            "sockets": {key: descriptor},
        }
        begun = shop.file.read_text()
        told |= {"begun": begun, "taken": taken or begun, "number": 7}
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


def test_what_it_logs_before_it_has_its_settings_is_in_the_form_of_the_rest(shop: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = shop.file.read_text()
        shop.file.write_text(text.replace("[mesh]\n", f'[mesh]\nworker_ports = "{port}-{port}"\n'))
        worker = Started(shop, "shop[0]")
        try:
            wait_until(lambda: "ready: edge-1." in worker.output or worker.process.poll() is not None, READY_S_MAX)
            lines = [json.loads(line) for line in worker.output.splitlines()]
            (told,) = [line for line in lines if str(port) in line["message"]]
            assert "mesh.worker_ports: worker 0 has any free port" in told["message"]
            assert (told["worker"], told["level"]) == (0, "WARNING")
        finally:
            worker.end()


async def test_it_has_what_its_group_tells_it_and_says_which_settings_it_took(shop: Deployment) -> None:
    heard: list[str] = []
    notices = Notices(lambda _, told: heard.extend(each for key, each in told.items() if key == systemd.TAKEN))
    notices.open(asyncio.get_running_loop())
    shop.write(vip='[vip.sharing]\nreach = "everywhere"\n')
    begun = shop.file.read_text()
    taken = begun.replace("everywhere", "colo").replace("ams1", "ams2")
    worker = await asyncio.to_thread(Started, shop, "shop[0]", taken, notices)
    own = AdminClient(shop.folder / "state/edge-1/worker-0/admin.sock")

    def reach() -> Any:
        return own.policy()[0]["reach"]

    def is_ready() -> bool:
        return "ready: edge-1." in worker.output or worker.process.poll() is not None

    try:
        shop.file.write_text("no TOML")
        await asyncio.to_thread(wait_until, is_ready, READY_S_MAX)
        assert "edge-1." in worker.output
        assert (reach(), own.stats()["node"]["colo"]) == ("colo", "ams1"), (
            "what needs a restart is as it was begun with"
        )
        told = json.dumps({"taken": begun.replace("everywhere", "server") + "#" * 2 * READ_BYTES, "number": 8})
        await asyncio.to_thread(worker.say, b"take " + told.encode())
        await wait_until_async(lambda: heard == ["8"])
        assert reach() == "server"
        assert not (await asyncio.to_thread(own.reload))["ok"]
        shop.file.write_text(begun)
        assert (await asyncio.to_thread(own.reload))["ok"]
        await wait_until_async(lambda: heard == ["8", ""], what="of what it has read by itself there is no number")
        assert reach() == "everywhere"
        await asyncio.to_thread(worker.say, b"stop")
        assert await asyncio.to_thread(worker.process.wait, READY_S_MAX) == 0, worker.output
    finally:
        worker.end()
        notices.close(asyncio.get_running_loop())


def test_lines_are_heard_whole_however_they_come() -> None:
    reading, writing = os.pipe()
    orders = Orders(reading)
    try:
        os.write(writing, b'{"file": 1}\nreo')
        assert orders.first() == b'{"file": 1}'
        os.set_blocking(reading, False)
        assert orders.rest() == []
        os.write(writing, b"pen\nhurry\nst")
        assert orders.rest() == [b"reopen", b"hurry"]
        assert not orders.over
    finally:
        os.close(writing)
    assert (orders.rest(), orders.over) == ([STOP], True)
    os.close(reading)


def test_who_hears_nothing_at_all_has_no_first_line() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    orders = Orders(reading)
    assert (orders.first(), orders.over) == (b"", True)
    os.close(reading)


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
