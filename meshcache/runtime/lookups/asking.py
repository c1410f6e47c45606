"""The order of asking: where a session is looked for that isn't in memory, while the handshake that wants it is paused.

    memory  ─►  on its way? wait  ─►  second tier? ask  ─►  origin, holder? fetch  ─►  a full handshake

Each step is an `Asker`, bounded and counted, and may be missing. This file holds their order and nothing of what they
do: it waits for nothing, and knows no socket. Whoever drives the connection waits, with a `PausedLookup` in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Protocol

from meshcache.config import VipSettings
from meshcache.config.vip import PAUSE_S_MAX
from meshcache.core.values.session import Outcome
from meshcache.edges import native
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.vip_ports.session_ports import VipPort


class Step(StrEnum):
    """Where is asked, in this order; the names under which it is counted."""

    AWAIT = "await"
    TIER = "tier"
    FETCH = "fetch"


class End(StrEnum):
    """How a step ended: with the session in memory, with an answer that it isn't there, at its deadline, or because
    nobody waits any more.
    """

    FOUND = "found"
    NONE = "none"
    LATE = "late"
    GIVEN_UP = "given_up"


class Asker(Protocol):
    """One step: looks in one kind of place. Called without the core's lock, on the thread of a handshake.

    What it finds it puts into memory itself, through the gates and the limits that hold for every way in, and only then
    says that it was found: the handshake looks it up as it would any other.
    """

    def serves(self, vip: str, /) -> bool:
        """Return whether a VIP's handshakes ask here at all. Asked when settings change, not in handshakes."""

    def begin(self, lookup: PausedLookup, now: float, /) -> float | None:
        """Begin to look for one of `lookup.ids`; return until when that is worth a wait, on the node's monotonic clock.

        None: not here, the next is asked at once. Takes microseconds and waits for nothing. From now on
        `lookup.answer` may be called, from any thread, also before this returns.
        """

    def end(self, lookup: PausedLookup, now: float, /) -> None:
        """Forget a lookup that was begun: it is over, whoever found it. Called once, also where `begin` raised; until
        then a late find helps.
        """


