"""Remembers ids that were used up, so that no copy that is still on its way makes one good again."""

from __future__ import annotations

from collections.abc import Sequence


class ConsumedIds:
    """Ids that aren't taken in for a while, in two generations: adding one takes no more than two looks into dicts, and
    they end by the generation. An id is its share group's: what members of one say is nothing to another. Each is kept
    for `lasts_s` at least and twice that at most, unless more than half of `ids_max` come in that time: then the older
    half goes sooner, and nothing else does.
    """

    def __init__(self, ids_max: int, lasts_s: float, now: float) -> None:
        self._half_max = ids_max // 2
        self._lasts_s = lasts_s
        self._turns_at = now + lasts_s
        self._newer: dict[bytes, str] = {}  # the VIP whose handshake here used it up; empty: that was elsewhere
        self._older: dict[bytes, str] = {}
        self.forgotten = 0
        """Ids that went before their time, since too many came."""

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def used_here(self, group: str, session_id: bytes) -> str | None:
        """Return the VIP whose handshake on this node used an id up; empty: it was used up elsewhere; None: it isn't
        remembered at all.
        """
        key = _prefix(group) + session_id
        return self._newer.get(key, self._older.get(key))

    def add(self, group: str, session_id: bytes, now: float, *, here: str) -> None:
        """Take nothing more under this id. `here` is the VIP whose handshake on this node used it up, which stays
        noted; empty for one of another node's.
        """
        before = self.used_here(group, session_id) or ""
        if now >= self._turns_at or len(self._newer) >= self._half_max:
            self._turn(now)
        self._newer[_prefix(group) + session_id] = here or before

    def places(self, group: str, ids: Sequence[bytes]) -> list[int]:
        """Return the indices of those ids that are used up."""
        if not self:
            return []
        prefix, newer, older = _prefix(group), self._newer, self._older
        return [at for at, each in enumerate(ids) if (key := prefix + each) in newer or key in older]

    def by_group(self) -> dict[str, list[bytes]]:
        """Return all that are remembered, those of each share group from the oldest to the newest."""
        groups: dict[str, list[bytes]] = {}
        for key in (*self._older, *self._newer):
            prefix, _, session_id = key.partition(b"\0")
            groups.setdefault(prefix.decode(), []).append(session_id)
        return groups

    def expire(self, now: float) -> None:
        """Let go of those whose time is over."""
        if now >= self._turns_at:
            self._turn(now)

    def _turn(self, now: float) -> None:
        if now < self._turns_at:
            self.forgotten += len(self._older)
        late = now >= self._turns_at + self._lasts_s  # nobody looked for two generations
        self._older, self._newer = ({} if late else self._newer), {}
        self._turns_at = now + self._lasts_s


def _prefix(group: str) -> bytes:
    return group.encode() + b"\0"
