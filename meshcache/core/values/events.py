"""What happened, for an operator's eyes: frozen facts in the past tense, kept in a bounded list until they are read."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from meshcache.records import record

EVENTS_MAX = 1024
"""Kept until somebody reads them; the oldest go first. The node reads after each step."""


@record
class PeerJoined:
    """A peer's hello was accepted: it is new here, came back, or has a new incarnation."""

    at: float
    node: str
    colo: str
    address: str
    incarnation: int


@record
class PeerSuspect:
    """Nothing was heard of a peer for the suspicion time."""

    at: float
    node: str


@record
class PeerRecovered:
    """A suspect peer was heard again."""

    at: float
    node: str


@record
class PeerLost:
    """A peer was silent for so long that this node goes on without it; an opinion that is never passed on."""

    at: float
    node: str


@record
class PeerLeft:
    """A peer said that it is going."""

    at: float
    node: str


@record
class PeerForgotten:
    """A peer was lost for so long that its place in the tables was given back."""

    at: float
    node: str


@record
class PeerRefused:
    """A node was turned away, or what it says isn't heard; said when it begins, and now and then while it goes on."""

    at: float
    node: str
    address: str
    reason: str


@record
class RefusedByPeer:
    """A node turned this one away; ``address`` is where the node is that has what this one may not have, if it says."""

    at: float
    node: str
    address: str
    reason: str


@record
class NameContested:
    """Two processes that live say that they are the same node: one at ``address``, which is heard, one at ``other``."""

    at: float
    node: str
    address: str
    other: str


@record
class IncarnationRaised:
    """This node goes on as a later life of its name, since another was told of one; ``why`` is in words."""

    at: float
    incarnation: int
    why: str


@record
class IslandFound:
    """A peer serves the same share group with settings that differ, so the two exchange none of its sessions.

    ``differs`` names them with both values, as far as the peer tells.
    """

    at: float
    node: str
    group: str
    differs: str = ""


@record
class IslandGone:
    """A peer that was an island for a share group is none any more."""

    at: float
    node: str
    group: str


@record
class LoopStalled:
    """This node's own timers came late; it gives all peers that much more time before it suspects them."""

    at: float
    stalled_s: float


@record
class SnapshotFinished:
    """This node has caught up with a peer's cache after it joined, or stopped trying."""

    at: float
    source: str
    sessions: int
    complete: bool


@record
class SessionsRecalled:
    """Copies were removed because today's terms no longer allow them here."""

    at: float
    vip: str
    sessions: int


@record
class SessionsWithdrawn:
    """A withdraw took effect here."""

    at: float
    issuer: str
    scope: str
    sessions: int


@record
class PolicyChanged:
    """Somebody, here or elsewhere, set or took back values of a VIP's or group's policy; this is its version now."""

    at: float
    scope: str
    name: str
    version: int
    author: str
    change: str


@record
class TicketKeyMade:
    """This node made the next ticket key of a share group's ring."""

    at: float
    group: str
    generation: int


@record
class TicketKeyInUse:
    """From now on this node encrypts a ring's tickets with another key; ``without`` names nodes that didn't have
    it in time: clients that return to them shake hands in full until they do.
    """

    at: float
    group: str
    generation: int
    without: str = ""


@record
class TicketKeysWiped:
    """Ticket keys of a share group were wiped here: they are over, withdrawn, or for a border that isn't served now."""

    at: float
    group: str
    keys: int
    why: str


@record
class TicketKeysExported:
    """Ticket keys were given to a server of another kind, or to an operator; ``keys`` are names, ``to`` says whom."""

    at: float
    vip: str
    to: str
    keys: str


@record
class TicketExportFailed:
    """A server of another kind couldn't be given its ticket keys; said at each try, which become rarer."""

    at: float
    vip: str
    to: str
    why: str


@record
class HookFaulted:
    """A hook of the operator's raised, was slow or couldn't be loaded; each kind of fault is said once a minute, of a
    tier once an hour.
    """

    at: float
    hook: str
    hook_kind: str
    what: str
    why: str


@record
class ContextChanged:
    """A program changed a setting of a context after it had joined a VIP; said once for each setting."""

    at: float
    vip: str
    setting: str


Event: TypeAlias = (
    PeerJoined
    | PeerSuspect
    | PeerRecovered
    | PeerLost
    | PeerLeft
    | PeerForgotten
    | PeerRefused
    | RefusedByPeer
    | NameContested
    | IncarnationRaised
    | IslandFound
    | IslandGone
    | LoopStalled
    | SnapshotFinished
    | SessionsRecalled
    | SessionsWithdrawn
    | PolicyChanged
    | TicketKeyMade
    | TicketKeyInUse
    | TicketKeysWiped
    | TicketKeysExported
    | TicketExportFailed
    | HookFaulted
    | ContextChanged
)


class EventLog:
    """Events that nobody has read yet."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)

    def add(self, event: Event) -> None:
        self._events.append(event)

    def drain(self) -> list[Event]:
        """Return all events since the last call, oldest first."""
        events = list(self._events)
        self._events.clear()
        return events
