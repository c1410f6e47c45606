"""Calls what others wrote on a thread of its own, and waits for the answer only so long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from meshcache.edges import native


class NoAnswerError(Exception):
    """There was none in time; it may still come, and is then no longer wanted."""


class _Question:
    __slots__ = ("answer", "answered", "ask", "error", "given_up")

    def __init__(self, ask: Callable[[], Any]) -> None:
        self.ask = ask
        self.answered = native.Lock()
        self.answered.acquire()
        self.answer: Any = None
        self.error: Exception | None = None
        self.given_up = False


class Caller:
    """One thread, which is asked one thing after the other. `idle` is called on it while nothing is asked."""

    def __init__(self, name: str, idle: Callable[[], bool]) -> None:
        """`idle` does a small piece of other work and returns whether there is more of it."""
        self._idle = idle
        self._waiting: deque[_Question] = deque()
        self._some = native.Lock()
        self._some.acquire()
        self._closed = False
        self._thread = native.thread(self._run, f"meshcache-{name}")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self, within_s: float) -> None:
        """Answer nothing more. What is being done now is waited for, for so long."""
        self._closed = True
        self.wake()
        self._thread.join(within_s)

    def wake(self) -> None:
        """Look for questions, and whether there is other work."""
        try:
            self._some.release()
        except RuntimeError:
            return  # it is awake already

    def call(self, ask: Callable[[], Any], budget_s: float) -> Any:
        """Return what `ask` returns, or raise what it raises; NoAnswerError when that takes longer than the budget."""
        if self._closed:
            raise NoAnswerError
        question = _Question(ask)
        self._waiting.append(question)
        self.wake()
        if not question.answered.acquire(timeout=budget_s):
            question.given_up = True
            raise NoAnswerError
        if question.error is not None:
            raise question.error
        return question.answer

    def _run(self) -> None:
        while not self._closed:
            while self._waiting and not self._closed:
                self._answer(self._waiting.popleft())
            if not self._idle():
                self._some.acquire()

    def _answer(self, question: _Question) -> None:
        if question.given_up:
            return
        try:
            question.answer = question.ask()
        except Exception as error:  # noqa: BLE001 - it is the asker's
            question.error = error
        question.answered.release()
