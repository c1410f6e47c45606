"""Asks one tier and writes to it, on two threads, so that nobody else waits for it; lets it rest when it goes wrong.

Knows keys and sealed values only. Two bounded queues lead to it; what doesn't fit is counted and left out. Each thing
that it does on the writing thread rests by itself when it fails, so that one that works makes none that fails hurry.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from meshcache.edges import native
from meshcache.hooks import (
    TIER_BATCH_MAX,
    TIER_KEY_BYTES,
    BeginsEmptyError,
    Tier,
    TierEntry,
    TierError,
)
from meshcache.plugins.health import Health, Tell, What, name_of
from meshcache.runtime.tracing import shown
from meshcache.tiers.own_loop import CALL_S_MAX, OwnLoop
from meshcache.tiers.rest import Rest
from meshcache.tiers.sealed_entries import joined
from meshcache.tiers.write_queue import WriteQueue

TEND_S = 5.0
"""Between two calls of `Tier.tend`."""

QUIET_S = 3600.0
"""Between two events about one kind of fault: a full disk stays full."""

ASKED_MAX = 4096
"""Handshakes that wait for one tier; more find it busy."""

_PROBE = bytes(TIER_KEY_BYTES)
"""A key that no session has: what a tier that has rested is asked first."""

_AHEAD_MAX = 8
"""Batches that are written before a step of an errand that somebody else would wait for: a look at all that a tier has
takes half a minute, and at 50,000 sessions a second two batches come in each of its steps.
"""

_IDLE_S = 1.0

log = logging.getLogger("meshcache.mesh")

T = TypeVar("T")

Answer = Callable[[bytes | None], None]
"""Called on the tier's reading thread with the value, or None; quick."""


class _Question(NamedTuple):
    key: bytes
    answer: Answer


class _Errand(NamedTuple):
    steps: Iterator[None]
    reads: bool
    """Whether it does no more than that, so that it goes on where nothing can be written."""


