"""Who isn't heard here, or doesn't hear this node, and why: said when it begins and again while it goes on, in words.

Counts and reports; refuses nobody itself.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from meshcache.core.values.drops import Drop
from meshcache.core.values.events import EventLog, PeerRefused, RefusedByPeer

REFUSALS_MAX = 256
"""Remembered, each by node, reason and side; the longest silent goes first."""

REPEAT_S = 600.0
"""Between two reports of one refusal that goes on."""

RECENT_S = 600.0
"""A refusal that hasn't happened for so long is over."""


class Anomaly(StrEnum):
    """What is wrong with a node although nothing of its was dropped; the values are words for an operator."""

    UNREACHED = "unreached"
    FORGED_NAME = "forged_name"


Reason: TypeAlias = Drop | Anomaly

WORDS: dict[Reason, tuple[str, str]] = {
    Drop.OTHER_MESH: ("is in a mesh of another name, with our key", "make mesh.name equal if it should be one mesh"),
    Drop.OTHER_VERSION: ("speaks another major version of the protocol", "bring all nodes to versions that meet"),
    Drop.NAME_TAKEN: ("bears the name of another node that lives", "give each node a node.name of its own"),
    Drop.OLD_INCARNATION: (
        "speaks as an earlier life of its name than is known: its clock went back, or two processes share the name",
        "it numbers its life anew by itself; if it goes on, look for a second process with its name",
    ),
    Drop.COLO_CHANGED: ("changed its colo while it ran", "two processes may share the name: give each its own"),
    Drop.PEERS_FULL: ("finds no room: there are as many peers as a node can have", "make the mesh smaller"),
    Drop.TOO_HEAVY: ("tells more of its VIPs than there is memory for", "serve fewer VIPs, or shorter lists of colos"),
    Drop.OURSELVES: (
        "is a copy of this very node, with its name and its life",
        "give each node a node.name of its own",
    ),
    Drop.UNKNOWN_SENDER: ("speaks without having said who it is", "it may have missed our hello; see its own log"),
    Drop.CONNECTION_NAME: ("speaks under two names on one connection", "look for who has the mesh key and shouldn't"),
    Drop.NOT_SENT: (
        "takes no messages: no link to it comes up, or it doesn't read",
        "see its log, and the network between",
    ),
    Anomaly.UNREACHED: (
        "is in the roster of other nodes of this colo, and isn't reached from here, nor this node from there",
        "open its mesh address to this node, or this node's to it, unless it has ended; others pass on sessions",
    ),
    Drop.TICKET_KEY_WEAK: (
        "hands out a ticket key that could be guessed",
        "no version of meshcache makes such keys: look for who has the mesh key and shouldn't",
    ),
    Drop.TICKET_KEY_FOREIGN: (
        "hands out ticket keys of a border that it or this node isn't in, or one key for two",
        "it should stop when both know each other's terms; if it goes on, look for who has the mesh key and shouldn't",
    ),
    Drop.TICKET_KEY_OLD: (
        "hands out ticket keys that are over or were withdrawn",
        "it may have been cut off; if it goes on, look at its log",
    ),
    Drop.UNASKED_PULL: (
        "answers fetches that nobody made, or long ago",
        "it may have been stopped for a while; if it goes on, look for who has the mesh key and shouldn't",
    ),
    Drop.FOREIGN_PULL: (
        "answers fetches with something else than was asked for",
        "no version of meshcache does: look for who has the mesh key and shouldn't",
    ),
    Drop.POISONED_PULL: (
        "answers fetches with sessions that OpenSSL can't use",
        "look at its version and its OpenSSL; if others' sessions work, look for who has the mesh key and shouldn't",
    ),
    Drop.PULL_REFUSED: (
        "asks for sessions of a VIP that it doesn't say it serves",
        "it should stop when its newest terms are known here; if it goes on, look at its log",
    ),
    Anomaly.FORGED_NAME: (
        "was told something in this node's name that this node never said",
        "look for a second process with this name, or for who has the mesh key and shouldn't",
    ),
}
"""By reason: what about a node, and what to do. Others are shown as they are: a peer of another version has more."""

_BY_TEXT = {reason.value: reason for reason in WORDS}


@dataclass(slots=True)
class _Refusal:
    node: str
    address: str
    reason: str
    by_peer: bool
    began_at: float
    last_at: float
    said_at: float | None = None
    count: int = 0


class Refusals:
    """All refusals that go on, by node, reason and side."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._known: OrderedDict[tuple[str, str, bool], _Refusal] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(self, node: str, address: str, reason: Reason, now: float, *, patience_s: float = 0.0) -> bool:
        """Note that something of a node was refused here. Return whether it was said now.

        With `patience_s` it is said only when it has gone on for so long: each restart brings some for a moment.
        """
        return self._note(node, address, reason, now, by_peer=False, patience_s=patience_s)

    def note_by_peer(self, node: str, address: str, reason: str, now: float) -> bool:
        """Note that a peer says it refused something of ours, for a reason that is its own. Return whether it was said
        now.
        """
        return self._note(node, address, reason, now, by_peer=True, patience_s=0.0)

    def to_plain(self, now: float) -> list[dict[str, Any]]:
        """Return what was said and isn't over, newest last, with what to do about it."""
        return [
            {
                "node": each.node,
                "address": each.address,
                "reason": each.reason,
                "by_peer": each.by_peer,
                "count": each.count,
                "last_s": round(now - each.last_at, 3),
                "text": words(each.reason)[0],
                "do": words(each.reason)[1],
            }
            for each in self._known.values()
            if each.said_at is not None and now - each.last_at <= RECENT_S
        ]

    def _note(self, node: str, address: str, reason: str, now: float, *, by_peer: bool, patience_s: float) -> bool:
        key = (node, reason, by_peer)
        known = self._known.get(key)
        if known is None or now - known.last_at > max(RECENT_S, patience_s):
            known = self._known[key] = _Refusal(node, address, reason, by_peer, now, now)
        self._known.move_to_end(key)
        if len(self._known) > REFUSALS_MAX:
            self._known.popitem(last=False)
        if patience_s and now - known.last_at > 2 * patience_s:
            known.began_at = now  # it had stopped
        known.last_at, known.count, known.address = now, known.count + 1, address or known.address
        if now - known.began_at < patience_s or (known.said_at is not None and now - known.said_at < REPEAT_S):
            return False
        known.said_at = now
        kind = RefusedByPeer if by_peer else PeerRefused
        self._events.add(kind(now, node, known.address, reason))
        return True


def words(reason: str) -> tuple[str, str]:
    """Return a reason in words, and what to do."""
    known = _BY_TEXT.get(reason)
    return (reason.replace("_", " "), "see its log") if known is None else WORDS[known]
