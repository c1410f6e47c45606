"""Tests of `server.access_log`: a real server's lines, and what a bad place for them does."""

from __future__ import annotations

import json
import os
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from meshcache_server.applications.access_log import STOP_S, AccessLog

from meshcache import ConfigError, LogSettings
from tests.server.deployment import Deployment, deploy
from tests.support.processes import Processes
from tests.support.waiting import wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_each_connection_has_a_line_and_a_moved_file_is_made_anew(shop: Deployment) -> None:
    shop.write('[log]\naccess = "access.log"\naccess_format = "json"')
    process = shop.start()
    file = shop.folder / "access.log"
    clients = shop.certificates.client(ssl.TLSVersion.TLSv1_2)
    session, _ = shop.visit(None, clients)
    shop.visit(session, clients)
    wait_until(lambda: len(lines(file)) == 2)
    full, resumed = map(json.loads, lines(file))
    assert (full["session"], resumed["session"], resumed["origin"]) == ("full", "local", "edge-1")
    assert (full["vip"], full["server_name"], full["tls"]) == ("shop", "shop.example", "TLSv1.2")
    assert full["received"] > 0
    assert full["sent"] > full["received"]
    assert full["client"].startswith("127.0.0.1:")
    file.rename(shop.folder / "access.log.1")
    process.send(signal.SIGUSR1)
    wait_until(file.exists)
    shop.visit(session, clients)
    wait_until(lambda: len(lines(file)) == 1)
    process.send(signal.SIGTERM)
    assert process.wait() == 0


def test_text_is_pairs_and_a_line_that_cant_be_kept_up_with_is_counted(tmp_path: Path) -> None:
    access = AccessLog(LogSettings(access=tmp_path / "a"))
    access.open()
    access.write({"vip": "shop", "alpn": None, "sent": 0})
    access.close()
    assert lines(tmp_path / "a") == ["vip=shop alpn=- sent=0"]
    stuck = AccessLog(LogSettings(access=tmp_path / "a"))
    for _ in range(10_001):
        stuck.write({"vip": "shop"})
    assert stuck.dropped == 1


def test_a_reader_that_stands_still_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's loop asks for a new file at each reload, and closes the log when it ends."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, bytes(4096))
    os.set_blocking(writes, True)
    with open(reads, "rb", buffering=0) as reader, open(writes, "wb") as stdout:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", stdout)
        access = AccessLog(LogSettings(access=Path("/dev/stdout")))
        access.open()
        access.write({"vip": "shop"})
        access.write({"vip": "pay"})

        def end() -> None:
            access.reopen()
            access.close()

        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        ending.join(STOP_S + 10)
        assert not ending.is_alive()
        assert not access.on
        said = b""
        while not said.endswith(b"vip=pay\n"):
            said += reader.read(65536).lstrip(b"\0")
        assert said == b"vip=shop\nvip=pay\n"


def test_where_there_can_be_no_new_file_it_goes_on_in_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").mkdir()
    access = AccessLog(LogSettings(access=tmp_path / "logs/a"))
    access.open()
    (tmp_path / "logs").rename(tmp_path / "moved")
    access.reopen()
    access.write({"vip": "shop"})
    access.close()
    assert lines(tmp_path / "moved/a") == ["vip=shop"]
    assert "goes on in the old file: log.access: " in caplog.text


def test_a_place_that_cant_be_had_is_named_and_none_is_off(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log\.access: .*absent/a can't be written to: no such file"):
        AccessLog(LogSettings(access=tmp_path / "absent/a")).open()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match=r"log\.access: .*fifo can't be written to"):
        AccessLog(LogSettings(access=tmp_path / "fifo")).open()
    off = AccessLog(LogSettings())
    off.open()
    assert not off.on
    off.reopen()
    off.close()


def test_stdout_is_a_word(tmp_path: Path) -> None:
    assert LogSettings.model_validate({"access": "stdout"}).access == Path("/dev/stdout")
