"""Decides where a session may go: the three gates may_send, may_accept and may_resume.

All three ask one question of two `Terms`, what each end says about sharing; the stricter end wins.
Nothing here is optional: code that moves a session, forwards it or hands it to OpenSSL passes a gate first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

COLOS_MAX = 64
"""Colos that one reach may list; also bounds what a peer can make us store."""


COPIES_MAX = 64
"""Of one session in one colo; whoever wants more wants all."""


class ReachKind(Enum):
    """How far sessions may travel, in words of the configuration."""

    SERVER = "server"
    COLO = "colo"
    COLOS = "colos"
    EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a VIP's sessions may travel from the node that says so, and from how far it takes others'.

    A list of colos always includes the node's own. Nothing is implied the other way: a colo that isn't listed gets
    nothing and gives nothing.
    """

    kind: ReachKind
    colos: frozenset[str] = frozenset()

    def allows(self, own_colo: str, other_colo: str) -> bool:
        """Return whether sessions may cross between a node in `own_colo` that says this and another node
        in `other_colo`.
        """
        match self.kind:
            case ReachKind.SERVER:
                return False
            case ReachKind.COLO:
                return own_colo == other_colo
            case ReachKind.COLOS:
                return own_colo == other_colo or other_colo in self.colos
            case ReachKind.EVERYWHERE:
                return True

    def __str__(self) -> str:
        return ",".join(sorted(self.colos)) if self.kind is ReachKind.COLOS else self.kind.value

    def to_plain(self) -> str | list[str]:
        """Return the form that configuration, wire and JSON use; `parse` is its inverse."""
        return sorted(self.colos) if self.kind is ReachKind.COLOS else self.kind.value

    @classmethod
    def parse(cls, plain: object) -> Reach:
        """Read ``"server"``, ``"colo"``, ``"everywhere"`` or a list of colos.

        Raises ValueError, with what would be right, for anything else; an empty list is refused because
        ``"server"`` or ``"colo"`` says it better.
        """
        if isinstance(plain, str) and plain in ("server", "colo", "everywhere"):
            return cls(ReachKind(plain))
        if isinstance(plain, (list, tuple)) and 0 < len(plain) <= COLOS_MAX and all(map(_is_colo, plain)):
            return cls(ReachKind.COLOS, frozenset(plain))
        raise ValueError('a reach is "server", "colo", "everywhere" or a list of colos such as ["ams1", "fra1"]')


def _is_colo(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 64


REACH_SERVER = Reach(ReachKind.SERVER)
REACH_COLO = Reach(ReachKind.COLO)
REACH_EVERYWHERE = Reach(ReachKind.EVERYWHERE)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one node says about sharing one VIP's sessions; both ends of every crossing have one.

    ``digest`` is `scope.group_digest` of the settings that must agree before a session may be resumed elsewhere.
    ``copies`` is how many nodes of each colo are to hold what is made under these terms (0: everybody who may), and
    ``push`` whether other colos get any; no gate asks for these two: they choose among those whom the gates allow.
    """

    node: str
    colo: str
    vip: str
    group: str
    digest: bytes = field(repr=False)
    reach: Reach
    copies: int = 0
    push: bool = True


class Verdict(Enum):
    """What a gate answered. Every refusal is counted by its value, so the values are words for an operator."""

    ALLOWED = "allowed"
    NO_TERMS = "no_terms"
    OTHER_GROUP = "other_group"
    SETTINGS_DIFFER = "settings_differ"
    SENDER_REACH = "sender_reach"
    RECEIVER_REACH = "receiver_reach"
    OWN_POLICY = "own_policy"
    CLIENT_CERTIFICATE = "client_certificate"
    NAME_CLASS = "name_class"
    LINEAGE = "lineage"
    LIFETIME = "lifetime"
    DER = "der"
    PROTOCOL = "protocol"
    QUARANTINED = "quarantined"
    WITHDRAWN = "withdrawn"
    CONSUMED = "consumed"
    OTHER_RING = "other_ring"

    def __bool__(self) -> bool:
        return self is Verdict.ALLOWED


Narrowing: TypeAlias = Callable[[Terms, Terms], bool]
"""An operator's own word about a crossing, from source to target: asked where the terms allow it, it may refuse."""


def anything(_source: Terms, _target: Terms) -> bool:
    """Return true: leave it to the terms."""
    return True


def may_cross(source: Terms, target: Terms) -> Verdict:
    """Return whether a session made under `source` may cross to another node and be used under `target` there.

    The rule behind all three gates. Nodes that bear one name are held to it too: two hosts with the same name, or a
    node and what it was before a restart, are no closer than their reach says.
    """
    if source.group != target.group:
        return Verdict.OTHER_GROUP
    if source.digest != target.digest:
        return Verdict.SETTINGS_DIFFER
    if not source.reach.allows(source.colo, target.colo):
        return Verdict.SENDER_REACH
    if not target.reach.allows(target.colo, source.colo):
        return Verdict.RECEIVER_REACH
    return Verdict.ALLOWED


def may_send(source: Terms, peer_terms: Iterable[Terms], narrowing: Narrowing = anything) -> Verdict:
    """Return whether sessions made under `source` may be sent to the node whose VIPs have `peer_terms`.

    Asked by the origin before a push and by a relay before it passes one on, so `source` is the origin's.
    """
    return _best(_narrowed(source, target, narrowing) for target in peer_terms)


def may_accept(source: Terms, own_terms: Iterable[Terms], narrowing: Narrowing = anything) -> Verdict:
    """Return whether this node, whose VIPs have `own_terms`, may keep sessions made under `source`.

    Asked for every batch that arrives, whoever passed it on: what a sender should not have sent is not kept.
    """
    return _best(_narrowed(source, target, narrowing) for target in own_terms)


def may_resume(source: Terms, vip: Terms, narrowing: Narrowing = anything) -> Verdict:
    """Return whether a session made under `source` may resume on a connection to this node's `vip`, by today's policy.

    Asked at every lookup, so that a policy that was tightened holds for sessions that are already here. A node's own
    sessions skip the reach check; comparing names is enough, since `may_accept` let no session of another node in that
    the reach forbids. `narrowing` is asked of other nodes' sessions, as when they came: they may lie here for
    another VIP of the share group.
    """
    if source.node != vip.node:
        return _narrowed(source, vip, narrowing)
    verdict = may_cross(source, vip)
    return Verdict.ALLOWED if verdict in (Verdict.SENDER_REACH, Verdict.RECEIVER_REACH) else verdict


def _narrowed(source: Terms, target: Terms, narrowing: Narrowing) -> Verdict:
    """Ask the operator's own policy too, about what goes from one node to another."""
    verdict = may_cross(source, target)
    asks = verdict is Verdict.ALLOWED and source.node != target.node
    return Verdict.OWN_POLICY if asks and not narrowing(source, target) else verdict


_MOST_TELLING = (
    Verdict.ALLOWED,
    Verdict.OWN_POLICY,
    Verdict.RECEIVER_REACH,
    Verdict.SENDER_REACH,
    Verdict.SETTINGS_DIFFER,
    Verdict.OTHER_GROUP,
    Verdict.NO_TERMS,
)


def _best(verdicts: Iterable[Verdict]) -> Verdict:
    """One crossing that is allowed is enough; else the reason that came nearest, which is the one to look at."""
    return min(verdicts, key=_MOST_TELLING.index, default=Verdict.NO_TERMS)
