"""Finds nodes of which something newer is known here than they say themselves, and tells them, so that they outbid it.

A copy of a node, or a member that lies, may have spoken in its name while it wasn't linked here. It doesn't hear of
that by itself, and whatever is newer than its own terms keeps its sessions away from here.
"""

from __future__ import annotations

from collections.abc import Callable

from meshcache.core.state.members import Members, PeerState
from meshcache.core.state.roster import RosterTable
from meshcache.core.values.topology import NodeRecord

_LOOK_S = 5.0
"""Between two looks; each goes once through all streams."""

_PATIENCE_S = 8.0
"""A restart, or new terms, may be known from sessions before the colo's roster tells of them: no reason to speak."""

Ages = Callable[[], dict[str, tuple[int, int]]]
"""What is known of each name: the latest (incarnation, revision)."""

Tell = Callable[[str, int, float], None]
"""An address, the latest life known of who is there, and now."""


class SupersededLives:
    """Looks now and then for nodes of which something newer is known here than they say, and tells them."""

    def __init__(self, ages: Ages, members: Members, roster: RosterTable, tell: Tell, now: float) -> None:
        self._ages = ages
        self._members = members
        self._roster = roster
        self._tell = tell
        self._look_at = now + _LOOK_S
        self._since: dict[str, float] = {}
        self._heard: dict[str, str] = {}  # the colo of each node that was heard at the last look

    def sweep(self, now: float) -> None:
        """Tell whoever has been behind for a while."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        heard = {peer.name: peer.colo for peer in self._members if peer.state is PeerState.ALIVE}
        for colo in {colo for node, colo in self._heard.items() if node not in heard}:
            self._roster.ask_anew(colo)
        self._heard = heard
        behind: dict[str, float] = {}
        for node, age in self._ages().items():
            record = self._says(node)
            if record is None or record.age >= age:
                continue
            behind[node] = self._since.get(node, now)
            if now - behind[node] >= _PATIENCE_S:
                self._tell(record.address, age[0], now)
        self._since = behind

    def _says(self, node: str) -> NodeRecord | None:
        """Return what a node says of itself, as far as it or its colo is heard."""
        peer = self._members.get(node)
        heard = peer is not None and peer.state is PeerState.ALIVE
        return peer.record if peer is not None and heard else self._roster.find(node)
