"""Looks at how a node keeps what is for some nodes only: whether a relay has room for what it passes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshcache.doctor.finding import Finding, problem

_WHAT: Final = {
    "quota": "raise that VIP's quota or cache.max_bytes on this server: a sixteenth of the quota is for it",
    "number": (
        "let more servers of this colo serve the VIP, since they share the relaying: one keeps 65,536 sessions for "
        "half a minute, some 2,000 a second"
    ),
}
"""What to do about it, by what there was too little of."""


def copies_findings(vips: Mapping[str, Any]) -> Iterator[Finding]:
    """What was passed on without being kept, VIP by VIP."""
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
