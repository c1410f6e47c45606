"""A chore that is done soon, once for many askings, and in spite of its own faults."""

from __future__ import annotations

import logging
import threading

import pytest

from meshcache.live_policy.debouncer import Keeper
from tests.support.waiting import wait_until


def test_a_chore_is_done_after_each_wake_and_once_for_many() -> None:
    begun, go = threading.Semaphore(0), threading.Semaphore(0)
    times: list[int] = []

    def chore() -> None:
        begun.release()
        assert go.acquire(timeout=10)
        times.append(1)

    keeper = Keeper(chore)
    keeper.start()
    keeper.wake()
    assert begun.acquire(timeout=10)
    for _ in range(100):
        keeper.wake()
    go.release(3)
    assert begun.acquire(timeout=10)
    wait_until(lambda: len(times) == 2)
    keeper.close()
    assert len(times) == 3, "closing finishes what was asked for"
    keeper.close()


def test_a_fault_is_told_and_the_next_chore_is_done(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def chore() -> None:
        if not caplog.records:
            raise RuntimeError("secret")
        done.set()

    keeper = Keeper(chore)
    with caplog.at_level(logging.ERROR):
        keeper.start()
        keeper.wake()
        wait_until(lambda: "please report it" in caplog.text)
        keeper.wake()
        assert done.wait(60)
        keeper.close()
    assert "secret" not in caplog.text


def test_one_that_never_started_can_be_closed() -> None:
    Keeper(lambda: None).close()
