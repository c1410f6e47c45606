"""A chore that is done soon, once for many askings, and in spite of its own faults."""

from __future__ import annotations

import logging
import threading
import time
from itertools import pairwise

import pytest

from meshcache.live_policy import debouncer
from meshcache.live_policy.debouncer import Debouncer
from tests.support.waiting import wait_until


def test_a_chore_is_done_after_each_wake_and_once_for_many() -> None:
    begun, go = threading.Semaphore(0), threading.Semaphore(0)
    times: list[int] = []

    def chore() -> None:
        begun.release()
        assert go.acquire(timeout=10)
        times.append(1)

    worker = Debouncer(chore)
    worker.start()
    worker.wake()
    assert begun.acquire(timeout=10)
    for _ in range(100):
        worker.wake()
    go.release(3)
    assert begun.acquire(timeout=10)
    wait_until(lambda: len(times) == 2)
    worker.close()
    assert len(times) == 3, "closing finishes what was asked for"
    worker.close()


def test_what_failed_is_told_once_and_done_again_without_being_asked(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debouncer, "AGAIN_S", 0.01)
    times: list[int] = []

    def chore() -> None:
        times.append(1)
        if len(times) < 4:
            raise RuntimeError("secret")

    worker = Debouncer(chore)
    with caplog.at_level(logging.WARNING):
        worker.start()
        worker.wake()
        wait_until(lambda: "is in force now" in caplog.text)
        assert len(times) == 4
        assert caplog.text.count("it is tried again, please report it: RuntimeError") == 1
        worker.wake()
        wait_until(lambda: len(times) == 5)
        worker.close()
    assert "secret" not in caplog.text


def test_what_fails_for_long_is_done_less_and_less_often_and_each_of_its_words_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debouncer, "AGAIN_S", 0.1)
    times: list[float] = []

    def chore() -> None:
        times.append(time.monotonic())
        worker.wake()  # as one does that failed
        raise (RuntimeError if len(times) % 2 else LookupError)

    worker = Debouncer(chore)
    worker.start()
    worker.wake()
    wait_until(lambda: len(times) >= 5)
    worker.close()
    assert all(after - before >= 0.1 * 2**at for at, (before, after) in enumerate(pairwise(times))), times
    assert caplog.text.count("please report it: RuntimeError") == 1
    assert caplog.text.count("please report it: LookupError") == 1


def test_what_is_asked_for_anew_while_it_fails_isnt_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debouncer, "AGAIN_S", 600.0)
    times: list[int] = []

    def chore() -> None:
        monkeypatch.setattr(debouncer, "AGAIN_S", 0.01)  # the pace is quick; the pause is as long as it was
        times.append(1)
        raise RuntimeError

    def woken() -> bool:
        worker.wake()
        return len(times) >= 3

    worker = Debouncer(chore)
    worker.start()
    wait_until(woken, what="it is done again")
    worker.close()


def test_while_it_fails_it_is_done_at_a_pace_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debouncer, "AGAIN_S", 60)
    tried = threading.Semaphore(0)

    def chore() -> None:
        worker.wake()  # as what it is about may do
        tried.release()
        raise RuntimeError

    worker = Debouncer(chore)
    worker.start()
    worker.wake()
    assert tried.acquire(timeout=10)
    assert not tried.acquire(timeout=0.1)
    worker.close()


def test_one_that_never_started_can_be_closed() -> None:
    Debouncer(lambda: None).close()