class PausedLookup:
    """What one paused handshake waits for. Askers `answer`; whoever drives the connection watches, and goes on.

    Secret: `ids`. The waiter's side (`watch`, `go_on`, `cancel`) is for one thread at a time.
    """

    __slots__ = (
        "_asker",
        "_asking",
        "_begun",
        "_denied",
        "_finder",
        "_lock",
        "_on_answer",
        "_step",
        "_steps",
        "_until_at_most",
        "found_by",
        "ids",
        "over",
        "until",
        "vip",
        "wait_s",
    )

    def __init__(
        self,
        asking: VipAsking,
        ids: tuple[bytes, ...],
        now: float,
        steps: tuple[tuple[Step, Asker], ...] | None = None,
        wait_s: float | None = None,
    ) -> None:
        """`steps` in place of the VIP's, and `wait_s` in place of what its settings say of the first."""
        self.vip = asking.name
        self.ids = ids
        self.wait_s = wait_s
        self.found_by: Step | None = None
        """The step that found it."""
        self.over = False
        """Whether the handshake may go on."""
        self.until = now
        """When to call `go_on` if there was no answer before, on the monotonic clock."""
        self._asking = asking
        self._steps: Iterator[tuple[Step, Asker]] = iter(asking.steps if steps is None else steps)
        self._begun: list[tuple[Step, Asker]] = []
        self._until_at_most = now + PAUSE_S_MAX
        self._lock = native.Lock()  # around the four that other threads touch
        self._asker: Asker | None = None
        self._finder: Asker | None = None
        self._denied = False
        self._on_answer: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<PausedLookup {self.vip}{''.join(f' {step}' for step, _ in self._begun)}>"

    @property
    def pulled(self) -> bool:
        """Whether a peer was asked for the session, and gave it."""
        return self.found_by is Step.FETCH

    # --- for askers

    def answer(self, asker: Asker, found: bool) -> None:
        """Say that one of the ids is in memory now, or that this asker can't find any. From any thread.

        That it is found counts from whoever was asked, also late; that it isn't only from the one who is asked now.
        """
        with self._lock:
            if self._finder is not None or (not found and asker is not self._asker):
                return
            if found:
                self._finder = asker
            else:
                self._denied = True
            on_answer = self._on_answer
        if on_answer is not None:
            on_answer()

    # --- for whoever waits

    def watch(self, on_answer: Callable[[], None]) -> None:
        """Have this called, on any thread, when `go_on` has something to say before `until`; at once if it has now."""
        with self._lock:
            self._on_answer = on_answer
            answered = self._finder is not None or self._denied
        if answered:
            on_answer()

    def go_on(self, now: float | None = None) -> float | None:
        """Take what was answered, and ask the next where that was nothing or came too late.

        Returns until when to wait now, or None: it is over, and the handshake may go on.
        """
        now = self._asking.clock() if now is None else now
        while not self.over:
            with self._lock:
                finder, denied, self._denied = self._finder, self._denied, False
            if finder is not None:
                self._over(End.FOUND, now, next(step for step, asker in self._begun if asker is finder))
            elif denied or now >= self.until:
                if not denied and self._has_come_unread():
                    continue
                self._count(End.NONE if denied else End.LATE)
                self.begin(now)
            else:
                return self.until
        return None

    def begin(self, now: float) -> bool:
        """Ask the next who has something to wait for, and return true; false, and over, when there is none."""
        for step, asker in self._steps:
            with self._lock:
                self._asker, self._denied = asker, False
            self._begun.append((step, asker))
            try:
                until = asker.begin(self, now)
            except Exception:  # noqa: BLE001 - it may have begun something: it stays with those that are to end
                self._asking.fault(in_callback=self.wait_s is not None)
                continue
            if until is not None:
                self.until = min(until, self._until_at_most)
                return True
            self._begun.pop()
        self._over(None, now)
        return False

    def cancel(self) -> None:
        """Nobody waits any more: the client is gone."""
        if not self.over:
            self._over(End.GIVEN_UP if self._begun else None, self._asking.clock())

    def _has_come_unread(self) -> bool:
        """Read what has arrived, before it counts as late: on a busy machine this thread, and the one that reads, may
        both have been kept from it. Return whether there is an answer now.
        """
        self._asking.read_what_is_here()
        with self._lock:
            return self._finder is not None or self._denied

    def _over(self, end: End | None, now: float, found_by: Step | None = None) -> None:
        self.over, self.found_by = True, found_by
        with self._lock:
            self._asker = self._on_answer = None
        if end is not None:
            self._count(end, found_by)
        for _, asker in self._begun:
            asker.end(self, now)

    def _count(self, end: End, step: Step | None = None) -> None:
        self._asking.count(step or self._begun[-1][0], end)


class Asking:
    """The askers of one node, and the VIPs that ask them. Changes with who is plugged in, with VIPs and settings."""

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self._askers: dict[Step, Asker] = {}
        self._vips: dict[str, VipAsking] = {}
        self._settings: dict[str, VipSettings] = {}

    def settings(self, vip: str) -> VipSettings | None:
        """Return the settings of a VIP that are in force."""
        return self._settings.get(vip)

    def configure(self, vip: VipSettings) -> None:
        """Take over a VIP's settings; `refresh` afterwards."""
        self._settings[vip.name] = vip

    def plug(self, step: Step, asker: Asker) -> None:
        """Let an asker take a step's place."""
        self._askers[step] = asker
        self.refresh()

    def asker(self, step: Step) -> Asker | None:
        """Return who has a step's place."""
        return self._askers.get(step)

    def refresh(self) -> None:
        """Ask each asker anew which VIPs it serves."""
        for vip in list(self._vips.values()):
            vip.refresh()

    def join(self, port: VipPort, vip: VipSettings) -> VipAsking:
        """Let a VIP's handshakes ask, from now on. Return what its TLS edge asks."""
        self.configure(vip)
        made = self._vips[port.name] = VipAsking(self, port)
        return made

    def leave(self, vip: str) -> None:
        """Forget a VIP that is served no longer."""
        self._vips.pop(vip, None)
        self._settings.pop(vip, None)

    def of_vip(self, vip: str) -> tuple[tuple[Step, Asker], ...]:
        """Return who is asked for a VIP's sessions, in order."""
        found = ((step, self._askers.get(step)) for step in Step)
        return tuple((step, asker) for step, asker in found if asker is not None and asker.serves(vip))


