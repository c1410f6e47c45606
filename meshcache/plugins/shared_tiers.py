"""Says which sharing policies can't hold beside a tier that other nodes read: nobody is asked before they do.

Runs and makes nothing; whoever has the hooks, or only their classes, asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshcache.hooks import SharingPolicy


def defines(policy: SharingPolicy | type[SharingPolicy], gate: str) -> bool:
    """Return whether a policy, or those of its class, answers the question of this gate itself."""
    if isinstance(policy, type):
        return getattr(policy, gate) is not getattr(SharingPolicy, gate)
    return gate in vars(policy) or defines(type(policy), gate)


def shared_tier_faults(senders: Sequence[str], shared: Sequence[str]) -> list[str]:
    """Return a fault for each policy that says what may be sent, and each tier that isn't `private`, by their names.

    What such a tier is given any node of the mesh may fetch, and who that will be isn't known when it is written.
    """
    return [
        f"hooks: may_send of the policy {sender} can't be asked about what other nodes read in the tier {tier}: leave "
        "that tier out, or have the policy say what may cross in may_accept alone, on every node"
        for sender in senders
        for tier in shared
    ]
