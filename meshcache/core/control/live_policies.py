"""Policies that operators set while the mesh runs: every node keeps all of them, merges in one order, passes news on.

One value is a slot: of a VIP or a group, under a key. The entry with the highest (number, author, value) stays in it,
whatever order entries arrive in and however often, so all nodes end with the same. Values are text here: what they
mean, and whether a node's file allows them, is decided where they are applied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import PolicyChanged
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.wire.messages import LIVE_ENTRIES_MAX, LiveEntry, LivePolicyUpdate

VIP, GROUP = "vip", "group"
"""What a policy can be about."""

KEYS_MAX = 16
"""Keys of one VIP or group; today's versions know eight."""

ENTRIES_MAX = 1024
"""Of all VIPs and groups of the mesh: seven keys of 48 VIPs, in three parts of a mesh that have no VIP in common."""

JUMP_MAX = 1 << 20
"""How far ahead of what is known here a number may be; one that is further is cut to that. Operators don't change a
policy a million times while a node is away; without this, one message with the highest number there is would be the
last change ever."""

_TOLD_S = 1.0
"""Between two times that one peer is told everything, however often it asks."""

_TOLD_MAX = 1024

_PER_S, _BURST = 20.0, 512.0
"""News taken in, from all peers together: each costs this node a hello to every peer. What is more comes again with the
next comparison."""

_SHOWN_CHARS = 100


class LiveVersion(NamedTuple):
    """Version of one VIP's or group's policy: the highest number in it, and a hash of all of it, equal where all is."""

    number: int = 0
    digest: bytes = b""