class VipAsking:
    """Asks for one VIP: what the TLS edge calls on a miss (`tls.port.AskingPort`)."""

    def __init__(self, asking: Asking, port: VipPort) -> None:
        self._asking = asking
        self._port = port
        self.name = port.name
        self.clock = port.clock
        self.steps: tuple[tuple[Step, Asker], ...] = ()
        self._hold_s = 0.0
        self.refresh()

    def refresh(self) -> None:
        """Take over who serves the VIP now; paused handshakes go on as they began."""
        self.steps = self._asking.of_vip(self.name)
        settings = self._asking.settings(self.name)
        self._hold_s = 0.0 if settings is None else settings.await_in_callback_ms / 1000
        if self._port.door is not None:
            self._port.door.ask(bool(self.steps), self.holds)

    @property
    def wanted(self) -> bool:
        """Whether anybody would be asked: nobody by a forked child, where the sockets and locks are the parent's."""
        return bool(self.steps) and self._port.is_open

    def begin(self, ids: tuple[bytes, ...]) -> PausedLookup | None:
        """Begin to look for one of these; None: one is in memory, or there is nothing to wait for. What is returned is
        over already where the answer was quicker than this call.
        """
        if self._any_here(ids):
            return None
        self._asking.pump.read_what_is_here()
        if self._any_here(ids):
            return None
        now = self.clock()
        lookup = PausedLookup(self, ids, now)
        try:
            waits = lookup.begin(now) and lookup.go_on(now) is not None
        except BaseException:  # Ctrl-C too: what was begun is bounded
            lookup.cancel()
            raise
        return lookup if waits or lookup.found_by is not None else None

    @property
    def holds(self) -> bool:
        """Whether handshakes that can't be paused wait where they are for what is on its way."""
        return self._hold_s > 0 and self._port.is_open

    def hold(self, session_id: bytes) -> None:
        """Let this thread wait until a session comes that is on its way, `await_in_callback_ms` at most; not at all for
        one that isn't. Lets go of the interpreter meanwhile. Look for the session afterwards, whatever happened.
        """
        asker, now = self._asking.asker(Step.AWAIT), self.clock()
        if asker is None or not self.holds:
            return
        lookup = PausedLookup(self, (session_id,), now, ((Step.AWAIT, asker),), self._hold_s)
        if not lookup.begin(now):
            return
        news = native.Lock()
        news.acquire()

        def wake() -> None:
            with suppress(RuntimeError):  # it is awake already
                news.release()

        try:
            lookup.watch(wake)
            while lookup.go_on() is not None:
                if not news.acquire(timeout=max(lookup.until - self.clock(), 0)):
                    lookup.go_on(lookup.until)
        finally:
            lookup.cancel()

    def read_what_is_here(self) -> None:
        """Take in what has arrived and nobody has read yet."""
        self._asking.pump.read_what_is_here()

    def pulled(self, token: int) -> int:
        """Return the token of a session as one that was fetched for this handshake."""
        return self._port.tokens.with_outcome(token, Outcome.PULLED)

    def fault(self, *, in_callback: bool) -> None:
        """Count what an asker raised: in the get callback, or anywhere else, as one of the ClientHello."""
        self._port.fault("get" if in_callback else "client_hello")

    def count(self, step: Step, end: End) -> None:
        """Count how a step ended."""
        pump = self._asking.pump
        with pump.lock:
            pump.core.asked_elsewhere(self.name, step.value, end.value)

    def _any_here(self, ids: tuple[bytes, ...]) -> bool:
        """One that may not resume is here too: what is elsewhere may as little."""
        port, pump = self._port, self._asking.pump
        with pump.lock:
            port.take_made()
            return any(each in port.withheld or pump.core.holds(self.name, each) for each in ids)
