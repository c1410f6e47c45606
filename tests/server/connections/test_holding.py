"""Tests of `server.holding`: when tickets go. The way they take is tested with real clients in `test_leaving`."""

from __future__ import annotations

import asyncio
import time

from meshcache_server.connections.holding import TicketHolders
from meshcache_server.limits import HOLD_S

CLOCK_S = 0.001
"""uvloop's clock has milliseconds, and the difference of two floats may be a little less than it should."""


class Client:
    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers) or [True]
        self.at: list[float] = []
        self.done = asyncio.Event()

    def let_go(self) -> bool:
        self.at.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0)
        if answer:
            self.done.set()
        return answer


def _passes(seconds: float) -> None:
    """Let time pass while the loop stands still: nobody is let go meanwhile, however long it takes."""
    time.sleep(seconds)


async def test_tickets_go_once_after_silence_and_the_first_to_fall_silent_goes_first() -> None:
    held, first, second = TicketHolders(), Client(), Client()
    begun = asyncio.get_running_loop().time()
    held.hold(first)
    await asyncio.sleep(HOLD_S / 5)
    held.hold(second)
    await asyncio.wait_for(second.done.wait(), 30)
    assert first.at[0] - begun >= HOLD_S - CLOCK_S
    assert second.at[0] - begun >= HOLD_S * 6 / 5 - CLOCK_S
    assert [len(first.at), len(second.at), len(held)] == [1, 1, 0]


async def test_who_speaks_meanwhile_begins_anew_and_holds_up_nobody_else() -> None:
    held, speaks, silent = TicketHolders(), Client(), Client()
    held.hold(speaks)
    held.hold(silent)
    _passes(HOLD_S / 2)
    spoke = asyncio.get_running_loop().time()
    held.hold(speaks)
    await asyncio.wait_for(silent.done.wait(), 30)
    await asyncio.wait_for(speaks.done.wait(), 30)
    assert speaks.at[0] - spoke >= HOLD_S - CLOCK_S
    assert silent.at[0] <= speaks.at[0]


async def test_silence_begins_again_for_who_is_here_and_for_nobody_else() -> None:
    held, here, gone = TicketHolders(), Client(), Client()
    held.again(gone)
    assert not held
    held.hold(here)
    before = held[here]
    _passes(HOLD_S / 5)
    held.again(here)
    assert held[here] > before
    await asyncio.wait_for(here.done.wait(), 30)


async def test_one_that_is_forgotten_is_not_kept_nor_called() -> None:
    held, gone, stays = TicketHolders(), Client(), Client()
    held.hold(gone)
    held.hold(stays)
    held.pop(gone, None)
    held.pop(gone, None)
    assert gone not in held
    assert stays in held
    await asyncio.wait_for(stays.done.wait(), 30)
    assert gone.at == []


async def test_one_whose_client_may_not_be_read_is_asked_again() -> None:
    held, slow = TicketHolders(), Client(False, False, True)
    held.hold(slow)
    await asyncio.wait_for(slow.done.wait(), 30)
    assert len(slow.at) == 3
    assert slow.at[1] - slow.at[0] >= HOLD_S - CLOCK_S
