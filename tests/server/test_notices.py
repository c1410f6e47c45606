"""What workers tell, as they would tell systemd."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest
from meshcache_server.notices import NOTICE_BYTES_MAX, NOTICES_MAX, Notices

TELL = """
import os, sys
from meshcache_server import systemd
systemd.ready("it serves")
print(os.getpid())
"""


async def test_each_notice_comes_with_the_process_that_sent_it(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, dict[str, str]]] = []
    monkeypatch.setenv("LISTEN_FDS", "1")
    notices, loop = Notices(lambda process_id, told: heard.append((process_id, told))), asyncio.get_running_loop()
    notices.open(loop)
    try:
        environment = notices.environment()
        assert "LISTEN_FDS" not in environment
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", TELL], env=environment, capture_output=True, text=True, check=True
        )
        await _until(lambda: bool(heard))
        assert heard == [(int(done.stdout), {"READY": "1", "STATUS": "it serves"})]
    finally:
        notices.close(loop)
        notices.close(loop)


async def test_whatever_else_is_sent_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, dict[str, str]]] = []
    notices, loop = Notices(lambda process_id, told: heard.append((process_id, told))), asyncio.get_running_loop()
    notices.open(loop)
    name = "\0" + notices.environment()["NOTIFY_SOCKET"][1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            for data in (b"", b"\xff\xfe=1", b"no word", b"A=" + bytes(2 * NOTICE_BYTES_MAX), b"READY=1\n\nX=a=b"):
                stranger.sendto(data, name)
            await _until(lambda: len(heard) == 5)
        assert {process_id for process_id, _ in heard} == {os.getpid()}
        assert heard[-1][1] == {"READY": "1", "X": "a=b"}
        assert len(heard[3][1]["A"]) <= NOTICE_BYTES_MAX
    finally:
        notices.close(loop)
    assert NOTICES_MAX > 5


async def _until(condition: object) -> None:
    assert callable(condition)
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within a minute")
