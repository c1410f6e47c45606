"""The keys of one ring on one node: what may come in, which one encrypts, which ones open, and when each is wiped.

Knows no peer and sends nothing. Whatever leaves is overwritten first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from meshcache.core.values.drops import Drop
from meshcache.core.values.limits import Limits
from meshcache.core.values.ticket_key import (
    ROTATE_S_MAX,
    ROTATE_S_MIN,
    TICKET_LIFETIME_S_MAX,
    TicketKey,
    weakness,
)
from meshcache.core.wire.ticket_messages import KEYS_MAX, HeldKey, ToldKey

JUMP_MAX = 1 << 20
"""How far ahead of all known keys a key's number may be: two years of one a minute. Without it one member's message
with the highest number there is would be the last key ever."""

_REMEMBERED_MAX = 256
"""Fingerprints of wiped keys, so that nobody brings one back with a younger age."""

PUSHED_OUT_MAX = 2048
"""Births of keys that went and may come back, with no younger age: past a withdraw, say. More than one node can push
out at once (`Limits.ticket_keys_burst`)."""

_BIRTH_OFF_S_MAX = 60.0
"""By how much a key may be older than it was said to be at first: what its message waited on the way. Each node takes
the oldest birth that it hears within that. For as long after it came, that can prove it to be withdrawn."""

_BIRTH_STEP_S = 0.1
"""A birth moves by no less: edges hear of each move, and clocks that run apart would move it with every message. Ages
of tickets are held against whole seconds."""

_DRIFT = 2e-4
"""By how much two clocks run apart, as for withdraws of sessions."""

_OVER_S = 60.0
"""A key that is told so shortly after its end, by a node whose clock runs behind, is no offence."""


@dataclass(slots=True)
class Ring:
    """One border's keys, highest first. ``vips`` are served here in it; ``shared`` is false where reach keeps all on
    this server. ``turns_since`` is when ``rotate_s`` changed last. ``ended_at``: keys made up to then were withdrawn.
    ``empty_since`` is when it had no key for the first time, ``current`` the key that encrypts: it may be over, so ask
    `encrypting`. ``pushed_out`` counts the keys that went for want of room.
    """

    id: bytes
    group: str
    vips: frozenset[str]
    shared: bool
    rotate_s: float
    lifetime_s: float
    limits: Limits
    empty_since: float
    keys: list[TicketKey] = field(default_factory=list)
    current: TicketKey | None = None
    ended_at: float = float("-inf")
    top: int = 0
    pushed_out: int = 0
    turns_since: float = float("-inf")
    learned_at: dict[bytes, float] = field(default_factory=dict)
    _first_birth: dict[bytes, float] = field(default_factory=dict)
    _wiped: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _born_at: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    # --- times

    def turns_at(self, key: TicketKey) -> float:
        """Return when the key after this one is to be made: the stricter of its maker's time and this node's."""
        return key.born_at + min(key.rotate_s, self.rotate_s)

    def encrypts_until(self, key: TicketKey) -> float:
        """Return until when this key may encrypt, though no next one came."""
        return key.born_at + key.rotate_s + self.limits.ticket_overrun_s

    def opens_until(self, key: TicketKey) -> float:
        """Return until when tickets of this key can be within their lifetime; then it is wiped."""
        return self.encrypts_until(key) + key.lifetime_s

    def encrypting(self, now: float) -> TicketKey | None:
        """Return the key to encrypt with now; None: no tickets are given."""
        return self.current if self.current is not None and now < self.encrypts_until(self.current) else None

    def next_end(self) -> float:
        """Return when the next key has to be wiped."""
        return min(map(self.opens_until, self.keys), default=float("inf"))

    # --- keys

    def find(self, name: bytes) -> TicketKey | None:
        """Return the key of this name, if it is here."""
        return next((key for key in self.keys if key.name == name), None)

    def unused(self) -> list[bytes]:
        """Return the names of the keys above the one that encrypts."""
        at = self.keys.index(self.current) if self.current is not None else len(self.keys)
        return [key.name for key in self.keys[:at]]

    def held(self, now: float) -> tuple[HeldKey, ...]:
        """Return what a status says of it."""
        return tuple(HeldKey(key.generation, key.name, _age_ms(key, now)) for key in self.keys)

    def told(self, key: TicketKey, now: float) -> ToldKey:
        """Return the key as it travels."""
        return ToldKey(key.generation, key.reveal(), _age_ms(key, now), int(key.rotate_s), int(key.lifetime_s))

    def age_heard(self, name: bytes, age_ms: int, now: float) -> TicketKey | None:
        """Somebody knows a key to be so old. Messages are late and never early, so the oldest birth is the truest.

        Return the key when that is news, for edges to hear of; it is wiped if it proves older than a withdraw. That
        counts only while the key is young here, when it is its message that was late: afterwards it is this node's
        clock that stood still (a paused VM, a suspend), and the key stays above the withdraw.
        """
        key = self.find(name)
        if key is None:
            return None
        born_at = max(now - age_ms / 1000, self._first_birth[name] - _BIRTH_OFF_S_MAX)
        apart_s = 2 * _DRIFT * max(now - born_at, 0.0)  # for a key that lives for days: what clocks do proves nothing
        young = now - self.learned_at[name] <= _BIRTH_OFF_S_MAX
        withdrawn = young and born_at + apart_s <= self.ended_at
        if not young:
            born_at = max(born_at, self.ended_at + _BIRTH_STEP_S)
        if not withdrawn and born_at > key.born_at - _BIRTH_STEP_S:
            return None
        key.born_by(born_at)
        if withdrawn:
            self._drop([key], now, may_come_back=True)  # if it is the withdraw that turns out to be older
        return key

    def take(self, told: ToldKey, now: float) -> Drop | bool:
        """Keep a key that a node of the ring tells of. Return why not, or whether it is news."""
        reason = self._objection(told)
        if reason is not None:
            return reason
        born_at = now - told.age_ms / 1000
        key = TicketKey(self.id, told.secret, told.generation, born_at, told.rotate_s, told.lifetime_s)
        known = self.find(key.name)
        if known is not None:
            key.wipe()
            self.age_heard(known.name, told.age_ms, now)
            return False
        key.born_by(self._born_at.get(key.fingerprint(), born_at))
        reason = self._too_late(key, now)
        if reason is not None:
            key.wipe()
            return reason if now < self.opens_until(key) or now > self.opens_until(key) + _OVER_S else False
        self.put(key, now)
        return True

    def put(self, key: TicketKey, now: float) -> None:
        """Keep a key. Where there are as many as a ring keeps, the one that `_first_out` says goes for it."""
        if len(self.keys) >= KEYS_MAX:
            self._drop([self._first_out()], now, may_come_back=True)
            self.pushed_out += 1
        self.keys.append(key)
        self.keys.sort(key=lambda each: each.rank, reverse=True)
        self.learned_at[key.name] = now
        self._first_birth[key.name] = key.born_at
        self.top = max(self.top, key.generation)

    def expire(self, now: float) -> int:
        """Wipe the keys that open nothing any more. Return how many those were."""
        over = [key for key in self.keys if self.opens_until(key) <= now]
        self._drop(over, now)
        return len(over)

    def end(self, ended_at: float, now: float) -> int:
        """Wipe the keys that were made up to a withdraw, and take none like them again. Return how many those were.

        Nor those that went before and are remembered: by a lie about the withdraw's age they would be younger than it.
        """
        self.ended_at = max(self.ended_at, ended_at)
        for fingerprint, born_at in self._born_at.items():
            if born_at <= self.ended_at:
                self._born_at[fingerprint] = float("-inf")
        over = [key for key in self.keys if key.born_at <= self.ended_at]
        self._drop(over, now)
        return len(over)

    def wipe(self, now: float) -> int:
        """Wipe all keys: the ring isn't served here any more. Return how many those were."""
        count = len(self.keys)
        self._drop(list(self.keys), now)
        return count

    def _objection(self, told: ToldKey) -> Drop | None:
        if weakness(told.secret) is not None:
            return Drop.TICKET_KEY_WEAK
        times_fit = ROTATE_S_MIN <= told.rotate_s <= ROTATE_S_MAX and 1 <= told.lifetime_s <= TICKET_LIFETIME_S_MAX
        if not times_fit or not 0 < told.generation <= self.top + JUMP_MAX:
            return Drop.TICKET_KEY_JUMP
        return None

    def _too_late(self, key: TicketKey, now: float) -> Drop | None:
        """Return why a key that isn't here can't come in any more, or again."""
        ended_at = self.ended_at + _DRIFT * (now - self.ended_at) if self.ended_at > float("-inf") else self.ended_at
        if self.opens_until(key) <= now or key.born_at <= ended_at or key.fingerprint() in self._wiped:
            return Drop.TICKET_KEY_OLD
        full = len(self.keys) >= KEYS_MAX and key.rank < self._first_out().rank
        return Drop.TICKET_KEYS_FULL if full else None

    def _first_out(self) -> TicketKey:
        """Return the key that goes where there is no room: the lowest, which encrypted longest ago, but never the one
        that encrypts. It is the same on all nodes of a ring, so that they end with the same keys.
        """
        return next(key for key in reversed(self.keys) if key is not self.current)

    def _drop(self, over: list[TicketKey], now: float, *, may_come_back: bool = False) -> None:
        for key in over:
            if may_come_back:
                self._born_at[key.fingerprint()] = key.born_at
            else:
                self._wiped[key.fingerprint()] = None
            self.keys.remove(key)
            del self.learned_at[key.name], self._first_birth[key.name]
            if key is self.current:
                self.current = None
            key.wipe()
        while len(self._wiped) > _REMEMBERED_MAX:
            self._wiped.popitem(last=False)
        while len(self._born_at) > PUSHED_OUT_MAX:
            self._born_at.popitem(last=False)
        if over and not self.keys:
            self.empty_since = now


def _age_ms(key: TicketKey, now: float) -> int:
    return max(int((now - key.born_at) * 1000), 0)
