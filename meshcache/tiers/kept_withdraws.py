"""Keeps the withdraws in force in the tiers, sealed, so that a restart doesn't bring back what was withdrawn before it.

A node that has peers hears of them again; one that is alone, or comes back before its peers, has only this.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from struct import Struct
from struct import error as StructError  # noqa: N812 - as errors are named

from meshcache.core.control.withdraws import REMEMBERED_S
from meshcache.core.wire.codec import Decoder, WireError, encode
from meshcache.core.wire.messages import Withdraw
from meshcache.hooks import TIER_VALUE_BYTES_MAX, TierEntry
from meshcache.runtime.pump.pump import Pump
from meshcache.tiers.runner import TierRunner
from meshcache.tiers.sealed_records import SealedRecords
from meshcache.tiers.sealing import OVERHEAD_BYTES, SealError

PIECES_MAX = 256
"""A withdraw of many sessions takes a few kB, and there are 256 at most (`Limits.withdraws_max`). No more than the
entries of one `Tier.put`."""

_HEAD = Struct("<IH")
"""When it was written, in seconds since 1970, and how many pieces there are."""

_LENGTH = Struct("<H")

_PIECE_BYTES = TIER_VALUE_BYTES_MAX - OVERHEAD_BYTES - _HEAD.size


class KeptWithdraws:
    """Those of one node. They lie under keys made of its name, a few kB each."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._acts = 0
        self._known_places: list[bytes] = []

    def store_again(self) -> None:
        """Store them once more, for the key has changed."""
        self._acts = -1

    def changed(self, pump: Pump) -> list[Withdraw] | None:
        """Return all that are in force when there is one that isn't kept yet; else None."""
        with pump.lock:
            withdraws = pump.core.withdraws
            acts, known = withdraws.acts, withdraws.in_force(pump.clock())
        if acts == self._acts:
            return None
        self._acts = acts
        return known

    def entries(self, known: Sequence[Withdraw], records: SealedRecords) -> list[TierEntry]:
        """Return what to keep of them."""
        pieces = list(_pieces([encode(self._node, 0, withdraw) for withdraw in known]))[:PIECES_MAX]
        head = _HEAD.pack(int(time.time()), len(pieces))
        places = [self._place(records, at) for at in range(len(pieces))]
        sealed = [records.sealer.seal(key, head + piece) for key, piece in zip(places, pieces, strict=True)]
        return [TierEntry(key, value, REMEMBERED_S) for key, value in zip(places, sealed, strict=True)]

    def load(self, runner: TierRunner, records: SealedRecords, pump: Pump) -> None:
        """Remember what a tier has of them; on its writing thread. What can't be understood is counted."""
        at, count = 0, 1
        while at < min(count, PIECES_MAX):
            key = self._place(records, at)
            value = runner.get([key]).get(key)
            if value is None:
                return
            try:
                plain = records.sealer.open(key, value)
                written_at, count = _HEAD.unpack_from(plain)
                withdraws = list(_withdraws(plain[_HEAD.size :]))
            except SealError as error:
                runner.health.count(f"refused_{error.reason}")
                return
            except (StructError, WireError):
                runner.health.count("refused_record")
                return
            self._inherit(withdraws, max(int(time.time()) - written_at, 0), pump)
            at += 1

    def is_place(self, records: SealedRecords, key: bytes) -> bool:
        """Return whether this key is one of theirs."""
        return key in self._places(records)

    def _inherit(self, withdraws: Sequence[Withdraw], since_s: int, pump: Pump) -> None:
        with pump.lock:
            for withdraw in withdraws:
                elapsed_s = withdraw.elapsed_s + since_s
                if elapsed_s < REMEMBERED_S:
                    pump.core.hand_over.take(replace(withdraw, elapsed_s=elapsed_s), pump.clock())

    def _place(self, records: SealedRecords, at: int) -> bytes:
        return self._places(records)[at]

    def _places(self, records: SealedRecords) -> list[bytes]:
        """Keys don't depend on what seals, so they are made once."""
        if not self._known_places:
            key_of = records.sealer.key_of_words
            self._known_places = [key_of("withdraws", self._node, str(at)) for at in range(PIECES_MAX)]
        return self._known_places


def _pieces(messages: Sequence[bytes]) -> Iterator[bytes]:
    """Join messages, each after its length, to pieces that fit into a value."""
    piece = b""
    for message in messages:
        told = _LENGTH.pack(len(message)) + message
        if piece and len(piece) + len(told) > _PIECE_BYTES:
            yield piece
            piece = b""
        piece += told
    if piece:
        yield piece


def _withdraws(piece: bytes) -> Iterator[Withdraw]:
    decoder, at = Decoder(), 0
    while at < len(piece):
        (length,) = _LENGTH.unpack_from(piece, at)
        at += _LENGTH.size
        message = decoder.decode(piece[at : at + length]).message
        if isinstance(message, Withdraw):
            yield message
        at += length
