"""Sessions to what a tier keeps, and back: sealed on the way out, and believed nothing on the way in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from meshcache.core.replication.leaving_sessions import LeavingSession, LeavingSessions
from meshcache.core.wire.tier_record import Border, RecordReader, TierRecord, TierRecordError
from meshcache.edges import native
from meshcache.edges.keyring import Keyring
from meshcache.hooks import TierEntry
from meshcache.tiers.sealed_entries import SealedEntries
from meshcache.tiers.sealing import Sealer, SealError

AHEAD_S = 60
"""What was made later than now, by so much, is from another time: this machine's clock went back."""


_YIELD = 8
"""Sessions that are sealed before others may run: 0.05 ms."""


class RefusedError(Exception):
    """What lies in a tier isn't what it should be; ``reason`` is a word to count it by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SealedRecords:
    """Writes and reads one node's sealed records with the keys that it has now, on any thread."""

    def __init__(self, sealer: Sealer, unix_clock: Callable[[], float] = time.time) -> None:
        self.sealer = sealer
        self._reader = RecordReader()
        self._clock = unix_clock

    @classmethod
    def of(cls, keyring: Keyring, mesh: str) -> SealedRecords:
        """Return those of a mesh: every node of it can open what one has sealed."""
        return cls(Sealer([key.tier for key in keyring.in_order], mesh))

    def entries(self, leaving: Sequence[LeavingSession]) -> list[TierEntry]:
        """Return what to keep of these sessions, letting others run in between.

        A thread that only computes keeps the interpreter for five milliseconds, and a handshake needs it several times.
        """
        found = []
        for at, each in enumerate(leaving):
            if at % _YIELD == 0:
                native.sleep(0)
            found.append(self.entry(each))
        return found

    def entry(self, leaving: LeavingSession) -> TierEntry:
        """Return what to keep of a session."""
        key = self.sealer.key_of(leaving.border, leaving.session_id)
        value = self.sealer.seal(key, leaving.record, self.sealer.tag_of(leaving.border))
        return TierEntry(key, value, leaving.lasts_s)

    def many(self, leaving: LeavingSessions) -> SealedEntries:
        """Return what to keep of many, sealed while the interpreter runs others."""
        return SealedEntries(self.sealer.seal_many(leaving.border, leaving.records), len(leaving.records))

    def again(self, key: bytes, value: bytes, record: TierRecord, border: Border) -> TierEntry:
        """Return what to keep in place of a value that an older key sealed."""
        tag = self.sealer.tag_of(border)
        lasts_s = record.expires_unix - self._clock()
        return TierEntry(key, self.sealer.seal(key, self.sealer.open(key, value, tag), tag), lasts_s)

    def read(self, key: bytes, value: bytes, border: Border) -> TierRecord:
        """Return the session that lies under `key`, within this border. Raises RefusedError."""
        try:
            record = self._reader.read(self.sealer.open(key, value, self.sealer.tag_of(border)), border)
        except SealError as error:
            raise RefusedError(error.reason) from None
        except TierRecordError:
            raise RefusedError("record") from None
        if self.sealer.key_of(border, record.session_id) != key:
            raise RefusedError("record")
        if record.born_unix > self._clock() + AHEAD_S:
            raise RefusedError("clock")
        return record

    def by_tag(self, borders: Iterable[Border]) -> Mapping[bytes, Border]:
        """Return these borders by what values say that are for them."""
        return {self.sealer.tag_of(border): border for border in borders}

    def is_fresh(self, value: bytes, by_tag: Mapping[bytes, Border]) -> bool:
        """Return whether a value says that it is for one of these borders, and sealed with today's key."""
        if not self.sealer.is_current(value):
            return False
        try:
            return self.border_in(value, by_tag) is not None
        except RefusedError:
            return False

    def border_in(self, value: bytes, by_tag: Mapping[bytes, Border]) -> Border | None:
        """Return which of these borders a value says that it is for; None for none of them. Raises RefusedError."""
        try:
            return by_tag.get(self.sealer.tag_in(value))
        except SealError as error:
            raise RefusedError(error.reason) from None