class LivePolicies:
    """All live policies, as one node has them. The outlet is told of news that its author didn't tell."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        outlet: Outlet,
        now: float,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._outlet = outlet
        self._known: dict[tuple[str, str], dict[str, LiveEntry]] = {}
        self._rate = Bucket(_PER_S, _BURST, now)
        self._told: OrderedDict[str, float] = OrderedDict()
        self._digest: bytes | None = None

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    def set(self, scope: str, name: str, values: Mapping[str, str], now: float) -> LiveVersion:
        """Give a VIP or group these values, on every node; empty text takes a value back. Return the new version.

        Raises ValueError when the table is full; nothing has changed then.
        """
        self.set_each(scope, [name], values, now)
        return self.version(scope, name)

    def set_each(self, scope: str, names: Iterable[str], values: Mapping[str, str], now: float) -> None:
        """Give each of these VIPs or groups these values, or none of them: see `set`."""
        about = sorted(set(names))
        if not self.has_room(scope, about, values):
            raise ValueError(f"no more than {ENTRIES_MAX} values, and {KEYS_MAX} for each, can be set in one mesh")
        author, entries = self._local.identity.node, []
        for name in about:
            number = self.version(scope, name).number + 1
            entries += [LiveEntry(scope, name, key, number, author, value) for key, value in sorted(values.items())]
        spared = {(scope, name) for name in about}
        for entry in entries:
            self._put(entry, spared)
        self._happened(entries, now)
        self._send([peer for peer in self._members if peer.usable], entries)

    def has_room(self, scope: str, names: Collection[str], keys: Collection[str]) -> bool:
        """Return whether each of these VIPs or groups can be given values for these keys, all together."""
        new = {name: len(set(keys) - self._known.get((scope, name), {}).keys()) for name in names}
        if any(len(self._known.get((scope, name), {})) + count > KEYS_MAX for name, count in new.items() if count):
            return False
        free = ENTRIES_MAX - len(self)
        foreign = sum(count for name, count in new.items() if not self._is_ours(scope, name))
        return sum(new.values()) <= free or (foreign <= free and sum(new.values()) <= free + self._spare(scope, names))

    def load(self, entries: Iterable[LiveEntry], ours: Collection[tuple[str, str]] = ()) -> None:
        """Take in what an earlier life of this node knew. Tells nobody: the next comparisons do, where it is news.

        `ours` are the VIPs and groups that will be served here; what concerns them is taken in first.
        """
        for entry in by_need(entries, ours):
            if self._is_news(entry) and self.has_room(entry.scope, [entry.name], [entry.key]):
                self._put(entry)

    def entries(self) -> list[LiveEntry]:
        """Return all entries in a fixed order, also those that took a value back."""
        return [known[key] for _, known in sorted(self._known.items()) for key in sorted(known)]

    def values(self, scope: str, name: str) -> dict[str, LiveEntry]:
        """Return what is set for a VIP or group, by key."""
        return {key: entry for key, entry in self._known.get((scope, name), {}).items() if entry.value}

    def author(self, scope: str, name: str) -> str | None:
        """Return the node where a VIP's or group's policy was changed last, be it that a value was taken back."""
        known = self._known.get((scope, name))
        return max(known.values(), key=_rank).author if known else None

    def version(self, scope: str, name: str) -> LiveVersion:
        """Return the version of a VIP's or group's policy on this node."""
        known = self._known.get((scope, name))
        if not known:
            return LiveVersion()
        return LiveVersion(max(entry.number for entry in known.values()), _hash(known[key] for key in sorted(known)))

    def digest(self) -> bytes:
        """Return eight bytes that are equal when two nodes have the same policies; no bytes when there are none."""
        if self._digest is None:
            self._digest = _hash(self.entries()) if self._known else b""
        return self._digest

    def tell(self, peer: Peer, now: float) -> None:
        """Give a peer all of them; not again at once, since anybody can ask."""
        if now - self._told.get(peer.name, now - _TOLD_S) < _TOLD_S:
            return
        self._told[peer.name] = now
        self._told.move_to_end(peer.name)
        if len(self._told) > _TOLD_MAX:
            self._told.popitem(last=False)
        self._send([peer], self.entries())

    def received(self, peer: Peer, live: LivePolicyUpdate, now: float) -> None:
        """Take in policies that a peer tells of: keep and pass on what is new; what is old isn't even counted."""
        told = [(entry, self._take(entry, now)) for entry in sorted(live.entries, key=_rank)]
        news = [taken for _, taken in told if taken is not None]
        if not news:
            return
        self._happened(news, now)
        others = [other for other in self._members if other.usable and other.colo != peer.colo]
        self._send(others, news)
        if any(taken is not None and (entry.author != peer.name or taken != entry) for entry, taken in told):
            self._outlet.hearsay_heard(now)

    def _take(self, entry: LiveEntry, now: float) -> LiveEntry | None:
        """Keep an entry if it is news, and say as what. A number that jumps is cut to how far one may: it is in force
        here like everywhere, the other nodes' numbers are reached in steps, and nobody's change is the last one ever.
        """
        if not self._is_news(entry):
            return None
        if not self.has_room(entry.scope, [entry.name], [entry.key]):
            self._telemetry.drop(Drop.LIVE_FULL)
            return None
        if not self._rate.take(1, now):
            self._telemetry.drop(Drop.LIVE_RATE)
            return None
        furthest = self.version(entry.scope, entry.name).number + JUMP_MAX
        if entry.number > furthest:
            self._telemetry.drop(Drop.LIVE_JUMP)
            entry = entry._replace(number=furthest)
        self._put(entry)
        return entry

    def _is_news(self, entry: LiveEntry) -> bool:
        known = self._known.get((entry.scope, entry.name), {}).get(entry.key)
        return known is None or _rank(entry) > _rank(known)

    def _foreign(self, spared: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the VIPs and groups whose values may go for those that concern this node, epochs last: without its own
        a dead session lives again.
        """
        slots = (slot for slot in self._known if slot not in spared and not self._is_ours(*slot))
        return sorted(slots, key=lambda slot: (slot[0] == GROUP, slot))

    def _spare(self, scope: str, names: Iterable[str]) -> int:
        return sum(len(self._known[slot]) for slot in self._foreign({(scope, name) for name in names}))

    def _is_ours(self, scope: str, name: str) -> bool:
        if scope == VIP:
            return self._vips.get(name) is not None
        return scope == GROUP and any(terms.group == name for terms in self._vips.terms)

    def _put(self, entry: LiveEntry, spared: Collection[tuple[str, str]] = ()) -> None:
        """Keep an entry. If all room is taken, values of a VIP or group that doesn't concern this node go for it."""
        if entry.key not in self._known.get((entry.scope, entry.name), {}) and len(self) >= ENTRIES_MAX:
            del self._known[self._foreign(spared)[0]]
        self._known.setdefault((entry.scope, entry.name), {})[entry.key] = entry
        self._digest = None

    def _happened(self, entries: list[LiveEntry], now: float) -> None:
        for scope, name in sorted({(entry.scope, entry.name) for entry in entries}):
            about = [entry for entry in entries if (entry.scope, entry.name) == (scope, name)]
            words = ", ".join(f"{entry.key}={entry.value}" if entry.value else f"no {entry.key}" for entry in about)
            number, authors = self.version(scope, name).number, sorted({entry.author for entry in about})
            self._telemetry.events.add(
                PolicyChanged(now, scope, name, number, ", ".join(authors)[:_SHOWN_CHARS], words[:_SHOWN_CHARS])
            )

    def _send(self, peers: list[Peer], entries: list[LiveEntry]) -> None:
        addresses = [peer.address for peer in peers]
        for at in range(0, len(entries), LIVE_ENTRIES_MAX):
            self._outbox.send_all(addresses, LivePolicyUpdate(tuple(entries[at : at + LIVE_ENTRIES_MAX])))


def newest_entries(entries: Iterable[LiveEntry]) -> list[LiveEntry]:
    """Return of entries that several tables had those that all nodes end with, in a fixed order."""
    newest = {entry[:3]: entry for entry in sorted(entries, key=_rank)}
    return [newest[slot] for slot in sorted(newest)]


def by_need(entries: Iterable[LiveEntry], ours: Collection[tuple[str, str]]) -> list[LiveEntry]:
    """Return entries in the order in which to keep them where there is no room for all: those of `ours`, VIPs and
    groups with what each is, then epochs, since without its own a dead session lives again, then the latest changes.
    """
    return sorted(
        entries,
        key=lambda entry: ((entry.scope, entry.name) in ours, entry.scope == GROUP, _rank(entry)),
        reverse=True,
    )


def _rank(entry: LiveEntry) -> tuple[int, str, str]:
    """Return the one order in which all nodes see changes:
    no clock is asked, and the value settles what the rest can't.
    """
    return entry.number, entry.author, entry.value


def _hash(entries: Iterable[LiveEntry]) -> bytes:
    digest = blake2b(digest_size=8)
    for entry in entries:
        for part in map(str, entry):
            digest.update(f"{len(part)}:{part}".encode())
    return digest.digest()
