"""One VIP's door between OpenSSL's callbacks and the node: microseconds, no waiting, and no exception of the mesh's.

Implements `tls.port.SessionPort`. Runs on the threads that do handshakes, while OpenSSL waits.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import meshcache.hot as hot
from meshcache.config import VipSettings
from meshcache.core.mesh import Lookup
from meshcache.core.policy.gates import Verdict
from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.core.state.counters import FoundAtDoor
from meshcache.core.values.session import LIFETIME_S_MAX_TLS12, LIFETIME_S_MAX_TLS13, Outcome, Session
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.tracing import shown
from meshcache.runtime.vip_ports.collecting import Collecting
from meshcache.runtime.vip_ports.origin_tokens import Tokens
from meshcache.runtime.vip_ports.session_ids import SessionIds
from meshcache.runtime.vip_ports.ticket_keys import TicketSide
from meshcache.runtime.vip_ports.withheld import Made, Withheld

if TYPE_CHECKING:
    from meshcache.hot import Door
    from meshcache.tls.port import AskingPort

REMOVED_MAX = 4096
"""Removals that wait for the pump; it takes them within milliseconds. Above it the oldest sessions just stay."""

_TLS13 = 0x0304

_ALLOWED = Verdict.ALLOWED

_NEVER = float("inf")

_SAME_CLOCK_S = 0.001
"""The door reads the system's monotonic clock. The node's own may be ahead of it, in tests; two readings of one clock
are no further apart than this.
"""

log = logging.getLogger("meshcache.tls")


MayResume = Callable[[str, Session, bool, float], bool]
"""Whether a session that was found may resume by the operator's own policy: VIP, session, whether it was made here,
now. Called without the core's lock, and waited for as long as it takes."""


class Asks(Protocol):
    """Where a port that is made asks to be let in, so that its handshakes can look elsewhere: `asking.Asking`."""

    def join(self, port: VipPort, vip: VipSettings, /) -> AskingPort:
        """Return what asks for this VIP; called at the end of the port's constructor."""


