"""The pump's sleep in Python: when what comes lies unread, and what ends it. `test_pump` sees it at work."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from meshcache.edges.keyring import Keyring
from meshcache.runtime.pump.pump_sleep import LIE_S_MAX, PumpSleep
from tests.support.pump_ends import End


@pytest.fixture
def end() -> Iterator[End]:
    end = End("edge-1", Keyring.new())
    yield end
    end.close()


@pytest.fixture
def sleep(end: End) -> PumpSleep:
    sleep = PumpSleep(end.core, end.transport, time.monotonic, end.pump.wakeup)
    sleep.start()
    end.transport.receive(1)  # the socket tells of its own beginning
    return sleep


def test_messages_lie_only_after_some_that_came_close_together(end: End, sleep: PumpSleep) -> None:
    rest_s = end.core.rest_s(1)
    assert sleep.plan(0, 100.0, float("inf")) == 100.0
    assert not sleep.resting
    assert sleep.plan(1, 100.0, float("inf")) == 100.0 + rest_s
    assert sleep.resting
    sleep.plan(1, 100.0 + rest_s / 2, float("inf"))
    assert sleep.resting


def test_they_lie_until_what_is_collected_soon_is_sent(sleep: PumpSleep) -> None:
    assert sleep.plan(0, 100.0, 100.0 + LIE_S_MAX / 2) == 100.0 + LIE_S_MAX / 2
    assert sleep.plan(0, 100.0, 100.0 + LIE_S_MAX * 2) == 100.0


def test_nobody_rests_while_a_handshake_waits_for_a_session(end: End, sleep: PumpSleep) -> None:
    end.core.awaiting.want(bytes(32))
    sleep.plan(3, 100.0, float("inf"))
    assert not sleep.resting


def test_what_no_descriptor_tells_of_is_read_after_the_rest(sleep: PumpSleep) -> None:
    now = time.monotonic()
    until = sleep.plan(3, now, float("inf"))
    assert not sleep.answer_waits(), "who rests looks afterwards"
    sleep.sleep(until, now + 60, now + 60)
    assert time.monotonic() - now < 30
    assert sleep.answer_waits(), "who doesn't has to be woken"


def test_who_planned_a_rest_and_does_not_begin_it_has_to_be_woken(sleep: PumpSleep) -> None:
    sleep.plan(3, time.monotonic(), float("inf"))
    sleep.skip()
    assert sleep.answer_waits()


def test_a_wake_up_ends_the_sleep_and_says_what_it_was(end: End, sleep: PumpSleep) -> None:
    now = time.monotonic()
    waker = threading.Thread(target=lambda: os.eventfd_write(end.pump.wakeup, 7))
    waker.start()
    assert sleep.sleep(sleep.plan(0, now, float("inf")), now + 60, now + 60) == (False, 7)
    waker.join()


def test_a_moment_that_has_passed_is_no_sleep(sleep: PumpSleep) -> None:
    now = time.monotonic()
    assert sleep.sleep(sleep.plan(0, now, float("inf")), now - 1, now - 1) == (True, 0)
