"""Says what should resume where, in the words of the documentation and without a line of meshcache's.

Written from docs/security.md and docs/configuration.md alone; a test holds it to importing nothing of the package. It
is slow, plain and complete for the worlds of `worlds`, and must never be mended by looking at `core.policy`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Vip:
    """One VIP on one node: what its file says, and what its context is."""

    name: str
    group: str | None = None
    reach: str | tuple[str, ...] = "colo"
    listed: tuple[str, ...] = ()
    certificate: tuple[tuple[str, ...], int] = (("a.test", "b.test"), 0)
    """The names, and which of several certificates for them."""
    asks: str | None = None
    """None, "optional" or "required"."""
    trusts: str = "main"
    floor: str = "1.2"
    bind: str = "name"
    revalidate: bool = False
    kind: str = "stdlib"

    @property
    def in_group(self) -> str:
        return self.group or self.name


@dataclass(frozen=True)
class Node:
    name: str
    colo: str
    vips: tuple[Vip, ...]


@dataclass(frozen=True)
class Coming:
    """How a client comes: under which name, with which certificate, in which version of TLS."""

    name: str | None
    certificate: str | None
    version: str


def may_attach(vip: Vip, beside: list[Vip]) -> bool:
    """VIPs of one group on one node ask clients in the same way, or one is the way around the other's question."""
    return all(_asks(vip) == _asks(other) for other in beside if other.in_group == vip.in_group)


def shakes_hands(vip: Vip, coming: Coming) -> bool:
    """Whether a full handshake ends well."""
    if coming.version < vip.floor:
        return False
    if vip.asks is None:
        return True
    if coming.certificate is None:
        return vip.asks == "optional"
    return coming.certificate == vip.trusts


REASONS = ("group", "client rules", "binding", "floor", "name", "sender reach", "receiver reach", "client certificate")
"""Each border's name, in the order in which `why_not` asks."""


def resumes(made_at: tuple[Node, Vip], made: Coming, offered_at: tuple[Node, Vip], offered: Coming) -> bool:
    """Whether a session that was made by a full handshake resumes, when it is offered to that VIP on that node."""
    return why_not(made_at, made, offered_at, offered) is None


def why_not(made_at: tuple[Node, Vip], made: Coming, offered_at: tuple[Node, Vip], offered: Coming) -> str | None:
    """The first of `REASONS` that keeps it from resuming, or None where it resumes."""
    (home, origin), (away, target) = made_at, offered_at
    if (differing := _settings(origin, target)) is not None:
        return differing
    scope = name_class(origin, made.name)
    if scope is None or scope != name_class(target, offered.name):
        return "name"
    if home.name == away.name:
        return None
    if not _reaches(origin, home, away):
        return "sender reach"
    if not _reaches(target, away, home):
        return "receiver reach"
    certified = origin.asks is not None and made.certificate is not None
    if certified and not (origin.revalidate and target.revalidate and _filed_at(home, origin, away).revalidate):
        return "client certificate"
    return None


def _settings(origin: Vip, target: Vip) -> str | None:
    if origin.in_group != target.in_group:
        return "group"
    if _asks(origin) != _asks(target):
        return "client rules"
    if _bound(origin) != _bound(target):
        return "binding"
    return "floor" if origin.floor != target.floor else None


def name_class(vip: Vip, name: str | None) -> tuple[str, ...] | None:
    """Within which a session resumes: all listed names, or one that the certificate covers, or none at all."""
    if name is None:
        return ("no name", *sorted(vip.certificate[0]))
    name = name.lower().rstrip(".")
    if name in vip.listed:
        return ("listed", *sorted(vip.listed))
    covered = name in vip.certificate[0] or "*." + name.split(".", 1)[-1] in vip.certificate[0]
    return ("alone", name) if covered else None


def _asks(vip: Vip) -> tuple[str, str] | None:
    return None if vip.asks is None else (vip.asks, vip.trusts)


def _bound(vip: Vip) -> object:
    return vip.certificate if vip.bind == "certificate" else None


def _crosses(home: Node, origin: Vip, away: Node, target: Vip) -> bool:
    return _reaches(origin, home, away) and _reaches(target, away, home)


def _reaches(vip: Vip, own: Node, other: Node) -> bool:
    if vip.reach == "server":
        return False
    if vip.reach == "everywhere" or own.colo == other.colo:
        return True
    return isinstance(vip.reach, tuple) and other.colo in vip.reach


def _filed_at(home: Node, origin: Vip, away: Node) -> Vip:
    """The VIP on whose conditions a node takes a session in: the one of that name, else the first that may have it."""
    willing = [
        vip
        for vip in sorted(away.vips, key=lambda vip: vip.name)
        if vip.in_group == origin.in_group
        and (_asks(vip), _bound(vip), vip.floor) == (_asks(origin), _bound(origin), origin.floor)
        and _crosses(home, origin, away, vip)
    ]
    return next((vip for vip in willing if vip.name == origin.name), willing[0])
