"""One VIP's door between OpenSSL's callbacks and the node: microseconds, no waiting, and no exception of the mesh's.

Implements `tls.port.SessionPort`. Runs on the threads that do handshakes, while OpenSSL waits.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter, deque
from typing import TYPE_CHECKING

from meshcache.config import VipSettings
from meshcache.core.policy.gates import Verdict
from meshcache.core.values.session import LIFETIME_S_MAX_TLS12, LIFETIME_S_MAX_TLS13, Outcome
from meshcache.runtime.origin_tokens import Tokens
from meshcache.runtime.pump import Pump
from meshcache.runtime.tracing import shown

if TYPE_CHECKING:
    from meshcache.hot import Door

REMOVED_MAX = 4096
"""Removals that wait for the pump; it takes them within milliseconds. Above it the oldest sessions just stay."""

_TLS13 = 0x0304

_ALLOWED = Verdict.ALLOWED

log = logging.getLogger("meshcache.tls")


class VipPort:
    """The sessions of one VIP, as its contexts see them. `close` turns it into one that finds and keeps nothing."""

    def __init__(self, vip: VipSettings, pump: Pump, tokens: Tokens) -> None:
        self._pump = pump
        self._core = pump.core
        self._lock = pump.lock
        self._clock = pump.clock
        self._tokens = tokens
        self._removed: deque[bytes] = deque(maxlen=REMOVED_MAX)
        self._lifetime_s_of = (0.0, 0.0)
        self._open = True
        self._why = ""
        self.name = vip.name
        self.door: Door | None = None
        self.faults: Counter[str] = Counter()
        self.configure(vip)

    def configure(self, vip: VipSettings) -> None:
        """Take over what may change while the node runs."""
        self._lineage_s = vip.sharing.lineage_s
        self._lifetime_s_of = (
            min(vip.sharing.lifetime_s, LIFETIME_S_MAX_TLS12),
            min(vip.sharing.lifetime_s, LIFETIME_S_MAX_TLS13),
        )
        self.allows_client_certificates = vip.sharing.client_certificates == "revalidate"

    def close(self, why: str = "") -> None:
        """From now on every lookup is a miss and nothing is kept: the node ends, or this is a fork of its process.

        `why` goes to the log at the first handshake that notices.
        """
        self._open = False
        self._why = why

    def publish(self) -> None:
        """Send on what waits at the door."""

    def made_here(self, token: int) -> bool:
        return self._tokens.outcome(token) is Outcome.LOCAL

    def created(self, session_id: bytes, der: bytes, token: int, client_certificate: bool, tls_version: int) -> None:
        """File and publish a session. A renewal inherits its lineage's birth, and lives no longer than the lineage."""
        if not self._open:
            self._say_why()
            return
        lifetime_s = self._lifetime_s_of[tls_version >= _TLS13]
        born_at = self._tokens.born_at(token) if token else None
        with self._lock:
            now = self._clock()  # with the lock held, like every `now`: the core's time never runs backwards
            if born_at is not None:
                lifetime_s = min(lifetime_s, born_at + self._lineage_s - now)
                if lifetime_s <= 0:
                    return  # the next handshake is a full one, with which a new lineage begins
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

    def find(self, session_id: bytes) -> tuple[bytes, int] | None:
        """A session that may resume now. Before it is called a miss, what the mesh has delivered already is read."""
        if not self._open:
            self._say_why()
            return None
        with self._lock:
            session, outcome, verdict = self._core.lookup(self.name, session_id, self._clock(), final=False)
        if session is None and verdict is _ALLOWED:
            self._pump.read_what_is_here()
            with self._lock:
                session, outcome, _ = self._core.lookup(self.name, session_id, self._clock())
        if session is None or outcome is None:
            return None
        return session.der, self._tokens.pack(outcome, session.stream.origin, session.born_at)

    def unusable(self, session_id: bytes, reason: Verdict) -> None:
        if self._open:
            with self._lock:
                self._core.session_unusable(self.name, session_id, reason, self._clock())

    def lookup_refused(self, reason: Verdict) -> None:
        if self._open:
            with self._lock:
                self._core.lookup_refused(self.name, reason)

    def session_refused(self, reason: Verdict) -> None:
        if self._open:
            with self._lock:
                self._core.session_refused(self.name, reason)

    def removed(self, session_id: bytes) -> None:
        """Only noted: a garbage collection can call this while this very thread holds the lock."""
        if self._open:
            self._removed.append(session_id)
            self._pump.wake()

    def take_removed(self) -> None:
        """Forget what was noted as removed. For the pump, which calls it with the lock held."""
        while self._removed:
            self._core.session_removed(self.name, self._removed.popleft())

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