class VipPort(TicketSide):
    """The sessions of one VIP, as its contexts see them. `close` turns it into one that finds and keeps nothing."""

    def __init__(
        self,
        vip: VipSettings,
        pump: Pump,
        tokens: Tokens,
        may_resume: MayResume | None = None,
        ids: SessionIds | None = None,
        asks: Asks | None = None,
    ) -> None:
        """With `may_resume` the door is never told that anything may resume: it asks here each time. Without `ids` they
        are random, and without `asks` what isn't in memory is a miss.
        """
        self._pump = pump
        self._core = pump.core
        self._lock = pump.lock
        self.clock = pump.clock
        self.tokens = tokens
        self.ids = ids
        self._may_resume = may_resume
        self._removed: deque[bytes] = deque(maxlen=REMOVED_MAX)
        self._lifetime_s_of = (0.0, 0.0)
        self._open = True
        self._why = ""
        self.name = vip.name
        self.door: Door | None = None if hot.compiled is None else hot.compiled.Door()
        """What the compiled callbacks find and file with, without asking here."""
        self._collecting = Collecting(self._core, vip.name, self.door)
        self.deadline = self._collecting.deadline
        """Return when what waits at the door is to be taken; never while nothing does."""
        self._ahead_s = 0.0
        self.faults: Counter[str] = Counter()
        self.withheld = Withheld()
        self.configure(vip)
        self.asking: AskingPort | None = None if asks is None else asks.join(self, vip)

    @property
    def removals_waiting(self) -> int:
        """How many removals wait for the lock."""
        return len(self._removed)

    def configure(self, vip: VipSettings) -> None:
        """Take over what may change while the node runs."""
        self._lineage_s = vip.sharing.lineage_s
        self._lifetime_s_of = (
            min(vip.sharing.lifetime_s, LIFETIME_S_MAX_TLS12),
            min(vip.sharing.lifetime_s, LIFETIME_S_MAX_TLS13),
        )
        self.forget_ticket_keys()  # they say how long tickets are good
        self.allows_client_certificates = vip.sharing.client_certificates == "revalidate"
        self.single_use = vip.single_use != "off"
        if self.door is not None:
            self.door.mark(self.single_use)

    @property
    def is_open(self) -> bool:
        """Whether sessions are found and kept here."""
        return self._open

    @property
    def node(self) -> str:
        """The name of the node that it belongs to."""
        return self._core.name

    def belongs_to(self, pump: Pump) -> bool:
        """Return whether it is of the node that this pump drives."""
        return pump is self._pump

    def close(self, why: str = "") -> None:
        """Find and keep nothing from now on: the node ends, or this is a fork of its process.

        `why` goes to the log at the first handshake that notices.
        """
        self._open = False
        self._why = why
        self._keys = None
        if self.door is not None:
            self.door.close()
            self.door.drop_tickets()
            self.door.watch(-1, -1)

    def bind(self, *, anew: bool = False) -> None:
        """Let the door see what the core serves now. With the lock held, after whatever changed it. `anew` says that
        what was made until now is of other settings: nothing is filed that wasn't yet.
        """
        if anew:
            self.withheld.forget()
        if self.door is None or not self._open:
            return
        if not anew:
            self.take_made()
        filing = self._core.filing(self.name)
        if filing is None:
            self.door.bind((), 0, 0.0, 0.0, 0.0, 0.0, 0.0)
            return
        vip_caches, stream, epoch, lineage_s = filing
        ahead_s = self.clock() - time.monotonic()
        self._ahead_s = ahead_s if abs(ahead_s) > _SAME_CLOCK_S else 0.0
        zero = self.tokens.zero - self._ahead_s
        self.door.bind(vip_caches, stream, epoch - self._ahead_s, zero, lineage_s, *self._lifetime_s_of)
        if anew:
            self.take_made()  # before the door was bound: dismissed
        self.door.watch(self._pump.inbox, self._pump.wakeup)
        self.forget_ticket_keys()
        if self.ids is not None:
            self.door.ids(self.ids.secrets, self.ids.life, self._ahead_s)

    def publish(self) -> None:
        """Take what waits at the door, and send it if it is due."""
        while self._pump.push(self._push_waiting):
            if not self.door:
                return
        with self._pump.quietly:
            due_at = self.take_made()
        self._pump.published(due_at)
        with self._pump.quietly:
            self._collecting.plan(self.clock(), self._ahead_s, looks=False)

    def publish_due(self, ready: list[ReadyPush] | None = None) -> bool:
        """Do as `publish` does, for the pump, and return whether there is something to send. The pump holds the lock,
        and sends what is added to `ready` before anything else; without that, all goes by the core's queues.
        """
        pushed = False
        while ready is not None:
            push = self._collecting.push(self.clock(), self._ahead_s, self.withheld, looks=True)
            if push is None:
                break
            ready.append(push)
            pushed = True
            if not self.door:
                return False
        some = self.take_made() < _NEVER
        self._collecting.plan(self.clock(), self._ahead_s, looks=some or pushed)
        return some

    def _push_waiting(self) -> ReadyPush | None:
        return self._collecting.push(self.clock(), self._ahead_s, self.withheld, looks=False)

    def take_made(self) -> float:
        """File what waits at the door, and return when the core wants to send. With the lock held."""
        return self._collecting.take(self.clock(), self._ahead_s, self.withheld)

    def settle(self) -> None:
        """Take over what the door has counted. With the lock held."""
        if self.door is not None:
            self._core.looked_up(self.name, FoundAtDoor(*self.door.counts()))
            self.settle_tickets()

    def unread(self, more: bool) -> None:
        """Note whether the transport may hold messages that its descriptor doesn't tell of."""
        if self.door is not None:
            self.door.unread(more)

    def made_here(self, token: int) -> bool:
        return self.tokens.outcome(token) is Outcome.LOCAL

    def created(self, session_id: bytes, der: bytes, token: int, client_certificate: bool, tls_version: int) -> None:
        """File and publish a session. A renewal inherits its lineage's birth, and lives no longer than the lineage."""
        if not self._open:
            self._say_why()
            return
        lifetime_s = self._lifetime_s_of[tls_version >= _TLS13]
        born_at = self.tokens.born_at(token) if token else None
        with self._lock:
            now = self.clock()  # with the lock held, like every `now`: the core's time never runs backwards
            if born_at is not None:
                lifetime_s = min(lifetime_s, born_at + self._lineage_s - now)
                if lifetime_s <= 0:
                    return  # the next handshake is a full one, with which a new lineage begins
            if self.withheld.on:
                self.withheld.add(Made(session_id, der, born_at, client_certificate, now + lifetime_s))
                return
            due_at = self._core.session_created(
                self.name,
                session_id,
                der,
                now,
                born_at=born_at,
                client_certificate=client_certificate,
                lifetime_s=lifetime_s,
            )
        self._pump.published(due_at)

    def withhold(self, *, on: bool) -> None:
        """Hold back what is made from now on, or no more: on the thread of the handshake that it is about."""
        if not self._open:
            return
        with self._lock:
            self.take_made()
            if on:
                self.withheld.begin()
            else:
                self.withheld.end()

    def keep(self, session_id: bytes) -> None:
        """File and publish a session that was held back, with the others of its handshake; nothing if it wasn't."""
        if not self._open:
            return
        with self._lock:
            due_at = min(map(self._file_withheld, self.withheld.take_all(session_id)), default=float("inf"))
        self._pump.published(due_at)

    def forget(self, session_id: bytes) -> None:
        """Forget a session here; one that was held back, with the others of its handshake."""
        if not self._open:
            return
        with self._lock:
            self.take_made()
            if not self.withheld.take_all(session_id):
                self._core.session_removed(self.name, session_id)

    def _file_withheld(self, made: Made | None) -> float:
        now = self.clock()
        if made is None or not self._open or made.ends_at <= now:
            return float("inf")
        return self._core.session_created(
            self.name,
            made.id,
            made.der,
            now,
            born_at=made.born_at,
            client_certificate=made.client_certificate,
            lifetime_s=made.ends_at - now,
        )

    def find(self, session_id: bytes) -> tuple[bytes, int] | Verdict | None:
        """Return a session that may resume now. Before it is a miss, read what the mesh has delivered already."""
        if not self._open:
            self._say_why()
            return None
        session, outcome, verdict = self._look(session_id)
        if session is None and verdict is _ALLOWED:
            self._pump.read_what_is_here()
            session, outcome, verdict = self._look(session_id)
        if session is None or outcome is None:
            return None if verdict is _ALLOWED else verdict
        if self._may_resume is not None:
            if not self._may_resume(self.name, session, outcome is Outcome.LOCAL, self.clock()):
                return Verdict.OWN_POLICY
            if self._look(session_id).session is None:  # withdrawn, or ended, while the policy was asked
                return None
        return session.der, self.tokens.pack(outcome, session.stream.origin, session.born_at)

    def consumed(self, session_id: bytes, /) -> None:
        """Forget a session here, and tell its other holders, at once if nothing was told just now."""
        if self._open:
            with self._lock:
                self.take_made()
                self._core.consuming.consumed(self.name, session_id, self.clock())
                due_at = self._core.consuming.due_at
            self._pump.published(due_at)

    def _look(self, session_id: bytes) -> Lookup:
        with self._lock:
            if self.door is not None:
                self.take_made()
            if session_id in self.withheld:
                self._file_withheld(self.withheld.take(session_id))
            found = self._core.lookup(self.name, session_id, self.clock(), counts=False)
            if found.session is not None and found.outcome is not None and self._may_resume is None:
                self._allow(found.session, found.outcome)
            return found

    def _allow(self, session: Session, outcome: Outcome) -> None:
        """Tell the door that sessions of this stream may resume: the rest it sees itself. With the lock held."""
        generation = 0 if self.door is None else self.door.generation()
        if self.door is not None and generation:
            low = self.tokens.stream_bits(outcome, session.stream.origin)
            self.door.allow(self._core.stream_of(session), generation, low)

    def unusable(self, session_id: bytes, reason: Verdict) -> None:
        if self._open:
            with self._lock:
                self._core.session_unusable(self.name, session_id, reason, self.clock(), counted=False)

    def hit(self, token: int) -> None:
        if self._open:
            with self._lock:
                self._core.lookup_ended(self.name, self.tokens.outcome(token))

    def missed(self, foreign: bool = False) -> None:
        if self._open:
            with self._lock:
                self._core.looked_up(self.name, FoundAtDoor(miss=not foreign, foreign=foreign))

    def lookup_refused(self, reason: Verdict) -> None:
        if self._open:
            with self._lock:
                self._core.lookup_refused(self.name, reason)

    def session_refused(self, reason: Verdict) -> None:
        if self._open:
            with self._lock:
                self._core.session_refused(self.name, reason)

    def removed(self, session_id: bytes) -> None:
        """Note a session that OpenSSL dropped. Takes no lock: a garbage collection may call it with the lock held."""
        if self._open:
            self._removed.append(session_id)
            self._pump.wake()

    def take_removed(self) -> None:
        """Forget what was noted as removed. For the pump, which calls it with the lock held."""
        if self._removed:
            self.take_made()
        while self._removed:
            self._core.session_removed(self.name, self._removed.popleft())

    def now(self) -> float:
        return self.clock()

    def born_at(self, token: int) -> float | None:
        return self.tokens.born_at(token)

    def full(self) -> None:
        if self._open:
            self._core.handshake(self.name, "full")

    def hit_not_resumed(self) -> None:
        if self._open:
            with self._lock:
                self._core.hit_not_resumed(self.name)

    def fault(self, where: str) -> None:
        """Count it, and put the first of each kind in the log."""
        self.faults[where] += 1
        if self.faults[where] == 1:
            log.error("VIP %s: a fault in the %s callback, a miss: %s", self.name, where, shown(sys.exception()))

    def _say_why(self) -> None:
        why, self._why = self._why, ""
        if why:
            log.error("VIP %s: nothing resumes here: %s", self.name, why)
