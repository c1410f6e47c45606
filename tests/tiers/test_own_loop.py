"""Coroutines that are waited for on another thread than they run on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from meshcache.tiers import own_loop
from meshcache.tiers.own_loop import OwnLoop


async def thread() -> int:
    await asyncio.sleep(0)
    return threading.get_ident()


async def broken() -> None:
    raise LookupError("gone")


async def hangs() -> None:
    await asyncio.Event().wait()


def test_all_run_on_one_thread_that_isnt_the_callers() -> None:
    loop = OwnLoop("test")
    seen = {loop.wait_for(thread()) for _ in range(3)}
    assert len(seen) == 1
    assert threading.get_ident() not in seen
    loop.close()


def test_what_it_raises_is_raised_and_what_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = OwnLoop("test")
    with pytest.raises(LookupError, match="gone"):
        loop.wait_for(broken())
    monkeypatch.setattr(own_loop, "CALL_S_MAX", 0.01)
    with pytest.raises(TimeoutError):
        loop.wait_for(hangs())
    loop.close()


def test_unused_it_has_no_thread() -> None:
    before = threading.active_count()
    OwnLoop("test").close()
    assert threading.active_count() == before
