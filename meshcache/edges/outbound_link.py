"""One connection that this node keeps to an address: what is known of it, and how long it rests when it is turned away.

Touches no socket; `transport` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import zmq

from meshcache.core.values.topology import OWN_LINK
from meshcache.edges.keyring import MeshKey

REST_S, REST_S_MAX = 0.2, 30.0
"""How long a link rests after every key was turned away: at first, since a peer that restarts at that moment looks the
same, and at the most. A node with a wrong key then costs each other one two refused connections a minute."""


@dataclass(slots=True)
class OutboundLink:
    """A DEALER to one address, and the key it tries; `tries` counts the keys that were refused before this one.

    There is no DEALER while the link rests, until `rests_until`: every key was turned away, or no socket could be made.
    """

    dealer: zmq.Socket[bytes] | None
    key: MeshKey
    tries: int
    attempt: int
    rests_until: float = 0.0
    up: bool = False
    ups: int = 0
    descriptor: int = -1
    answers: bool = False
    """Whether messages ever came on it."""

    def name(self, address: str) -> bytes:
        """Return what the connection is called, for what comes on it; another name after each time it was made."""
        return OWN_LINK + f"{address}#{self.attempt}.{self.ups}".encode()


def rest_s(rounds: int, chance: float) -> float:
    """Return the rest after so many rounds of all keys; `chance` from 0 to 1 keeps a fleet from coming back in step."""
    return float(min(REST_S * 2 ** min(rounds - 1, 10), REST_S_MAX)) * (0.5 + chance / 2)


def link_to(*, up: bool, reaches_us: bool) -> str:
    """Return which connections with a peer there are: "both", only ours ("outbound"), only its own ("inbound"), or
    "none".
    """
    if reaches_us:
        return "both" if up else "inbound"
    return "outbound" if up else "none"