class TierRunner:
    """One tier. `opened` is called on its writing thread, once it can be used; errands run there a step at a time."""

    def __init__(
        self,
        tier: Tier,
        given_name: str,
        tell: Tell,
        opened: Callable[[TierRunner], None],
        *,
        memory_key: bool = False,
    ) -> None:
        """With `memory_key` what it is given is sealed with a key that nobody keeps."""
        self.hook = tier
        self.memory_key = memory_key
        self.health = Health("tier", name_of(tier, given_name), tell, QUIET_S)
        self.budget_s = max(tier.budget_s, 0.0)
        self.is_open = False
        self.errands: deque[_Errand] = deque()
        """Each a piece of work that yields after every part of it; for the writing thread."""
        self._opened = opened
        self._queue = WriteQueue()
        self._ahead = 0
        """Batches that were written since the last step of an errand, while more waited."""
        self._questions: deque[_Question] = deque()
        self._to_write, self._to_read = native.Event(), native.Event()
        self._asking_since: float | None = None
        self._doubted = True
        self._closing = False
        self._tended_at = time.monotonic()
        self._stepped_until = 0.0
        """Which rest of taking out has seen a step of an errand that writes."""
        self._keeping, self._putting, self._removing = Rest(), Rest(), Rest()
        self._tending, self._stepping = Rest(), Rest()
        self._loop = OwnLoop(self.health.name)
        self._writer = native.thread(self._write_all, f"meshcache-tier-{self.health.name}-writes")
        self._reading = native.thread(self._read_all, f"meshcache-tier-{self.health.name}-reads")

    def forked(self) -> None:
        """Let go, in a child process."""
        self._closing, self.is_open = True, False
        forked = getattr(self.hook, "forked", None)
        if forked is not None:
            forked()

    def start(self) -> None:
        """Open it, on its own thread."""
        self._writer.start()
        self._reading.start()

    def close(self, within_s: float) -> None:
        """Write what waits, and end; waited for so long."""
        self._closing = True
        self._to_write.set()
        self._to_read.set()
        self._writer.join(within_s)
        self._reading.join(within_s)
        self._loop.close()

    @property
    def ready(self) -> bool:
        """Whether a handshake may ask it: it is open, rests not, has answered since, and isn't late just now."""
        since = self._asking_since
        if not self.is_open or self._doubted or self.health.resting:
            return False
        return since is None or time.monotonic() - since <= self.budget_s

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for at a start: it is open, or won't be soon, and nothing reads it now."""
        return (self.is_open and not any(each.reads for each in list(self.errands))) or self.health.resting

    @property
    def writes_errands(self) -> bool:
        """Whether it has an errand that does more than read."""
        return any(not each.reads for each in list(self.errands))

    @property
    def waiting(self) -> int:
        """How many entries wait to be written."""
        return self._queue.waiting

    def offer(self, entries: Sequence[TierEntry]) -> None:
        """Have entries written in time. Returns at once."""
        skipped = self._queue.offer(entries)
        if skipped:
            self.health.count("skipped", skipped)
        self._to_write.set()

    def keep(self, entries: Sequence[TierEntry]) -> None:
        """Have entries written, a batch at most, however often that fails and whatever else waits, in place of those
        that were to be kept before. Returns at once."""
        self._queue.keep(entries)
        self._to_write.set()

    def remove(self, keys: Sequence[bytes]) -> None:
        """Have entries taken out in time; until then nobody is given them. Returns at once. Of more than
        `TIER_WAITING_MAX` that wait the oldest stay where they are, and are found again: that is a fault.
        """
        lost = self._queue.remove(keys)
        if lost:
            self.removals_lost(lost)
        self._to_write.set()

    def removals_lost(self, count: int) -> None:
        """Count and tell that so many that had to go stay in it."""
        self.health.follows("removals_lost", "what was used up or withdrawn stays there, and may resume", count)

    def is_going(self, key: bytes) -> bool:
        """Return whether what lies under this key is to be taken out, which a tier that can't be written delays."""
        return key in self._queue.going

    def run(self, errand: Iterator[None], *, reads: bool = False) -> None:
        """Have a piece of work done in steps, on the writing thread; one that only `reads` also while writing rests."""
        self.errands.append(_Errand(errand, reads))
        self._to_write.set()

    def ask(self, *questions: tuple[bytes, Answer]) -> bool:
        """Ask for values by their keys. False when it is no time to ask; else each answer comes, sooner or later."""
        if not self.ready or len(self._questions) >= ASKED_MAX:
            return False
        self._questions.extend(_Question(*question) for question in questions)
        self._to_read.set()
        return True

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return what it has of these, now: for errands."""
        return self._done(self.hook.get(keys))

    def to_plain(self) -> dict[str, Any]:
        """Return an object of ``tiers`` in ``stats``."""
        failed = self._putting.failed or self._removing.failed or (self._keeping.failed and bool(self._queue.to_keep))
        failing = failed or self._doubted or not self.is_open
        told = {"open": self.is_open, "failing": failing, "waiting": self.waiting}
        return {**self.health.to_plain(), **told, **_figures(self.hook)}

    # --- the writing thread

    def _write_all(self) -> None:
        while not self._closing and not self.is_open:
            if self.health.resting:  # whoever offers something wakes this thread
                self._to_write.wait(max(self.health.rests_until - time.monotonic(), 0.01))
                self._to_write.clear()
            else:
                self._open()
        while not self._closing:
            if not self._write_some():
                self._to_write.wait(self._wait_s())
            self._to_write.clear()
        if self.is_open:
            self._keeping, self._putting, self._removing = Rest(), Rest(), Rest()  # a last try for what failed
            while self._write_some(errands=False):
                pass
        self.is_open = False
        self._reading.join(CALL_S_MAX)
        if not self._reading.is_alive():  # a file that is closed under its reader would end the process
            self._attempt(self.hook.close, self._tending)

    def _open(self) -> None:
        try:
            try:
                self._done(self.hook.open())
            except BeginsEmptyError as error:
                self.health.fault("begun_anew", str(error))
            self._opened(self)
        except ImportError as error:
            self.health.fault("not_loaded", str(error), rests=True)
        except Exception as error:  # noqa: BLE001 - whatever a tier raises is its own fault
            self.health.fault("raised", _told(error), rests=True)
        else:
            self.is_open = True
            self._to_read.set()

    def _wait_s(self) -> float:
        now = time.monotonic()
        rests = (self._keeping, self._putting, self._removing, self._tending, self._stepping)
        return max(min((rest.until - now for rest in rests if rest.until > now), default=_IDLE_S), 0.01)

    def _write_some(self, *, errands: bool = True) -> bool:
        """Do a little of what waits and doesn't rest. Return whether there was anything."""
        if self._removing.over and (keys := self._queue.take_removals()):
            self._take_out(keys)
            return True
        if self._keeping.over and (entries := self._queue.to_keep):
            self._keep(entries)
            return True
        puts = self._putting.over and self._queue.has_entries
        if puts:
            self._put()
        went_on = errands and bool(self.errands) and self._go_on(lets_first=puts and self._queue.has_entries)
        return went_on or puts or self._tend()

    def _take_out(self, keys: Sequence[bytes]) -> None:
        if self._attempt(lambda: self.hook.remove(keys), self._removing):
            self.health.count("removed", len(keys))
            self._queue.gone(keys)
            self._removing.went_right()
        else:
            self._queue.put_back(keys)

    def _keep(self, entries: Sequence[TierEntry]) -> None:
        if self._attempt(lambda: self.hook.put(entries), self._keeping):
            self.health.count("written", len(entries))
            self._queue.kept(entries)
            self._keeping.went_right()

    def _put(self) -> None:
        entries = joined(self._queue.take_entries())
        had_failed = self._putting.failed
        done = self._attempt(lambda: self.hook.put(entries), self._putting)
        self.health.count("written" if done else "skipped", len(entries))
        if done:
            self._putting.went_right()
            self._keeping = Rest() if had_failed else self._keeping  # what is to be kept can be, too
        elif had_failed and (skipped := self._queue.skip_to_removals()):  # a full store can be taken from
            self.health.count("skipped", skipped)
        self._ahead = self._ahead + 1 if self.waiting >= TIER_BATCH_MAX else _AHEAD_MAX

    def _go_on(self, *, lets_first: bool) -> bool:
        """Do a step of an errand, unless it `lets_first` what waits to be written. One that reads goes on where nothing
        can be written: a disk that is full may be read, and a start waits for what it has. What another one would have
        written doesn't fit into the queues; where taking out fails it takes a step with each try of that, and after one
        that raised all wait.
        """
        can_write = self._putting.over and (self._removing.over or self._stepped_until != self._removing.until)
        errand = next((each for each in list(self.errands) if can_write or each.reads), None)
        if errand is None or not self._stepping.over or (lets_first and self._ahead < _AHEAD_MAX):
            return False
        self._ahead = 0
        if not errand.reads:
            self._stepped_until = self._removing.until
        self._step(errand)
        return True

    def _tend(self) -> bool:
        if self._tending.over and time.monotonic() - self._tended_at >= TEND_S:
            self._tended_at = time.monotonic()
            if self._attempt(self.hook.tend, self._tending):
                self._tending.went_right()
        return False

    def _step(self, errand: _Errand) -> None:
        """Do one step of an errand; one that raises is over."""
        over = object()
        left: list[object] = []
        if self._attempt(lambda: left.append(next(errand.steps, over)), self._stepping):
            if left[0] is not over:
                return  # the next step may be the one that fails each time
            self._stepping.went_right()
        self.errands.remove(errand)

    def _attempt(self, what: Callable[[], Any], rest: Rest) -> bool:
        """Call a tier. Whatever it raises is counted, and it isn't called for this for a while; it is read on."""
        try:
            self._done(what())
        except Exception as error:  # noqa: BLE001 - as above
            self.health.fault("raised", _told(error))
            rest.begin()
            return False
        return True

    # --- the reading thread

    def _read_all(self) -> None:
        while not self._closing:
            self._to_read.clear()
            if self.is_open and self._doubted and not self.health.resting:
                self._get([_PROBE])
            while self._questions and not self._closing:
                self._answer(_some(self._questions))
            self._to_read.wait(max(self.health.rests_until - time.monotonic(), 0.01) if self._doubted else _IDLE_S)

    def _answer(self, questions: list[_Question]) -> None:
        found = None if self._doubted else self._get([question.key for question in questions])
        for question in questions:
            value = None if self.is_going(question.key) else (found or {}).get(question.key)
            if found is not None:
                self.health.count("misses" if value is None else "hits")
            try:
                question.answer(value)
            except Exception as error:  # noqa: BLE001 - others wait for this thread; the message could hold a secret
                log.error("a fault with what a tier gave; please report it: %s", shown(error))  # noqa: TRY400

    def _get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes] | None:
        self._asking_since = began_at = time.monotonic()
        self.health.count("calls")
        try:
            found = self.get(keys)
        except Exception as error:  # noqa: BLE001 - as above
            self._rest("raised", _told(error))
            return None
        finally:
            self._asking_since = None
        took_s = time.monotonic() - began_at
        if took_s > self.budget_s:
            self._rest("slow", f"get took {took_s * 1000:.0f} ms")
        else:
            self._doubted = False
            self.health.went_right()
        return found

    def _rest(self, what: What, error: BaseException | str) -> None:
        self._doubted = True
        if not self._closing:
            self.health.fault(what, error, rests=True)
        self._to_read.set()

    def _done(self, result: T | Awaitable[T]) -> T:
        return self._loop.wait_for(result) if inspect.isawaitable(result) else result


def _some(waiting: deque[T]) -> list[T]:
    """Take up to a batch from the front."""
    return [waiting.popleft() for _ in range(min(len(waiting), TIER_BATCH_MAX))]


def _told(error: Exception) -> BaseException | str:
    return str(error) if isinstance(error, TierError) else error


def _figures(tier: Tier) -> dict[str, int]:
    try:
        return {str(name): int(number) for name, number in tier.figures().items()}
    except Exception:  # noqa: BLE001 - as above; there are no numbers then
        return {}
