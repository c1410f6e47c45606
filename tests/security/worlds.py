"""Small meshes in memory with real handshakes: the node's own VIPs, ports, pumps and cores, joined by lists of bytes.

Everything between OpenSSL and the transport is what runs in a server; only sockets and time are not. `World.settle`
lets the mesh have as much time as it needs, so what doesn't resume was not allowed to.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import trustme

from meshcache import AttachError, Settings
from meshcache.core.mesh import MeshCore
from meshcache.core.values.topology import Identity
from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.runtime.contexts.attaching import InForce
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.vip_ports.origin_tokens import Tokens
from meshcache.runtime.vip_ports.ports import Ports
from tests.security.oracle import Coming, Node, Vip, may_attach
from tests.tls.world import (
    TLS_ERRORS,
    Visit,
    ask_clients,
    authority,
    bare_context,
    client_context,
    give_certificate,
    visit,
)

SETTLE_S = 3.0
"""Of the world's own time: a hello, a roster and a push on both sides of a colo's border take under two seconds."""


class Clock:
    """Moves when the world is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Wire:
    """What a pump needs of a transport, over one list for each address."""

    def __init__(self, address: str, inboxes: dict[str, list[tuple[bytes, bytes]]]) -> None:
        self._address = address.encode()
        self._inboxes = inboxes
        self.inbox = inboxes.setdefault(address, [])

    def send(self, address: str, payload: bytes) -> bool:
        self._inboxes[address].append((self._address, payload))
        return True

    def way_back(self, address: str, connection: bytes) -> None:
        """Every address is reached without one here."""

    def try_receive(self, count: int) -> list[tuple[bytes, bytes]]:
        taken = self.inbox[:count]
        del self.inbox[:count]
        return taken


class Member:
    """One node, with a context for each of its VIPs; those that may not be served are in ``refused``."""

    def __init__(self, node: Node, address: str, clock: Clock, inboxes: dict[str, list[tuple[bytes, bytes]]]) -> None:
        self.node = node
        self.wire = Wire(address, inboxes)
        identity = Identity("test", node.name, 1, node.colo, address, "0")
        ports = Ports()
        self.core = MeshCore(identity, rng=Random(node.name), now=clock.now, edge=ports)
        self.pump = Pump(self.core, self.wire, clock, lambda _events: None, ports)  # type: ignore[arg-type]
        self.vips = AttachedVips(settings(node), self.pump, Tokens(clock.now), ports)
        self.contexts: dict[str, Any] = {}
        self.refused: list[str] = []
        for vip in node.vips:
            self._attach(vip)

    def change(self, node: Node) -> None:
        """Other policies, with the contexts that are there."""
        self.node = node
        self.vips.reload(InForce(settings(node)))

    def step(self, clock: Clock) -> bool:
        """What a pump does in one turn; False when nothing is due now."""
        taken = self.wire.try_receive(10_000)
        for connection, payload in taken:
            self.core.receive(connection, payload, clock.now)
        due = self.core.next_deadline() <= clock.now
        if due:
            self.core.handle_timer(clock.now)
        for message in self.core.messages_to_send(clock.now):
            self.wire.send(message.address, message.payload)
        return bool(taken)

    def turned_away(self) -> list[str]:
        """Why sessions of others were not let in: a gate at their sender should have kept each of them.

        Except those with a client certificate where their own VIP lets them go: a sender doesn't know who takes them.
        And those under a name of no certificate's, which were made here and not kept.
        """
        stats = self.core.stats(self.pump.clock())
        reasons = [reason for vip in stats["vips"].values() for reason in vip["sessions"]["refused"]]
        dropped = [reason for reason in stats["gossip"]["dropped"] if reason == "refused"]
        return dropped + [reason for reason in reasons if reason not in ("client_certificate", "name_class")]

    def close(self) -> None:
        self.vips.close()
        self.pump.close()

    def _attach(self, vip: Vip) -> None:
        context = context_of(vip)
        beside = [other for other in self.node.vips if other.name in self.contexts]
        try:
            self.vips.attach(context, vip.name, "keep")
        except AttachError:
            assert not may_attach(vip, beside)
            self.refused.append(vip.name)
        else:
            assert may_attach(vip, beside)
            self.contexts[vip.name] = context


class World:
    """All members, met."""

    def __init__(self, nodes: list[Node]) -> None:
        self.clock = Clock()
        self._inboxes: dict[str, list[tuple[bytes, bytes]]] = {}
        addresses = {node.name: f"{node.name}:7946" for node in nodes}
        self.members = [Member(node, addresses[node.name], self.clock, self._inboxes) for node in nodes]
        for member in self.members:
            for name in addresses.keys() - {member.node.name}:
                member.core.candidate(addresses[name], "seed", self.clock.now)
        self.settle()

    def servers(self) -> list[tuple[Member, Vip]]:
        """Each VIP of each member that is really served."""
        return [(member, vip) for member in self.members for vip in member.node.vips if vip.name in member.contexts]

    def settle(self) -> None:
        """Let the mesh have its time."""
        end = self.clock.now + SETTLE_S
        while True:
            while sum(member.step(self.clock) for member in self.members):
                pass  # until none has taken anything in
            deadline = min(member.core.next_deadline() for member in self.members)
            if deadline > end:
                break
            self.clock.now = max(deadline, self.clock.now + 0.001)
        self.clock.now = end

    def come(self, member: Member, vip: Vip, coming: Coming, client: Any, session: Any = None) -> Visit | None:
        """A client comes, and says hello and goodbye; None when the handshake fails."""
        with suppress(*TLS_ERRORS):
            return visit(member.contexts[vip.name], client, name=coming.name, session=session)
        return None

    def close(self) -> None:
        for member in self.members:
            member.close()


def client_for(coming: Coming) -> Any:
    certificate = None if coming.certificate is None else _client_certificate(coming.certificate)
    return client_context(coming.version, certificate)


@cache
def _client_certificate(ca: str) -> trustme.LeafCert:
    return authority(ca).issue_cert("client@example.test")


@cache
def certificate_of(names: tuple[str, ...], which: int) -> trustme.LeafCert:
    """Certificates for the same names that differ in their key and number."""
    assert which >= 0
    return authority().issue_cert(*names)


def context_of(vip: Vip) -> Any:
    context = bare_context(vip.kind, None if vip.floor == "1.2" else vip.floor)
    give_certificate(context, certificate_of(*vip.certificate))
    if vip.asks is not None:
        ask_clients(context, required=vip.asks == "required", ca=vip.trusts)
    return context


def settings(node: Node) -> Settings:
    vips = [_plain(vip) for vip in node.vips]
    mesh = {"name": "test", "key_file": "/none", "listen": "127.0.0.1:0", "mdns": False}
    return Settings.model_validate(
        {"node": {"name": node.name, "colo": node.colo, "state_dir": str(Path("/none"))}, "mesh": mesh, "vip": vips}
    )


def _plain(vip: Vip) -> dict[str, Any]:
    sharing: dict[str, Any] = {
        "reach": list(vip.reach) if isinstance(vip.reach, tuple) else vip.reach,
        "bind": vip.bind,
        "client_certificates": "revalidate" if vip.revalidate else "never",
    }
    if vip.group is not None:
        sharing["group"] = vip.group
    return {"name": vip.name, "names": list(vip.listed), "sharing": sharing}
