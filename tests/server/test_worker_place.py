"""Tests of `server.worker_place`, with real processes."""

from __future__ import annotations

import asyncio
import sys
from itertools import count

import pytest
from meshcache_server import worker_place
from meshcache_server.worker_place import PAUSE_S, PAUSE_S_MAX, WorkerPlace

from tests.support.waiting import wait_until_async

REPEATS = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


async def start(place: WorkerPlace) -> asyncio.subprocess.Process:
    place.begins()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", REPEATS), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    place.began(process)
    return process


async def heard(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


async def end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


async def test_its_process_hears_what_is_said_and_nobody_does_once_it_is_gone() -> None:
    place = WorkerPlace()
    place.say(b"to nobody")
    assert place.process_id is None
    process = await start(place)
    assert place.process_id == process.pid
    place.say(b"reopen")
    assert await heard(process) == b"reopen\n"
    await end(process)
    assert place.process_id is None
    place.say(b"to nobody")


async def test_it_is_told_what_to_take_until_it_has_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_place, "AGAIN_S", 0.01)
    place, said = WorkerPlace(), count(1)

    def every_second_time() -> bytes:
        number = next(said)
        return b"take %d" % number if number % 2 else b""

    process = await start(place)
    place.has(7)
    place.settle(8, every_second_time)
    place.serves()
    place.settle(7, every_second_time)
    assert next(said) == 1, "not before it serves, nor what it has"
    place.settle(8, every_second_time)
    assert [await heard(process) for _ in range(2)] == [b"take 3\n", b"take 5\n"]
    place.has(8)
    place.settle(8, every_second_time)
    place.say(b"the end")
    while (line := await heard(process)) != b"the end\n":
        assert line.startswith(b"take "), "said meanwhile"
    await wait_until_async(lambda: asyncio.all_tasks() == {asyncio.current_task()}, what="it is told no more")
    await end(process)


def test_the_next_process_waits_longer_each_time_unless_the_last_one_ran_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, pauses = WorkerPlace(), []
    for _ in range(9):
        place.begins()
        place.serves()
        place.serves_no_more()
        place.ended()
        pauses.append(place.pause_s)
    assert pauses[:3] == [PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S]
    assert pauses[-1] == PAUSE_S_MAX
    monkeypatch.setattr(worker_place, "STEADY_S", 0.0)
    place.begins()
    place.ended()
    assert place.pause_s == PAUSE_S_MAX, "it never served"
    place.begins()
    place.serves()
    place.ended()
    assert place.pause_s == 0.0
