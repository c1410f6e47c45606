"""Asks the workers of a group at their sockets, and waits for one that is stuck once, not again and again.

For what is only read: a change has to be waited for, and who was asked for it is told. Keeps no answer.
"""

from __future__ import annotations

import concurrent.futures
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Generic, TypeVar

from meshcache.admin.client import AdminClient
from meshcache.edges import native
from meshcache.errors import AdminError, MeshcacheError, NodeAbsentError, PolicyError

PATIENCE_S: Final = 2.5
"""How long one worker is waited for: it answers from memory, and waits for other nodes for 2 s at most. Two of them fit
into the 5 s that `client` waits for the group."""

REST_S: Final = 5.0
"""How long one that didn't answer is left alone. Then it is asked again, and nobody waits for that."""

_log = logging.getLogger("meshcache.admin")

Answer = TypeVar("Answer")


class WorkerQuestions:
    """Who is asked, and who is late. Threads may share it."""

    def __init__(self, sockets: Callable[[], Sequence[Path]], pool: ThreadPoolExecutor) -> None:
        self._sockets = sockets
        self._pool = pool
        self._lock = native.Lock()
        self._late: dict[Path, float] = {}  # and when it may be asked again: never, while it is being asked

    @property
    def late(self) -> list[Path]:
        """Those that were waited for in vain, and haven't answered since."""
        with self._lock:
            return list(self._late)

    @property
    def in_turn(self) -> list[Path]:
        """All, in the order in which to ask them where one will do: who is late comes last."""
        late = set(self.late)
        return sorted(self._sockets(), key=late.__contains__)

    def ask_each(self, question: Callable[[AdminClient], Answer]) -> dict[Path, Answer]:
        """Ask all at once, and return the answers of those that give one in time."""
        return answered(self.outcomes(question))

    def outcomes(self, question: Callable[[AdminClient], Answer]) -> dict[Path, Answer | MeshcacheError]:
        """Ask all at once, and return what each answers in time, or why there is no answer."""
        paths = self._sockets()
        self._look_again(paths)
        late = set(self.late)
        asked = {path: _Asked(self._pool, path, question) for path in paths if path not in late}
        concurrent.futures.wait([each.future for each in asked.values()], PATIENCE_S)
        outcomes: dict[Path, Answer | MeshcacheError] = {path: _late(path) for path in paths}
        for path, each in asked.items():
            answer = self._taken(path, each)
            outcomes[path] = answer
        return outcomes

    def ask_one(self, question: Callable[[AdminClient], Answer]) -> Answer:
        """Ask one, and the next where it doesn't answer. Raises PolicyError with what one says against it, else what
        the last one did instead of an answer; NodeAbsentError where none is there.
        """
        failure: MeshcacheError = NodeAbsentError("no worker is there")
        for path in self.in_turn:
            asked = _Asked(self._pool, path, question)
            concurrent.futures.wait([asked.future], PATIENCE_S)
            answer = self._taken(path, asked)
            if isinstance(answer, PolicyError):
                raise answer
            if not isinstance(answer, MeshcacheError):
                return answer
            if not isinstance(answer, NodeAbsentError):
                failure = answer
        raise failure

    def _taken(self, path: Path, asked: _Asked[Answer]) -> Answer | MeshcacheError:
        future = asked.future
        if future.done():
            return future.result()
        if future.cancel() or not asked.long_ago:  # it waited for a thread: that says nothing of the worker
            return AdminError(
                f"{path.parent.name} could not be asked within {PATIENCE_S:g} s: too much is asked at once"
            )
        with self._lock:
            known = path in self._late
            self._late[path] = float("inf")
        if not known:
            _log.warning("%s does not answer: it is left out until it does", path.parent.name)
        future.add_done_callback(lambda done: self._answered(path, done))
        return _late(path)

    def _answered(self, path: Path, done: Future[Answer | MeshcacheError]) -> None:
        answer = None if done.cancelled() else done.result()
        is_stuck = answer is None or (isinstance(answer, AdminError) and not isinstance(answer, NodeAbsentError))
        with self._lock:
            known = path in self._late
            if is_stuck and known:
                self._late[path] = time.monotonic() + REST_S
            elif known:
                del self._late[path]
        if known and answer is not None and not isinstance(answer, AdminError):
            _log.info("%s answers again", path.parent.name)

    def _look_again(self, paths: Sequence[Path]) -> None:
        """Ask those that have rested, for numbers that nobody takes."""
        now = time.monotonic()
        with self._lock:
            for gone in self._late.keys() - set(paths):
                del self._late[gone]
            due = [path for path, at in self._late.items() if at <= now]
            self._late |= dict.fromkeys(due, float("inf"))
        for path in due:
            future = self._pool.submit(asked_at, path, AdminClient.stats)
            future.add_done_callback(lambda done, path=path: self._answered(path, done))  # type: ignore[misc]


class _Asked(Generic[Answer]):
    """A question to one worker, which may wait for a thread before it is asked."""

    def __init__(self, pool: ThreadPoolExecutor, path: Path, question: Callable[[AdminClient], Answer]) -> None:
        self._began_at = float("inf")
        self.future = pool.submit(self._ask, path, question)

    @property
    def long_ago(self) -> bool:
        """Whether the worker had most of the time that it is waited for."""
        return time.monotonic() - self._began_at > PATIENCE_S / 2

    def _ask(self, path: Path, question: Callable[[AdminClient], Answer]) -> Answer | MeshcacheError:
        self._began_at = time.monotonic()
        return asked_at(path, question)


def answered(outcomes: Mapping[Path, Answer | MeshcacheError]) -> dict[Path, Answer]:
    """Return the answers alone."""
    return {path: answer for path, answer in outcomes.items() if not isinstance(answer, MeshcacheError)}


def asked_at(path: Path, question: Callable[[AdminClient], Answer]) -> Answer | MeshcacheError:
    """Return the answer of the worker at `path`, or why there is none."""
    try:
        return question(AdminClient(path))
    except MeshcacheError as error:
        return error


def _late(path: Path) -> AdminError:
    return AdminError(f"{path.parent.name} did not answer within {PATIENCE_S:g} s")
