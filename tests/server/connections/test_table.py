"""Tests of `server.table`, with entries that do nothing but note what they are told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from meshcache_server.connections.table import SWEEP_S_MAX, SWEEP_S_MIN, ConnectionTable
from meshcache_server.faults import Faults

from tests.support.waiting import wait_until_async


class Noted:
    def __init__(self, table: ConnectionTable, timeout_s: float = 60.0, *, ends: str = "drain") -> None:
        self.table = table
        self.deadline = table.after(timeout_s)
        self.told: list[str] = []
        self._ends = ends

    @property
    def shaking_hands(self) -> bool:
        return False

    def expired(self) -> None:
        self._note("expired")

    def rest(self) -> None:
        pass

    def drain(self) -> None:
        self._note("drain")

    def close_now(self) -> None:
        self._note("close_now")

    def abort_now(self) -> None:
        self._note("abort_now")

    def _note(self, what: str) -> None:
        self.told.append(what)
        if what == self._ends:
            self.table.remove(self)


def table(connections_max: int = 10, timeout_s: float = 0.5) -> ConnectionTable:
    return ConnectionTable(connections_max, timeout_s, Faults())


async def test_a_deadline_is_noticed_and_never_early() -> None:
    connections = table()
    connections.start()
    started = time.monotonic()
    entry = Noted(connections, 0.3, ends="expired")
    assert connections.admit(entry)
    await wait_until_async(lambda: entry.told)
    assert 0.3 <= time.monotonic() - started < 20
    assert entry.told == ["expired"]
    connections.stop()


async def test_a_connection_that_raises_ends_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache_server.connections.table.REST_S", 0.0)
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: raised.append(context))

    class Faulty(Noted):
        def rest(self) -> None:
            raise MemoryError

    connections = table()
    connections.start()
    assert connections.admit(Faulty(connections))
    await wait_until_async(lambda: raised)
    entry = Noted(connections, 0.1, ends="expired")
    assert connections.admit(entry)
    await wait_until_async(lambda: entry.told)
    connections.stop()


async def test_a_deadline_that_was_put_off_is_not_noticed() -> None:
    connections = table()
    connections.start()
    early, late = Noted(connections, 0.1, ends="expired"), Noted(connections, 0.1)
    for entry in (early, late):
        connections.admit(entry)
    late.deadline = connections.after(1000)
    await wait_until_async(lambda: early.told)
    assert not late.told
    connections.stop()


def test_there_are_no_more_than_allowed() -> None:
    connections = table(connections_max=2)
    first, second, third = (Noted(connections) for _ in range(3))
    assert connections.admit(first)
    assert connections.admit(second)
    assert not connections.admit(third)
    assert connections.faults.total == {"over max_connections": 1}
    connections.remove(first)
    assert connections.admit(third)
    connections.tune(1, 10)  # fewer now: those that are open stay
    assert len(connections) == 2
    assert not connections.admit(first)


def test_the_sweep_is_as_fine_as_timeouts_need() -> None:
    assert table(timeout_s=60).interval_s == SWEEP_S_MAX
    assert table(timeout_s=5).interval_s == 0.5
    assert table(timeout_s=0.001).interval_s == SWEEP_S_MIN


async def test_draining_asks_then_insists_then_resets() -> None:
    connections = table()
    entries = [Noted(connections, ends=ends) for ends in ("drain", "close_now", "abort_now")]
    for entry in entries:
        connections.admit(entry)
    await connections.drain(0.05)
    assert [entry.told for entry in entries] == [
        ["drain"],
        ["drain", "close_now"],
        ["drain", "close_now", "abort_now"],
    ]
    assert len(connections) == 0


async def test_draining_ends_with_the_last_connection() -> None:
    connections = table()
    entry = Noted(connections, ends="")
    connections.admit(entry)
    draining = asyncio.create_task(connections.drain(60))
    await wait_until_async(lambda: entry.told == ["drain"])
    connections.remove(entry)
    await asyncio.wait_for(draining, 30)
