"""Clients that use a session up: a node that did, or that was told, doesn't take it again, however it comes back to it.

For as long as nodes remember what was used up; and in the end, on a good network, all who may have one are told.
"""

from __future__ import annotations

from collections.abc import Iterator

import cbor2

from meshcache.core.holders.awaiting import Whereabouts
from meshcache.core.values.session_id import Claim, life_of, node_of
from tests.simulation.host import Host
from tests.simulation.network import Flight
from tests.simulation.safety import ViolationError
from tests.simulation.truth import Made
from tests.simulation.world import World

_CONSUMED = b"\x84\x18\x19"
"""The beginning of a message of this kind: an array of four, and 25."""

_TOLD_S = 1.0
"""On a network without trouble everybody has been told by then."""

_SKEW = 0.99
"""Of the time that is remembered, by the clock of a node: that may run apart."""


class SingleUse:
    """A watcher. ``told`` counts what nodes noted by another's word; ``refused`` what they didn't take again for it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._over: dict[tuple[Host, bytes], float] = {}
        self.told = self.refused = 0

    def sent(self, host: Host, address: str, payload: bytes) -> None:
        """What is told counts where it is heard."""

    def received(self, host: Host, flight: Flight) -> None:
        """A node was told, if it believes who told it: it may be by its terms, or not."""
        if flight.payload.startswith(_CONSUMED):
            said = cbor2.loads(flight.payload)[3]
            for session_id in said["k"]:
                if host.core.duties.consumed.used_here(said["g"], session_id) is not None:
                    self.told += 1
                    self._over.setdefault((host, session_id), self._world.now)

    def changed(self, host: Host) -> None:
        """Says nothing of what was used up."""

    def used(self, host: Host, vip: str, session: Made) -> None:
        """A client resumes with a session, and it is good for no other."""
        self.accepted(host, session)
        self._world.fired("used up")
        session.spoilt = True
        host.core.consuming.consumed(vip, session.id, host.now())
        self._over[host, session.id] = self._world.now
        host.step()

    def accepted(self, host: Host, session: Made) -> None:
        """A lookup gave a session: raise `ViolationError` where this node knew that it was used up."""
        since = self._world.now - self._over.get((host, session.id), float("-inf"))
        if since < self._world.limits.consumed_s * _SKEW:
            raise ViolationError(
                f"at {self._world.now:.3f} s: {host.name} took a session of {session.node} VIP {session.vip} again "
                f"that was used up {since:.3f} s ago, as it knew"
            )

    def judge(self) -> None:
        """With no trouble any more: have a session of each node used up once, and see that nobody takes it again."""
        world = self._world
        made = [(host, vip, world.make(host, vip)) for host in world.alive() for vip in _vips(world, host)]
        world.run(_TOLD_S)
        users: dict[bytes, Host] = {}
        for _, vip, session in made:
            holders = [host for host in world.alive() if host.core.holds(vip, session.id)]
            if holders:
                users[session.id] = world.rng.choice(holders)
                self.used(users[session.id], vip, session)
        world.run(_TOLD_S)
        for _, _, session in made:
            for host in world.alive() if session.id in users else ():
                has = any(host.core.lookup(vip, session.id, host.now()).session for vip in _vips(world, host))
                if has and self._may_be_told(session, users[session.id], host):
                    raise ViolationError(f"{host.name} still has a session of {session.node} that was used up")

    def _may_be_told(self, session: Made, user: Host, host: Host) -> bool:
        """Whether some way of telling leads there: within a colo, or by a node of that colo that may have it too and
        that either of both wants a link to.
        """
        return user.colo == host.colo or any(
            (relay.name == session.node or self._crosses(session, relay))
            and (self._wants(user, relay) or self._wants(relay, user))
            for relay in self._world.alive()
            if relay.colo == host.colo
        )

    def _wants(self, one: Host, other: Host) -> bool:
        policy = self._world.truth.policies[one.name][one.version]
        return any(
            self._crosses(Made(b"", b"", one.name, 0, name, vip.group, vip.settings, 0.0, 0.0, False), other)
            for name, vip in policy.items()
        )

    def _crosses(self, session: Made, host: Host) -> bool:
        truth = self._world.truth
        source, target = truth.policies[session.node][-1], truth.policies[host.name][host.version]
        return truth.crosses(session, source, host.name, target)

    def judge_clocks(self) -> None:
        """With no trouble any more: each node says of what others just made that it is on its way, or that it isn't to
        come, and some seconds later that it should be here. Their clocks began at other times.
        """
        world = self._world
        made = [(host, vip, world.make(host, vip)) for host in world.alive() for vip in _vips(world, host)]
        born = {session.id: maker.clock.read(world.now) for maker, _, session in made}
        world.fired("clocks compared", self._compare(made, born, Whereabouts.ON_ITS_WAY))
        world.run(5)
        self._compare(made, born, Whereabouts.OLD)

    def _compare(self, made: list[tuple[Host, str, Made]], born: dict[bytes, float], right: Whereabouts) -> int:
        compared = 0
        for maker, vip, session in made:
            life = life_of(maker.name, maker.incarnation)
            claim = Claim(session.id, node_of(maker.name), life, born[session.id])
            for host in self._world.alive():
                for own in _vips(self._world, host) if host is not maker else ():
                    found = host.core.awaiting.whereabouts(own, claim, host.now())
                    compared += found is right
                    if found not in (right, *_NOT_FOR_IT):
                        raise ViolationError(
                            f"{host.name} takes what {maker.name} made of {vip} for {found}: not {right}"
                        )
        return compared


_NOT_FOR_IT = (Whereabouts.NOT_A_HOLDER, Whereabouts.NOT_PERMITTED, Whereabouts.NO_ORIGIN)
"""Right where a session isn't pushed to a node, or its maker isn't linked."""


def _vips(world: World, host: Host) -> Iterator[str]:
    yield from sorted(world.truth.policies[host.name][host.version])
