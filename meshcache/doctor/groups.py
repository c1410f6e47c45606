"""Looks for a VIP that is in one share group on some nodes and in another on others: they share none of its sessions.

VIPs of different names in one group are what groups are for, and nothing is said of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

from meshcache.doctor.finding import Finding, note, problem

_NAMES_SHOWN: Final = 5


class _Served(NamedTuple):
    """One VIP as one node serves it."""

    node: str
    colo: str
    group: str
    reach: Any


def group_findings(stats: Mapping[str, Any], peers: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield one for each VIP that has several groups: a problem where its sessions would be shared if it had one."""
    for vip, served in sorted(_by_vip(stats, peers).items()):
        nodes: dict[str, list[str]] = {}
        for each in served:
            nodes.setdefault(each.group, []).append(each.node)
        if len(nodes) < 2:
            continue
        where = "; ".join(f"{group} on {_some(names)}" for group, names in nodes.items())
        if any(_would_share(one, other) for one, other in combinations(served, 2)):
            yield problem(
                f"share group of VIP {vip}",
                f"it has another on some nodes than on others, so they share none of its sessions: {where}",
                "set the same sharing.group in the files of all of them, and reload; where they are not meant to "
                "share, give the VIP another name there",
            )
        else:
            yield note(
                f"share group of VIP {vip}",
                f"it has another on some nodes than on others: {where}. By its reach they would share nothing anyway",
                "set the same sharing.group in the files of all of them, should its sessions ever go further",
            )


def _by_vip(stats: Mapping[str, Any], peers: Sequence[Mapping[str, Any]]) -> dict[str, list[_Served]]:
    """Return who serves each VIP, this node first, without peers that are lost: theirs may be put right by now."""
    node = stats.get("node", {})
    found = {
        vip: [_Served(f"{node.get('name')} (asked)", node.get("colo", ""), each["group"], each.get("reach"))]
        for vip, each in stats.get("vips", {}).items()
        if "group" in each
    }
    for peer in sorted(peers, key=lambda peer: str(peer["name"])):
        if peer.get("state") != "lost":
            for each in peer.get("vips", ()):
                served = _Served(peer["name"], peer.get("colo", ""), each["group"], each.get("reach"))
                found.setdefault(each["name"], []).append(served)
    return found


def _would_share(one: _Served, other: _Served) -> bool:
    """Return whether sessions would go between these two but for their groups."""
    return one.group != other.group and _reaches(one, other.colo) and _reaches(other, one.colo)


def _reaches(served: _Served, colo: str) -> bool:
    if isinstance(served.reach, list):
        return colo in (served.colo, *served.reach)
    return served.reach == "everywhere" or (served.reach == "colo" and served.colo == colo)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
