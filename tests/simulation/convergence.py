"""After trouble has ended: every node that may have a session and lives has it, and nobody has what was taken back.

What counts as lost is not the core's to say: only what ended, was evicted, withdrawn or found unusable is excused.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.host import Host
from tests.simulation.truth import SLACK_S, Made
from tests.simulation.world import World


class Convergence:
    """Compares what nodes hold with what they should."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._truth = world.truth

    def missing(self) -> list[tuple[str, Made]]:
        """Nodes and sessions that they should have and don't."""
        alive = self._world.alive()
        held = {host.name: self._held(host) for host in alive}
        everywhere = set().union(*held.values())
        wanted = [session for session in self._truth.sessions.values() if self._counts(session, everywhere)]
        return [
            (host.name, session)
            for host in alive
            for session in wanted
            if session.id not in held[host.name] and self._should(host, session)
        ]

    def forbidden(self) -> list[tuple[str, Made]]:
        """Nodes and sessions that they have, by policies that living nodes had time to tell them."""
        return list(self._forbidden())

    def withdrawn(self) -> list[tuple[str, Made]]:
        """Nodes that still have a session that was withdrawn."""
        return [
            (host.name, self._truth.sessions[session_id])
            for host in self._world.alive()
            for session_id in sorted(self._held(host))
            if self._truth.sessions[session_id].withdrawn and not self._truth.in_doubt(self._truth.sessions[session_id])
        ]

    def _forbidden(self) -> Iterator[tuple[str, Made]]:
        alive = self._world.alive()
        names = {host.name for host in alive}
        for host in alive:
            policy = self._truth.policies[host.name][host.version]
            for session_id in sorted(self._held(host)):
                session = self._truth.sessions[session_id]
                own = session.node == host.name and session.incarnation == host.incarnation
                source = self._truth.policies[session.node][-1]
                if session.node in names and not own and not self._truth.crosses(session, source, host.name, policy):
                    yield host.name, session

    def _counts(self, session: Made, held: set[bytes]) -> bool:
        excused = session.spoilt or session.withdrawn or session.expires_at <= self._world.now + 2 * SLACK_S
        excused = excused or self._truth.in_doubt(session)
        return not excused and session.id in held and self._truth.unchanged(session)

    def _should(self, host: Host, session: Made) -> bool:
        if session.node == host.name and session.incarnation == host.incarnation:
            return True
        source = self._truth.policies[session.node][-1]
        return self._truth.crosses(session, source, host.name, self._truth.policies[host.name][host.version])

    def _held(self, host: Host) -> set[bytes]:
        return {
            session_id
            for vip in self._truth.policies[host.name][host.version]
            for session_id in host.core.session_ids(vip)
        }
