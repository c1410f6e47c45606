"""Names who and where: this node, its VIPs, what other nodes say of themselves, and who ranks first for a duty.

Holds facts and orders them; keeps no table, knows no time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from meshcache.core.policy.gates import Terms

PROTOCOL_MAJOR = 1
"""Changes when an older node could misread a message; nodes whose ranges of majors don't meet refuse one another."""

PROTOCOL_MINOR = 0
"""Changes when messages or fields are added, which older nodes ignore and count."""

NAME_BYTES_MAX = 64
"""Of a node, colo, VIP, group or mesh name in UTF-8: longer than any host label (RFC 1035 section 2.3.4: 63)."""

ADDRESS_BYTES_MAX = 261
"""``host:port``: a DNS name of 253 bytes, brackets for IPv6, a colon and five digits."""

VERSION_BYTES_MAX = 32
"""Of a software version that a peer says it runs; only shown."""

VIPS_MAX = 64
"""VIPs that one node may serve in the mesh; bounds what a peer's hello makes us store."""

INCARNATION_MAX = 2**53
"""Also exact in JSON; milliseconds since 1970 fit for 285,000 years."""

OWN_LINK = b">"
"""How the transport's names of connections begin that this node made; what comes on one is sent back by whom it
reached. The others came to the listener, and their names begin with a zero byte: the transport takes no others there.
What comes under another one is an empty message on a connection without a name."""


class Rng(Protocol):
    """What the core needs of a `random.Random`; the simulator passes a seeded one."""

    def random(self) -> float: ...

    def randrange(self, start: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """This node, for as long as it runs.

    ``incarnation`` must be higher at each start of the same name (milliseconds of wall clock will do); ``address`` is
    the ``host:port`` that peers dial; ``version`` is the software's and only shown.
    """

    mesh: str
    node: str
    incarnation: int
    colo: str
    address: str
    version: str


@dataclass(frozen=True, slots=True)
class VipNote:
    """What a node tells of a VIP besides its terms; no gate asks for it.

    ``tickets`` says that the node takes part in the VIP's ring of ticket keys; who doesn't is given none. ``both`` says
    that it makes sessions all the same, for clients of TLS 1.3.
    ``awaits_ms`` is how long any of its handshakes waits for a session that is on its way there; 0 where one doesn't.
    ``fetches`` says that meanwhile they ask whoever makes it, in time.
    ``parts`` are `policy.digest_parts` of its settings; ``version`` and ``digest`` say which live policy is in force
    there. ``held`` says where something else holds on this node than what was set live, as ``KEY=VALUE why``; it
    doesn't travel with the record, and is told to whoever asks.
    """

    parts: bytes = field(default=b"", repr=False)
    version: int = 0
    digest: bytes = field(default=b"", repr=False)
    held: tuple[str, ...] = ()
    tickets: bool = False
    both: bool = False
    awaits_ms: int = 0
    fetches: bool = False

    @property
    def resumption(self) -> str:
        """Who keeps what clients resume with there, in the configuration's words."""
        return "sessions" if not self.tickets else "both" if self.both else "tickets"


@dataclass(frozen=True, slots=True)
class LocalVip:
    """A VIP that this node serves: what it says to others about sharing, and the limits it holds imports to.

    ``lifetime_s`` caps what remains of any session here, whatever its origin allowed. ``lineage_s`` ends a chain of
    TLS 1.3 renewals. ``quota_bytes`` and ``quota_sessions`` are how much of the cache it may fill.
    ``export_client_certificates`` (configuration: ``client_certificates = "revalidate"``) lets sessions that were made
    under a client certificate leave and enter; without it they stay where they were made. ``rotate_s`` is how long a
    ticket key encrypts; None: this VIP has no tickets, and is given no keys.
    """

    terms: Terms
    lifetime_s: float
    lineage_s: float
    quota_bytes: int
    quota_sessions: int
    export_client_certificates: bool = False
    note: VipNote = VipNote()
    rotate_s: float | None = None


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What a node says of itself in its hello, as others pass it on.

    ``revision`` counts the changes of its VIPs' terms within an incarnation: (incarnation, revision) is newer or older.
    ``vips`` is sorted by name; heartbeats refer to VIPs by their place in it. ``notes`` has one for each of them, or
    none at all.
    """

    node: str
    incarnation: int
    colo: str
    address: str
    revision: int
    vips: tuple[Terms, ...] = field(repr=False)
    version: str = ""
    notes: tuple[VipNote, ...] = field(default=(), repr=False)

    @property
    def age(self) -> tuple[int, int]:
        """The order of two records of one node: the higher is the newer."""
        return self.incarnation, self.revision

    def terms_of(self, vip: str) -> Terms | None:
        """Return this node's terms for a VIP, if it serves it."""
        return next((terms for terms in self.vips if terms.vip == vip), None)

    def note_of(self, vip: str) -> VipNote:
        """Return what this node tells of a VIP; nothing where it tells nothing."""
        pairs = zip(self.vips, self.notes, strict=False)
        return next((note for terms, note in pairs if terms.vip == vip), VipNote())


def rank(duty: str, nodes: Iterable[str]) -> list[str]:
    """Return all `nodes`, best for `duty` first, by rendezvous hash: every node that knows the same names agrees.

    When one goes, its duties spread over the others and nothing else moves.
    """
    return sorted(nodes, key=lambda node: (_weight(duty, node), node), reverse=True)


def best(duty: str, nodes: Iterable[str]) -> str | None:
    """Return the first of `rank`, without sorting; None if there are no nodes."""
    return max(nodes, key=lambda node: (_weight(duty, node), node), default=None)


def _weight(duty: str, node: str) -> bytes:
    return blake2b(f"{len(duty)}:{duty}{node}".encode(), digest_size=8).digest()
