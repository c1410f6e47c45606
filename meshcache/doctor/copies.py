"""Looks at how a node keeps what is for some nodes only: whether a relay has room for what it passes on, and whether
all nodes mean to make as many copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from meshcache.doctor.finding import Finding, note, problem

_WHAT: Final = {
    "quota": "raise that VIP's quota or cache.max_bytes on this server: a sixteenth of the quota is for it",
    "number": (
        "let more servers of this colo serve the VIP, since they share the relaying: one keeps 65,536 sessions for "
        "half a minute, some 2,000 a second"
    ),
}
"""What to do about it, by what there was too little of."""


_NAMES_SHOWN: Final = 5


def copies_findings(vips: Mapping[str, Any], policies: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """What was passed on without being kept, VIP by VIP, and who says other copies than this node."""
    for policy in policies:
        others = [f"{other['name']} {other['copies']}" for other in policy.get("other_copies", ())]
        if others:
            more = f" and {len(others) - _NAMES_SHOWN} more" if len(others) > _NAMES_SHOWN else ""
            yield note(
                f"copies of VIP {policy['vip']}",
                f"{policy['copies']} here, elsewhere: {', '.join(others[:_NAMES_SHOWN])}{more}; each node makes as "
                "many as it says itself",
                "meshcache policy set sets it on all that are of version 0.2 or later; else make the files equal",
            )
    for name, vip in vips.items():
        unkept = vip.get("sessions", {}).get("passed_on_unkept") or {}
        total = sum(unkept.values())
        if total:
            yield problem(
                f"relay of VIP {name}",
                f"{total} sessions of other colos were passed on without being kept for half a minute, for want of "
                "room: had they got lost on the way, nobody in this colo would have a copy",
                "; ".join(_WHAT[why] for why in sorted(unkept) if why in _WHAT),
            )
