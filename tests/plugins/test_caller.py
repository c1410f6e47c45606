"""Asking on another thread: answers, what is raised, and no waiting beyond the budget."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from meshcache.plugins.caller import Caller, NoAnswerError

LONG_S = 30.0


@pytest.fixture
def caller() -> Iterator[Caller]:
    made = Caller("test", lambda: False)
    made.start()
    yield made
    made.close(LONG_S)


def test_it_answers_and_raises_on_a_thread_of_its_own(caller: Caller) -> None:
    assert caller.call(threading.get_ident, LONG_S) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        caller.call(lambda: 1 / 0, LONG_S)
    assert caller.call(lambda: 1, LONG_S) == 1


def test_who_was_not_answered_in_time_goes_on_and_so_does_the_next(caller: Caller) -> None:
    let, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        let.wait(LONG_S)

    while not begun.is_set():  # one that nobody waits for any more before its turn isn't asked
        with pytest.raises(NoAnswerError):
            caller.call(hang, 0.001)
    done: list[int] = []
    with pytest.raises(NoAnswerError):
        caller.call(lambda: done.append(1), 0.001)
    let.set()
    assert caller.call(lambda: 2, LONG_S) == 2
    assert not done, "what nobody waits for any more isn't asked"


def test_many_may_ask_at_once(caller: Caller) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(caller.call(lambda: n, LONG_S))) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert sorted(answers) == list(range(50))


def test_between_questions_other_work_is_done() -> None:
    left = [1, 2, 3]

    def idle() -> bool:
        if left:
            left.pop()
        return bool(left)

    caller = Caller("test", idle)
    caller.start()
    assert caller.call(lambda: 1, LONG_S) == 1
    caller.close(LONG_S)
    assert not left
    with pytest.raises(NoAnswerError):
        caller.call(lambda: 1, LONG_S)
