"""Turns the core's events into log lines and into the list that operators read; bounded, in order, without secrets."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import fields
from threading import Lock
from typing import Any

from meshcache.core.state.refusals import words
from meshcache.core.values.events import Event, IslandFound, PeerForgotten, PeerJoined, SnapshotFinished, TicketKeyInUse

KEPT_MAX = 1000
"""Events that can be read later: hours of a quiet mesh; a colo that restarts makes some hundred."""

COLOS_MAX = 4096
"""Nodes whose colo is remembered for the events about them; as many as the core knows of."""

log = logging.getLogger("meshcache.mesh")

_WARNINGS = {
    "PeerSuspect",
    "PeerLost",
    "PeerRefused",
    "RefusedByPeer",
    "NameContested",
    "IncarnationRaised",
    "IslandFound",
    "LoopStalled",
    "HookFaulted",
    "ContextChanged",
    "TicketExportFailed",
}

_TEXTS = {
    "PeerJoined": "{node} ({colo}) joined at {address}",
    "PeerSuspect": "{node} ({colo}) suspect: nothing heard",
    "PeerRecovered": "{node} ({colo}) heard again",
    "PeerLost": "{node} ({colo}) lost",
    "PeerLeft": "{node} ({colo}) left",
    "PeerForgotten": "{node} ({colo}) forgotten",
    "PeerRefused": "{node}{at_address} isn't heard here: it {words}",
    "RefusedByPeer": "{node} doesn't hear this node, which {words}{at_address}",
    "NameContested": "two processes say that they are {node}: one at {address}, which is heard, and one at {other}",
    "IncarnationRaised": "this node goes on as life {incarnation} of its name: {why}",
    "IslandFound": "{node} ({colo}) is an island for group {group}: its settings differ, so its sessions stay apart",
    "IslandGone": "{node} ({colo}) is no island for group {group} any more",
    "LoopStalled": "this node stalled for {stalled_s:.1f} s and suspects nobody for it",
    "SnapshotFinished": "caught up with {source}: {sessions} sessions",
    "SessionsRecalled": "{sessions} sessions of VIP {vip} removed: today's policy does not allow them here",
    "SessionsWithdrawn": "{sessions} sessions withdrawn ({scope}) by {issuer}",
    "PolicyChanged": "policy of {scope} {name} is now version {version}: {change} (set on {author})",
    "TicketKeyMade": "made ticket key {generation} of group {group}",
    "TicketKeyInUse": "ticket key {generation} of group {group} encrypts from now on",
    "TicketKeysWiped": "{keys} ticket keys of group {group} wiped: {why}",
    "TicketKeysExported": "ticket keys of VIP {vip} given to {to}: {keys}",
    "TicketExportFailed": "ticket keys of VIP {vip} are not with {to}: {why}",
    "ContextChanged": "{setting} of a context of VIP {vip} was changed after it joined: sessions are bound to what it "
    "was; set it before, or attach the context again",
    "HookFaulted": "{hook_kind} hook {hook}: {what}: {why}; it is counted, and not said again for a while",
}


class EventList:
    """The newest events, numbered from 1. Threads may share it."""

    def __init__(self, node: str, colo: str, started_at: float) -> None:
        self._own = (node, colo)
        self._started_at = started_at
        self._lock = Lock()
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT_MAX)
        self._count = 0
        self._colo_of: dict[str, str] = {}

    def take(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """Keep and log what happened; return it as it is kept."""
        taken = []
        for event in events:
            entry = self._entry(event)
            with self._lock:
                self._count += 1
                kept = {"seq": self._count, **entry}
                self._kept.append(kept)
            taken.append(kept)
            log.log(logging.WARNING if entry["level"] == "warning" else logging.INFO, "%s", entry["text"])
        return taken

    def since(self, seq: int) -> list[dict[str, Any]]:
        """Return the events that are kept and have a higher number, oldest first."""
        with self._lock:
            return [entry for entry in self._kept if entry["seq"] > seq]

    def _entry(self, event: Event) -> dict[str, Any]:
        kind = type(event).__name__
        values = {field.name: _clean(getattr(event, field.name)) for field in fields(event)}
        node, colo = self._about(event, values)
        if "reason" in values:
            values["words"] = _clean(words(str(values["reason"]))[0])
            values["at_address"] = f" (at {values['address']})" if values["address"] else ""
        return {
            "at_s": round(event.at - self._started_at, 3),
            "kind": kind,
            "level": "warning" if kind in _WARNINGS else "info",
            "node": node,
            "colo": colo,
            "text": _text(event, kind).format(**{"node": node, "colo": colo, **values}),
        }

    def _about(self, event: Event, values: dict[str, Any]) -> tuple[str, str]:
        """Return the member an event is about and its colo: this node, where the event names none."""
        if "node" not in values:
            return self._own
        node = str(values["node"])
        if isinstance(event, PeerJoined) and (node in self._colo_of or len(self._colo_of) < COLOS_MAX):
            self._colo_of[node] = event.colo
        colo = self._colo_of.get(node, "unknown")
        if isinstance(event, PeerForgotten):
            self._colo_of.pop(node, None)
        return node, colo


def _text(event: Event, kind: str) -> str:
    if isinstance(event, SnapshotFinished) and not event.complete:
        return "stopped catching up with {source} after {sessions} sessions; repair does the rest"
    if isinstance(event, TicketKeyInUse) and event.without:
        return _TEXTS[kind] + ", though it isn't known that these have it: {without}"
    if isinstance(event, IslandFound) and event.differs:
        return _TEXTS[kind] + ": {differs}"
    return _TEXTS.get(kind, kind)


def _clean(value: object) -> object:
    """Return a peer's words as one line without control characters: they end up in terminals."""
    return "".join(c if c.isprintable() else "?" for c in value) if isinstance(value, str) else value
