"""Tells other holders which sessions are here that they are to hold too: collects numbers by peer and stream, and puts
them into messages. Chooses nobody; `copy_telling` and `relay_retention` do.
"""

from __future__ import annotations

from meshcache.core.state.members import Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import HELD_SEQS_MAX, HELD_STREAMS_MAX, Held, Holding


class HoldingMessages:
    """The numbers that other holders are told in one go: `note` each, then `send` all of them."""

    def __init__(self) -> None:
        self._shares: dict[str, tuple[Peer, dict[StreamKey, set[int]]]] = {}

    def note(self, peer: Peer, key: StreamKey, seq: int) -> None:
        """Tell a peer of a session, by its number in its stream."""
        self._shares.setdefault(peer.name, (peer, {}))[1].setdefault(key, set()).add(seq)

    def send(self, outbox: Outbox) -> None:
        """Queue messages for all that was noted."""
        for peer, held in self._shares.values():
            in_order = [(key, tuple(sorted(seqs))) for key, seqs in held.items()]
            rows = [
                Held(key, seqs[at : at + HELD_SEQS_MAX])
                for key, seqs in in_order
                for at in range(0, len(seqs), HELD_SEQS_MAX)
            ]
            for at in range(0, len(rows), HELD_STREAMS_MAX):
                outbox.send(peer.address, Holding(tuple(rows[at : at + HELD_STREAMS_MAX])))
