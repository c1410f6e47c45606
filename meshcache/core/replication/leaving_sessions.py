"""Sessions on their way to the tiers: one as Python has it, or many that Python never sees.

Values only: what leaves and when is `Tiering`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from meshcache.core.wire.tier_record import Border


class LeavingSession(NamedTuple):
    """A session for the tiers: where it belongs, its bytes, how long it is good, whether memory has it no more, and
    whether it stays on this server (reach "server"), so that no tier may have it that others read.
    """

    border: Border
    session_id: bytes
    record: bytes
    lasts_s: float
    evicted: bool
    stays: bool

    def __repr__(self) -> str:
        return f"<LeavingSession {self.border.group}>"


class Records(Protocol):
    """Records of sessions that Python never sees: the compiled module's."""

    def __len__(self) -> int: ...

    def add(self, session_id: bytes, record: bytes, lasts_s: float) -> None:
        """Add one that is written already."""

    def add_from(
        self,
        table: object,
        ids: Sequence[bytes],
        stream: int,
        origin: bytes,
        epoch: float,
        now: float,
        unix_offset: float,
        lifetime_s: float,
        lasts_min_s: float,
        certified: bool,
    ) -> None:
        """Write those of these ids that are in a table, as this stream's, and are to leave."""

    def add_named(
        self,
        table: object,
        names: bytes,
        first_seq: int,
        stream: int,
        origin: bytes,
        epoch: float,
        now: float,
        unix_offset: float,
        lifetime_s: float,
        lasts_min_s: float,
        certified: bool,
    ) -> None:
        """Do the same by names, of entries whose numbers follow on one another."""

    def wipe(self) -> None:
        """Forget them."""


class LeavingSessions(NamedTuple):
    """Sessions of one border for the tiers, as `LeavingSession` is one."""

    border: Border
    records: Records
    evicted: bool
    stays: bool

    def __repr__(self) -> str:
        return f"<LeavingSessions {self.border.group}: {len(self.records)}>"
