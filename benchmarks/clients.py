"""Client processes: each does its part of a job as fast as it can, or at a steady rate, and says what it saw.

Processes and not threads, so that clients load the machine like real ones and never wait for one another's GIL.
"""

from __future__ import annotations

import multiprocessing
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from benchmarks.handshake import client_context, handshake

Address = tuple[str, int]

ANSWER_S_MAX = 120.0
"""No job takes this long; a client that is silent for longer is stuck, and the benchmark says so and ends it."""

_START_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """`count` handshakes for all clients together.

    ``kind``: "full" never offers a session; "resumed" offers the newest one that this client has from `address`;
    "returns" makes a session on `address` and comes back to `back` with it after `delay_s`.
    ``per_second`` above 0 is the steady rate of all clients together; 0 is full speed. After ``seconds_max`` no client
    begins another handshake, so that fewer than `count` may be done.
    """

    kind: str
    version: str
    address: Address
    count: int
    back: Address | None = None
    delay_s: float = 0.0
    per_second: float = 0.0
    seconds_max: float = ANSWER_S_MAX / 2


@dataclass(slots=True)
class Tally:
    """What one client saw. ``ended`` has the client's session id and the end of each handshake that made a session."""

    done: int = 0
    resumed: int = 0
    ended: list[tuple[bytes, int]] = field(default_factory=list)


class Clients:
    """A set of client processes, ended with the ``with`` block."""

    def __init__(self, count: int) -> None:
        self.count = count
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        for pipe in self._pipes:
            _answer(pipe, _START_S_MAX)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join(5.0)
            if process.is_alive():
                process.kill()
                process.join()

    def run(self, job: Job) -> Tally:
        """Do a job, shared out among the clients, who start together; what they saw, added up."""
        shares = _shares(job.count, len(self._pipes))
        for pipe, count in zip(self._pipes, shares, strict=True):
            pipe.send((job, count, job.per_second / len(self._pipes)))
        total = Tally()
        for answer in [_answer(pipe, ANSWER_S_MAX) for pipe in self._pipes]:
            total.done += answer.done
            total.resumed += answer.resumed
            total.ended += answer.ended
        return total


class _Client:
    """The client's side: its contexts, and the newest session it has from each address and version."""

    def __init__(self) -> None:
        self._contexts = {version: client_context(version) for version in ("1.2", "1.3")}
        self._sessions: dict[tuple[Address, str], ssl.SSLSession] = {}
        self._steps: dict[str, Callable[[Job, Tally], None]] = {
            "full": self._full,
            "resumed": self._resumed,
            "returns": self._returns,
        }

    def work(self, job: Job, count: int, per_second: float) -> Tally:
        tally = Tally()
        step = self._steps[job.kind]
        started = time.monotonic()
        for number in range(count):
            if per_second:
                time.sleep(max(0.0, started + number / per_second - time.monotonic()))
            step(job, tally)
            tally.done += 1
            if time.monotonic() - started > job.seconds_max:
                break
        return tally

    def _full(self, job: Job, tally: Tally) -> None:
        done = handshake(self._contexts[job.version], job.address, None)
        tally.resumed += done.resumed
        tally.ended.append((done.session.id, done.ended_ns))
        self._sessions[job.address, job.version] = done.session

    def _resumed(self, job: Job, tally: Tally) -> None:
        key = job.address, job.version
        done = handshake(self._contexts[job.version], job.address, self._sessions.get(key))
        tally.resumed += done.resumed
        self._sessions[key] = done.session

    def _returns(self, job: Job, tally: Tally) -> None:
        assert job.back is not None, "to come back takes a second address"
        context = self._contexts[job.version]
        made = handshake(context, job.address, None, wait_for_close=False)
        if job.delay_s:
            time.sleep(max(0.0, job.delay_s - (time.monotonic_ns() - made.ended_ns) / 1e9))
        tally.resumed += handshake(context, job.back, made.session, wait_for_close=False).resumed


def _serve(pipe: Connection) -> None:
    """A client process: jobs in, tallies or an error's text out, until it is told to stop."""
    client = _Client()
    pipe.send(Tally())
    while (order := pipe.recv()) is not None:
        try:
            pipe.send(client.work(*order))
        except Exception as error:  # noqa: BLE001 - the other process raises it
            pipe.send(f"{type(error).__name__}: {error}")


def _answer(pipe: Connection, within_s: float) -> Tally:
    if not pipe.poll(within_s):
        raise TimeoutError(f"a client process said nothing for {within_s:.0f} s")
    answer: Tally | str = pipe.recv()
    if isinstance(answer, Tally):
        return answer
    raise RuntimeError(f"a client failed: {answer}")


def _shares(count: int, clients: int) -> list[int]:
    return [count // clients + (number < count % clients) for number in range(clients)]
