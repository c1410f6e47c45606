"""What is kept of live policies, and what holds of it where several processes of one server have kept something.

A server that went from one process to several, or back, has files of both times. Nothing that was set is lost by that:
what the mesh was told is merged in its own order, what was set for the server alone by the number of its change. Reads
and writes nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from meshcache.config import Settings
from meshcache.core.control.live_policies import ENTRIES_MAX, GROUP, KEYS_MAX, VIP, by_need, newest_entries
from meshcache.core.values.topology import VIPS_MAX
from meshcache.core.wire.messages import LiveEntry
from meshcache.live_policy.values import stricter

_T = TypeVar("_T")

NodeValues = dict[str, dict[str, str]]
"""Text by VIP and key."""

Numbers = Mapping[str, Mapping[str, int]]
"""The number of the last change of each, by VIP and key, also where that took it back."""


class Kept(NamedTuple):
    """What is kept: the mesh's live policies as this node knows them, and this node's own values by VIP and key."""

    live: list[LiveEntry]
    node: NodeValues
    numbers: Numbers = MappingProxyType({})
    """Of this node's own values; what has none is before all numbers."""
    of_01: bool = False
    """Whether version 0.1 wrote it, which numbers no changes: see `dated`."""

    @property
    def highest(self) -> int:
        """The highest number of a change of this node's own values; 0 when there was none."""
        return max((number for keys in self.numbers.values() for number in keys.values()), default=0)


def concerns(file: Settings) -> frozenset[tuple[str, str]]:
    """Return the VIPs and share groups that a node with this file serves, each with what it is."""
    return frozenset({(VIP, vip.name) for vip in file.vips} | {(GROUP, vip.group) for vip in file.vips})


def dated(kept: Kept, older: Iterable[Kept]) -> Kept:
    """Return what version 0.1 wrote with numbers for its values: those that each had in the files that were `older` by
    then. Where these say otherwise the stricter value holds, since nobody knows which was set later; and a change since
    is one since. What has numbers of its own is returned as it is.
    """
    if not kept.of_01:
        return kept
    before = list(older)
    numbers: dict[str, dict[str, int]] = {}
    for vip, key in _slots(kept):
        number = max((_number(each, vip, key) for each in before), default=0)
        if number:
            numbers.setdefault(vip, {})[key] = number
    return kept._replace(numbers=numbers, of_01=False)


def merged(own: Kept, other: Kept, colo: str) -> Kept:
    """Return what holds when another process of this server kept something too: of each value the last change, and
    where that can't be told the stricter one, since nothing may be shared more widely because of how a server is run.
    That may be more than there is room for: see `bounded`.
    """
    node = {vip: dict(values) for vip, values in own.node.items()}
    numbers = {vip: dict(values) for vip, values in own.numbers.items()}
    for vip, key in _slots(other):
        own_number, number = _number(own, vip, key), _number(other, vip, key)
        mine, theirs = own.node.get(vip, {}).get(key, ""), other.node.get(vip, {}).get(key, "")
        if number == own_number:
            theirs = stricter(key, mine, theirs, colo)
        if number >= own_number:
            node.setdefault(vip, {})[key] = theirs
        if number > own_number:
            numbers.setdefault(vip, {})[key] = number
    live = newest_entries([*own.live, *other.live])
    return Kept(live, {vip: kept for vip, values in node.items() if (kept := _set(values))}, numbers)


def bounded(kept: Kept, ours: Collection[tuple[str, str]]) -> Kept:
    """Return as much of it as a file may have and a start takes in: what concerns `ours` first, then values before the
    numbers of those that were taken back, then the latest changes.
    """

    def need_of_vip(vip: str) -> tuple[bool, bool, int, str]:
        latest = max(kept.numbers.get(vip, {}).values(), default=0)
        return (VIP, vip) in ours, bool(kept.node.get(vip)), latest, vip

    def first_keys(vip: str, keys: Mapping[str, _T]) -> dict[str, _T]:
        known, values = kept.numbers.get(vip, {}), kept.node.get(vip, {})
        order = sorted(keys, key=lambda key: (key in values, known.get(key, 0), key), reverse=True)
        return {key: keys[key] for key in sorted(order[:KEYS_MAX])}

    def first_vips(vips: Mapping[str, Mapping[str, _T]]) -> dict[str, dict[str, _T]]:
        order = sorted((vip for vip in vips if vips[vip]), key=need_of_vip, reverse=True)
        return {vip: first_keys(vip, vips[vip]) for vip in sorted(order[:VIPS_MAX])}

    live = kept.live if len(kept.live) <= ENTRIES_MAX else newest_entries(by_need(kept.live, ours)[:ENTRIES_MAX])
    return Kept(live, first_vips(kept.node), first_vips(kept.numbers))


def taken_over(before: Kept, after: Kept) -> list[str]:
    """Return in words what came to hold, or to hold no more, by a merge."""
    found = [
        f"{entry.key} of {entry.scope} {entry.name}: {entry.value or 'taken back'}"
        for entry in after.live
        if entry not in before.live
    ]
    for vip, key in sorted({*_slots(before), *_slots(after)}):
        was, value = before.node.get(vip, {}).get(key, ""), after.node.get(vip, {}).get(key, "")
        if was != value:
            found.append(f"{key} of vip {vip}, set for this server alone: {value or f'{was} taken back'}")
    return found


def _slots(kept: Kept) -> Iterator[tuple[str, str]]:
    for vip in sorted(kept.node.keys() | kept.numbers.keys()):
        for key in sorted(kept.node.get(vip, {}).keys() | kept.numbers.get(vip, {}).keys()):
            yield vip, key


def _number(kept: Kept, vip: str, key: str) -> int:
    return kept.numbers.get(vip, {}).get(key, 0)


def _set(values: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in values.items() if text}
