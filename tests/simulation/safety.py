"""Watches every message and every step: no session goes to, or is on, a node where today's policies forbid it.

Reads messages with cbor2 alone and asks `truth`; trusts nothing that the core says of itself except what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cbor2

from tests.simulation.host import Host
from tests.simulation.network import Flight
from tests.simulation.truth import SLACK_S, Made
from tests.simulation.world import World

HELLO, PUSH, FILL = 1, 7, 9
"""Kinds of message, by their numbers in `docs/protocol.md`."""

ID_BYTES = 32


class ViolationError(AssertionError):
    """Something that must never be; says what, where and when."""


def kind(payload: bytes) -> int:
    """The number of a message's kind: the first item of its array of four, and below 24."""
    return payload[1] if payload[:1] == b"\x84" else -1


class Safety:
    """Raises `ViolationError` at the step that breaks the rule."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._truth = world.truth
        self._read: tuple[bytes, tuple[bytes, ...]] = (b"", ())
        self.checked = 0
        self.late_s = SLACK_S
        """How far past its end a session may resume: what is left of it is counted from when a node reads of it."""

    def sent(self, host: Host, address: str, payload: bytes) -> None:
        """A node sends: whoever gets sessions must be allowed them, as far as the sender can know."""
        if kind(payload) not in (PUSH, FILL):
            return
        receiver = address.partition(":")[0]
        if receiver not in self._world.hosts and session_ids(payload):
            raise ViolationError(
                f"at {self._world.now:.3f} s: {host.name} sent sessions to {receiver}, who may have none"
            )
        knows = host.told.get(receiver, 0)
        for session in self._sessions(payload):
            told = host.version if session.node == host.name else host.told.get(session.node, 0)
            if self._world.hosts[receiver].is_own(session.node, session.incarnation):
                raise self._violation("sent back to its maker", host.name, session)
            if not self._truth.may_hold(session, told, receiver, knows):
                raise self._violation(f"sent by {host.name} to a node that may not have it,", receiver, session)

    def received(self, host: Host, flight: Flight) -> None:
        """A node has read a message: what it holds now must be allowed."""
        number = kind(flight.payload)
        if number in (PUSH, FILL):
            for session in self._sessions(flight.payload):
                known = host.lives_heard.get(session.node, (0, 0))  # a life is known by its sessions too
                host.lives_heard[session.node] = max((session.incarnation, 0), known)
                if any(host.core.holds(vip, session.id) for vip in self._policy(host)):
                    self._judge(host, session)
        elif number == HELLO and self._is_newest(host, flight) and host.told.get(flight.sender, 0) < flight.note:
            host.told[flight.sender] = flight.note
            self.scan(host)

    def _is_newest(self, host: Host, flight: Flight) -> bool:
        """Whether a hello is its sender's own, and not older than the newest that this node heard in its name.

        The sender of another is told so, and says it again as a later life; what others say in its name, it outbids.
        """
        _, name, life, hello = cbor2.loads(flight.payload)
        age = (life, hello["e"][4])  # record in docs/protocol.md: the revision
        latest = host.lives_heard[name] = max(age, host.lives_heard.get(name, (0, 0)))
        return bool(age == latest and name == flight.sender)

    def changed(self, host: Host) -> None:
        """A node has another policy: that holds at once for all it has."""
        self.scan(host)

    def scan(self, host: Host) -> None:
        """Judge all that a node holds."""
        for vip in self._policy(host):
            for session_id in host.core.session_ids(vip):
                self._judge(host, self._truth.sessions[session_id])

    def resumed(self, host: Host, vip: str, session_id: bytes, der: bytes) -> None:
        """A lookup gave a session for OpenSSL to resume."""
        session = self._truth.sessions[session_id]
        served = self._policy(host)[vip]
        if der != session.der:
            raise self._violation("resumed with another DER", host.name, session)
        if (served.group, served.settings) != (session.group, session.settings):
            raise self._violation(f"resumed on VIP {vip} of another group or with other settings", host.name, session)
        if self._world.now > session.expires_at + self.late_s + 0.01 * (session.expires_at - session.made_at):
            raise self._violation("resumed after its end", host.name, session)
        self._judge(host, session)

    def _judge(self, host: Host, session: Made) -> None:
        self.checked += 1
        if host.is_own(session.node, session.incarnation):
            return  # its own: it may always keep it
        told = host.version if session.node == host.name else host.told.get(session.node, 0)
        if not self._truth.may_hold(session, told, host.name, host.version):
            raise self._violation("held by a node that may not have it,", host.name, session)

    def _policy(self, host: Host) -> Any:
        return self._truth.policies[host.name][host.version]

    def _sessions(self, payload: bytes) -> Iterator[Made]:
        if self._read[0] is not payload:
            self._read = (payload, session_ids(payload))
        return map(self._truth.sessions.__getitem__, self._read[1])

    def _violation(self, what: str, node: str, session: Made) -> ViolationError:
        return ViolationError(
            f"at {self._world.now:.3f} s: a session of {session.node}#{session.incarnation} VIP {session.vip} "
            f"made at {session.made_at:.3f} s was {what} {node}"
        )


def session_ids(payload: bytes) -> tuple[bytes, ...]:
    """The ids that a push or fill carries."""
    joined = cbor2.loads(payload)[3].get("k", b"")
    return tuple(joined[at : at + ID_BYTES] for at in range(0, len(joined), ID_BYTES))
