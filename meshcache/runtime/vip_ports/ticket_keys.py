"""Turns the core's ticket keys into what handshakes use: one derived key for each purpose, never the secret itself.

`TicketSide` is the part of a VIP's port that is about tickets. The door has a copy of the keys, by which the compiled
callbacks answer what is plain; it is taken away as soon as anything changes, and given anew at the next question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcache.core.mesh import MeshCore
from meshcache.core.policy.gates import Verdict
from meshcache.core.state.counters import KEY_AGES, key_age
from meshcache.core.tickets.ring import Ring
from meshcache.core.values.session import Outcome, Session, StreamKey
from meshcache.core.values.ticket_key import TicketKey
from meshcache.runtime.pump.compiled_sleep import AnyLock
from meshcache.runtime.vip_ports.origin_tokens import Tokens
from meshcache.tls.ticket_keys import EdgeKey, EdgeKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshcache.hot import Door

AES, MAC = "TLS AES-256-CBC", "TLS HMAC-SHA-256"
"""Purposes: what is exported for other servers is derived for others (`ticket_files`)."""


def edge_keys(
    core: MeshCore, vip: str, now: float, lifetimes_s: tuple[float, float], lineage_s: float
) -> EdgeKeys | None:
    """Return a VIP's keys as they are now; None when it has no tickets. With the core's lock held."""
    found = core.tickets.of_vip(vip, now)
    if found is None:
        return None
    opening = {key.name: _edge_key(found.ring, key) for key in found.opening}
    current = None if found.encrypting is None else opening[found.encrypting.name]
    return EdgeKeys(current, opening, core.name, *lifetimes_s, lineage_s)


def _edge_key(ring: Ring, key: TicketKey) -> EdgeKey:
    return EdgeKey(
        key.name,
        key.derive(AES),
        key.derive(MAC),
        key.born_at,
        ring.encrypts_until(key),
        ring.opens_until(key),
        key.lifetime_s,
    )


class TicketSide:
    """What a VIP's port knows of tickets; see `tls.port.SessionPort`. `VipPort` is one, and owns what is asked."""

    name: str
    tokens: Tokens
    door: Door | None
    clock: Callable[[], float]
    _core: MeshCore
    _lock: AnyLock
    _open: bool
    _may_resume: Callable[[str, Session, bool, float], bool] | None
    _lifetime_s_of: tuple[float, float]
    _lineage_s: float
    _ahead_s: float
    _keys: EdgeKeys | None = None
    _keys_version = -1

    @property
    def ticket_keys(self) -> EdgeKeys | None:
        """The keys that the core has now; taken anew when those have changed."""
        if self._keys_version != self._core.tickets.version and self._open:
            with self._lock:
                limits = self._lifetime_s_of, self._lineage_s
                self.use_ticket_keys(edge_keys(self._core, self.name, self.clock(), *limits))
                self._keys_version = self._core.tickets.version
        return self._keys

    def use_ticket_keys(self, keys: EdgeKeys | None) -> None:
        """Use these keys until the core's change. With the lock held, under which that takes them from the door."""
        self._keys = keys
        self._give_door_its_keys()

    def forget_ticket_keys(self) -> None:
        """Ask the core once more at the next ticket: the keys have changed, or what is held against tickets."""
        self._keys_version = -1
        if self.door is not None:
            self.door.drop_tickets()

    def settle_tickets(self) -> None:
        """Take over what the door has counted. With the lock held."""
        issued, *opened = (0,) if self.door is None else self.door.ticket_counts()
        if issued or any(opened):
            counters = self._core.tickets.counters(self.name)
            counters.issued += issued
            for age, count in zip(KEY_AGES, opened, strict=True):
                if count:
                    counters.opened[age] += count

    def ticket_token(self, node: str, born_at: float) -> int:
        """Return the token of a session that a ticket holds."""
        keys = self._keys
        outcome = Outcome.LOCAL if keys is not None and node == keys.node else Outcome.REMOTE
        if self.door is not None:
            self.door.know_maker(node.encode(), self.tokens.stream_bits(outcome, node))
        return self.tokens.pack(outcome, node, born_at)

    def ticket_may_resume(self, node: str, born_at: float, ends_at: float, client_certificate: bool) -> bool:
        """Return what the operator's own policy says, as for a session that was found; the ticket doesn't tell the
        maker's life.
        """
        if self._may_resume is None:
            return True
        session = Session(b"", b"", StreamKey(node, 0, self.name), 0, ends_at, born_at, client_certificate)
        return self._may_resume(self.name, session, node == self._core.name, self.clock())

    def ticket_issued(self) -> None:
        if self._open:  # here and below: in a forked child the lock may be held for ever
            with self._lock:
                self._core.tickets.counters(self.name).issued += 1

    def ticket_opened(self, key_age_s: float) -> None:
        if self._open:
            with self._lock:
                self._core.tickets.counters(self.name).opened[key_age(key_age_s)] += 1

    def ticket_refused(self, reason: Verdict) -> None:
        if self._open:
            with self._lock:
                self._core.tickets.counters(self.name).refused[reason.value] += 1
                self._core.lookup_refused(self.name, reason)

    def ticket_unknown(self) -> None:
        if self._open:
            with self._lock:
                self._core.tickets.counters(self.name).unknown_key += 1

    def _give_door_its_keys(self) -> None:
        """A policy of the operator's is asked about each ticket, so with one the door gets none."""
        keys, ahead_s = self._keys, self._ahead_s
        if self.door is None or self._may_resume is not None or keys is None:
            return
        rows = tuple(
            (
                *(key.name, key.aes, key.mac),
                *(key.born_at - ahead_s, key.encrypts_until - ahead_s, key.opens_until - ahead_s, key.lifetime_s),
            )
            for key in keys.opening.values()
        )
        current = -1 if keys.current is None else list(keys.opening).index(keys.current.name)
        limits = keys.lifetime12_s, keys.lifetime13_s, keys.lineage_s
        self.door.set_tickets(rows, current, keys.node.encode(), *limits, self.tokens.zero - ahead_s)
