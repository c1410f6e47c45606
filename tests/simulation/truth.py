"""What is true in a simulated world: who serves what on which policy since when, and which sessions were made.

The oracle here says where a session may be. It is written from the rules in `docs/`, never from `core/policy/gates.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from meshcache.core.policy.gates import Reach, Terms
from meshcache.core.values.topology import LocalVip

SLACK_S = 2.0
"""Times travel as whole seconds, and clocks run apart: so close to its end a session may be here or not."""


WITHDRAW_DOUBT_S = 30.0
"""A withdraw may also take what was made soon after it: its age is rounded to seconds at each hop, and doesn't count
what it waits for a node that doesn't read."""

_UNSEEN_S = 0.5
"""And it may miss what was made just before it and reordered: nobody can tell how long that was under way."""


@dataclass(frozen=True, slots=True)
class VipTruth:
    """What an operator wrote for one VIP of one node. ``reach`` is "server", "colo", "everywhere" or a set of colos."""

    group: str
    settings: bytes
    reach: str | frozenset[str]
    exports: bool = False
    lifetime_s: float = 3600.0
    sessions_max: int = 100_000
    rotate_s: float | None = None
    copies: int = 0
    """How many nodes of each colo are to hold a session; 0: all that may."""
    push: bool = True

    def local(self, node: str, colo: str, vip: str) -> LocalVip:
        """The form that the core takes."""
        reach = Reach.parse(self.reach if isinstance(self.reach, str) else sorted(self.reach))
        terms = Terms(node, colo, vip, self.group, self.settings, reach, self.copies, self.push)
        quota, rotate_s = self.sessions_max, self.rotate_s
        return LocalVip(terms, self.lifetime_s, 86400.0, quota * 1024, quota, self.exports, rotate_s=rotate_s)


Policy = Mapping[str, VipTruth]
"""All VIPs of one node, by name."""


@dataclass(eq=False, slots=True)
class Made:
    """A session that some node made; times are true ones.

    ``withdrawn`` has the lives of nodes that withdrew it.
    ``spoilt`` says that some node let go of it on its own account (evicted, found unusable): others may miss it too.
    """

    id: bytes
    der: bytes
    node: str
    incarnation: int
    vip: str
    group: str
    settings: bytes
    made_at: float
    expires_at: float
    certified: bool
    version: int = 0
    """Of its node's policies, which it was made under."""
    spoilt: bool = False
    withdrawn: list[tuple[str, int]] = field(default_factory=list)


class Truth:
    """Everything the checkers know; the trouble-makers write it, and read nothing of it."""

    def __init__(self) -> None:
        self.colos: dict[str, str] = {}
        self.policies: dict[str, list[Policy]] = {}
        self.changed_at: dict[str, float] = {}
        self.sessions: dict[bytes, Made] = {}
        self.withdraws: list[tuple[str, str, float]] = []
        """VIP, origin and time of each withdraw of many sessions."""

    def declare(self, node: str, colo: str, policy: Policy, now: float) -> int:
        """A node's policy from now on; says which version that is."""
        self.colos[node] = colo
        versions = self.policies.setdefault(node, [])
        versions.append(policy)
        self.changed_at[node] = now
        return len(versions) - 1

    def versions(self, node: str, since: int) -> Iterator[Policy]:
        """The policies of a node from a version on."""
        yield from self.policies[node][since:]

    def may_hold(self, session: Made, told: int, holder: str, holds_since: int) -> bool:
        """Whether a node that made it not may have this session.

        ``told`` is the origin's newest policy that whoever is judged knows from the origin itself, ``holds_since``
        the same of the holder's: any that came later may be known as well.
        """
        return any(
            self.crosses(session, source, holder, target)
            for source in self.versions(session.node, told)
            for target in self.versions(holder, holds_since)
        )

    def crosses(self, session: Made, source: Policy, holder: str, target: Policy) -> bool:
        """Whether the origin's policy and the holder's both let the session be there."""
        vip = source.get(session.vip)
        if vip is None or (vip.group, vip.settings) != (session.group, session.settings):
            return False
        here, there = self.colos[session.node], self.colos[holder]
        return _reaches(vip.reach, here, there) and any(
            (own.group, own.settings) == (vip.group, vip.settings)
            and _reaches(own.reach, there, here)
            and (own.exports or not session.certified)
            for own in target.values()
        )

    def in_doubt(self, session: Made) -> bool:
        """Whether a withdraw came so shortly before or after it was made that nodes may differ about it."""
        return any(
            (session.vip, session.node) == (vip, node) and -_UNSEEN_S < session.made_at - at < WITHDRAW_DOUBT_S
            for vip, node, at in self.withdraws
        )

    def fewest_copies(self, session: Made) -> int:
        """How many copies of a session its origin wanted in each colo since it was made, when it wanted fewest."""
        told = (policy.get(session.vip) for policy in self.versions(session.node, session.version))
        return min((vip.copies for vip in told if vip is not None and vip.copies), default=0)

    def unchanged(self, session: Made) -> bool:
        """Whether its origin has served it under the same group and settings ever since."""
        same = (policy.get(session.vip) for policy in self.policies[session.node])
        return all(vip is not None and (vip.group, vip.settings) == (session.group, session.settings) for vip in same)


def _reaches(reach: str | frozenset[str], own: str, other: str) -> bool:
    if isinstance(reach, frozenset):
        return other == own or other in reach
    return {"server": False, "colo": own == other, "everywhere": True}[reach]
