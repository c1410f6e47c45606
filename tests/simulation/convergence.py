"""After trouble has ended: every node that may have a session and lives has it, and nobody has what was taken back.

What counts as lost is not the core's to say: only what ended, was evicted, withdrawn or found unusable is excused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.host import Host
from tests.simulation.truth import SLACK_S, Made, Policy
from tests.simulation.world import World

_ANY = Made(b"", b"", "", 0, "", "", b"", 0.0, 0.0, False)
"""A session, to ask whether one of some VIP might go somewhere."""


class Convergence:
    """Compares what nodes hold with what they should."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.early_s = SLACK_S
        """How much sooner a session may end somewhere: what may have waited is taken for older than it is."""
        self._truth = world.truth

    def missing(self) -> list[tuple[str, Made]]:
        """Nodes and sessions that they should have and don't."""
        alive = self._world.alive()
        held = {host.name: self._held(host) for host in alive}
        everywhere = set().union(*held.values())
        wanted = [session for session in self._truth.sessions.values() if self._counts(session, everywhere)]
        few = {session.id for session in wanted if self._copies(session)}
        lacking = [
            (host.name, session)
            for host in alive
            for session in wanted
            if session.id not in few
            and session.id not in held[host.name]
            and self._should(host, session)
            and self._can_come(host, session, [other for other in alive if session.id in held[other.name]])
        ]
        holders: dict[bytes, list[Host]] = {session_id: [] for session_id in few}
        for host in alive:
            for session_id in held[host.name] & few:
                holders[session_id].append(host)
        some = [session for session in wanted if session.id in few]
        return lacking + [(name, session) for session in some for name in self._too_few(session, holders[session.id])]

    def _copies(self, session: Made) -> int:
        """How many its maker wants; of one that has ended, what it wanted at least: its last word may be unheard."""
        vip = self._truth.policies[session.node][-1].get(session.vip)
        copies = vip.copies if vip is not None else 0
        if copies and not self._world.hosts[session.node].up:
            return self._truth.fewest_copies(session)
        return copies

    def _too_few(self, session: Made, everywhere: list[Host]) -> Iterator[str]:
        """Yield, for each colo with fewer copies than its origin wants there, somebody who has none and might.

        A colo where nobody has one is excused where that may be (`_may_be_lost`).
        """
        for colo in self._world.colos:
            holders = [host for host in everywhere if host.colo == colo]
            pushed = colo == self._truth.colos[session.node] or self._pushes(session)
            if not pushed or (not holders and self._may_be_lost(session, colo)):
                continue
            givers = holders or everywhere
            if len(holders) >= self._copies(session):
                continue  # also those that didn't hear all that a dead origin said: by what they heard they count
            others = [host for host in self._world.alive() if host.colo == colo and host not in holders]
            may = [host for host in others if not _is_full(host) and self._might(host, session, givers)]
            if may:
                yield may[0].name

    def _might(self, host: Host, session: Made, givers: list[Host]) -> bool:
        return self._should(host, session) and self._can_come(host, session, givers)

    def _may_be_lost(self, session: Made, colo: str) -> bool:
        """Whether a colo may have no copy: as many of its nodes ended as held one, or the maker, which tells relays, or
        that life of the maker's: who was outbid tells relays of what it makes from then on.
        """
        if self._world.hosts[session.node].incarnation != session.incarnation:
            return True
        since = {name for at, name in self._world.endings if at >= session.made_at}
        ended = [name for name in since if self._truth.colos[name] == colo]
        return session.node in since or len(ended) >= self._truth.fewest_copies(session)

    def _pushes(self, session: Made) -> bool:
        vip = self._truth.policies[session.node][-1].get(session.vip)
        return vip is not None and vip.push

    def forbidden(self) -> list[tuple[str, Made]]:
        """Nodes and sessions that they have, by policies that living nodes had time to tell them."""
        return list(self._forbidden())

    def withdrawn(self) -> list[tuple[str, Made]]:
        """Nodes that still have a session that was withdrawn."""
        return [
            (host.name, self._truth.sessions[session_id])
            for host in self._world.alive()
            for session_id in sorted(self._held(host))
            if self._told_of(self._truth.sessions[session_id])
        ]

    def _told_of(self, session: Made) -> bool:
        """Whether a withdraw of it can be known everywhere by now, and is beyond doubt."""
        issuers = (self._world.hosts[name] for name, _ in session.withdrawn)
        lives = any(host.up and any(host.is_own(*life) for life in session.withdrawn) for host in issuers)
        return lives and not self._truth.in_doubt(session)

    def _forbidden(self) -> Iterator[tuple[str, Made]]:
        alive = self._world.alive()
        names = {host.name for host in alive}
        for host in alive:
            policy = self._truth.policies[host.name][host.version]
            for session_id in sorted(self._held(host)):
                session = self._truth.sessions[session_id]
                own = host.is_own(session.node, session.incarnation)
                source = self._truth.policies[session.node][-1]
                if session.node in names and not own and not self._truth.crosses(session, source, host.name, policy):
                    yield host.name, session

    def _counts(self, session: Made, held: set[bytes]) -> bool:
        excused = session.spoilt or session.withdrawn or session.expires_at <= self._world.now + SLACK_S + self.early_s
        excused = excused or self._truth.in_doubt(session)
        excused = excused or (session.node in self._world.spoken_for and not self._world.hosts[session.node].up)
        return not excused and session.id in held and self._truth.unchanged(session)

    def _should(self, host: Host, session: Made) -> bool:
        """Whether it must be here: allowed by the origin's last word, and if that can't speak any more, also by what
        this node heard from it last and all that came after.
        """
        if host.is_own(session.node, session.incarnation):
            return True
        own = self._truth.policies[host.name][host.version]
        lives = self._world.hosts[session.node].up
        words = self._truth.versions(session.node, -1 if lives else host.told.get(session.node, 0))
        return all(self._truth.crosses(session, source, host.name, own) for source in words)

    def _can_come(self, host: Host, session: Made, holders: list[Host]) -> bool:
        """Whether any holder may give it away, by what it heard last of an origin that can't speak any more, to this
        node or to others between them that may have it too.
        """
        if self._world.hosts[session.node].up:
            return True
        if any(self._gives(holder, host, session) and self._linked(holder, host) for holder in holders):
            return True
        reached, others = [host], self._world.alive()
        for one in reached:
            for other in others:
                if other not in reached and self._gives(other, one, session) and self._linked(other, one):
                    reached.append(other)
        return any(holder in reached for holder in holders)

    def _gives(self, holder: Host, host: Host, session: Made) -> bool:
        own = self._truth.policies[host.name][host.version]
        return all(
            self._truth.crosses(session, source, host.name, own)
            for source in self._truth.versions(session.node, holder.told.get(session.node, 0))
        )

    def _linked(self, one: Host, other: Host) -> bool:
        """Whether two nodes want a link: those of a colo, and those between which sessions of their own may go."""
        return one.colo == other.colo or any(
            self._truth.crosses(
                replace(_ANY, node=a.name, vip=vip, group=v.group, settings=v.settings), mine, b.name, theirs
            )
            for a, b in ((one, other), (other, one))
            for mine, theirs in [(self._policy(a), self._policy(b))]
            for vip, v in mine.items()
        )

    def _policy(self, host: Host) -> Policy:
        return self._truth.policies[host.name][host.version]

    def _held(self, host: Host) -> set[bytes]:
        return {
            session_id
            for vip in self._truth.policies[host.name][host.version]
            for session_id in host.core.session_ids(vip)
        }


def _is_full(host: Host) -> bool:
    """Whether a node fetches nothing old any more, since it would be evicted again."""
    vip_caches = (host.core.duties.cache.vip_cache(vip.terms.vip) for vip in host.core.local_vips())
    return any(each is not None and len(each) > 0.9 * each.sessions_max for each in vip_caches)
