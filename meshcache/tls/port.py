"""What the TLS edge needs of the node for one VIP; the node implements it, the edge only calls it.

Every method runs on the thread that does the handshake, while OpenSSL waits: it may take microseconds and never waits
for a peer or a timer. `created` may encode a session and hand it to the transport; `find` may read what has arrived. An
exception that leaves one is caught at the edge and is a counted miss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from meshcache.core.policy.gates import Verdict

if TYPE_CHECKING:
    from meshcache.hot import Door
    from meshcache.tls.ticket_keys import EdgeKeys


class Pending(Protocol):
    """What a paused handshake waits for."""

    @property
    def over(self) -> bool:
        """Whether the handshake may go on."""

    @property
    def pulled(self) -> bool:
        """Whether a session was fetched from a peer for it."""


class AskingPort(Protocol):
    """Looks elsewhere for sessions that aren't in memory, while a handshake is paused."""

    @property
    def wanted(self) -> bool:
        """Whether there is anywhere to look; if not, no handshake is looked at for it."""

    def begin(self, ids: tuple[bytes, ...], /) -> Pending | None:
        """Begin to look for one of these ids, and return what the handshake waits for; None where it needn't wait, over
        where it is there already. Doesn't wait itself.
        """

    @property
    def holds(self) -> bool:
        """Whether a handshake that can't be paused may wait in its get callback."""

    def hold(self, session_id: bytes, /) -> None:
        """Wait, two milliseconds at most, for a session that is on its way; return at once where it isn't. The one
        method at this edge that waits, where an operator has asked for it.
        """

    def pulled(self, token: int, /) -> int:
        """Return the token that says of a session: fetched for this handshake."""


class Ids(Protocol):
    """Makes the ids of sessions, and knows those of other members."""

    def mint(self) -> bytes:
        """Return the id, of 32 bytes, for a session that is being made."""

    def minted(self, session_id: bytes, /) -> bool:
        """Return whether a member made this id, which may be anything that a client sent."""


class SessionPort(Protocol):
    """What OpenSSL's callbacks ask and tell about one VIP.

    Hostile: the session id given to `find` is whatever a client sent, 1 to 32 bytes; in TLS 1.3 32, since OpenSSL
    looks for no other identity. What `find` returns may have been made by another node, so the edge checks it before
    OpenSSL uses it. What `created` is given is OpenSSL's own.
    Secret: ids and DERs; neither may reach a log, an error or a `repr`. May be lost: anything. A session that isn't
    kept, or not found, costs its client a full handshake and nothing else.

    ``token`` is a 64-bit number that the node makes at `find`, never 0. OpenSSL carries it in the session object, also
    into a TLS 1.3 renewal, so `created` gets it back and a lineage is inherited without a table of connections.
    """

    @property
    def name(self) -> str:
        """The VIP's name, for messages."""

    @property
    def door(self) -> Door | None:
        """What the compiled callbacks answer by themselves with; without one they ask each time."""

    @property
    def ids(self) -> Ids | None:
        """What its sessions' ids are made by; without, they are random, and any id may be one of ours."""

    @property
    def asking(self) -> AskingPort | None:
        """Looks elsewhere for what isn't here; None where nobody does."""

    def publish(self) -> None:
        """Publish the sessions that wait at the door."""

    @property
    def allows_client_certificates(self) -> bool:
        """Whether sessions made elsewhere under a client certificate may resume here (the VIP says ``revalidate``)."""

    def made_here(self, token: int, /) -> bool:
        """Return whether the session that `find` gave this token to was made by this node.

        A session with a client certificate may resume where it was made, whatever `allows_client_certificates` says;
        its certificate is checked again in both cases.
        """

    def created(self, session_id: bytes, der: bytes, token: int, client_certificate: bool, tls_version: int, /) -> None:
        """Keep a session that OpenSSL made. `token` is 0 after a full handshake, else that of the session it renews."""

    def find(self, session_id: bytes, /) -> tuple[bytes, int] | Verdict | None:
        """Return the DER and the token of a session that this VIP may resume now, or why it may not; None is a miss.

        Counts nothing: one handshake may ask several times, and another ask and never end.
        """

    @property
    def single_use(self) -> bool:
        """Whether a session of TLS 1.3 is good for one handshake; `consumed` is told of each."""

    def consumed(self, session_id: bytes, /) -> None:
        """Forget a session, here and at all that may hold a copy: a handshake that ended has resumed with it."""

    def hit(self, token: int, /) -> None:
        """Count a session that resumed, or was given to OpenSSL, where no more can be known; `find` gave the token."""

    def missed(self, foreign: bool = False, /) -> None:
        """Count a handshake that ended in full after its client had offered an id that `find` doesn't know; apart
        if it is `foreign`, one that no member made.
        """

    def unusable(self, session_id: bytes, reason: Verdict, /) -> None:
        """Take away what `find` gave, and count it: it is not for OpenSSL, on no connection. Never for what strangers
        can cause.
        """

    def lookup_refused(self, reason: Verdict, /) -> None:
        """Count, once in a handshake, what `find` answered with, an id on a connection that may look nothing up, or a
        session that isn't for this connection, and may be for others.
        """

    def session_refused(self, reason: Verdict, /) -> None:
        """Count a session that was made and may not be kept."""

    def removed(self, session_id: bytes, /) -> None:
        """Forget a session that OpenSSL dropped (unclean close, fatal alert); only with ``on_unclean_close="drop"``.

        Can be called from a garbage collection that interrupts any other method of this port on the same thread, since
        freeing a connection is enough: append to a queue, take no lock that isn't re-entrant.
        """

    def full(self) -> None:
        """Count a full handshake that ended."""

    def hit_not_resumed(self) -> None:
        """Count a full handshake for which `find` had given a session."""

    @property
    def ticket_keys(self) -> EdgeKeys | None:
        """The keys of the VIP's tickets; None while it gives and takes none."""

    def now(self) -> float:
        """Return the node's monotonic time, by which keys are born and end."""

    def born_at(self, token: int, /) -> float | None:
        """Return when the lineage of the session with this token began."""

    def ticket_token(self, node: str, born_at: float, /) -> int:
        """Return the token for the session in a ticket that a node made, of a lineage that began then."""

    def ticket_may_resume(self, node: str, born_at: float, ends_at: float, client_certificate: bool, /) -> bool:
        """Return whether the operator's own policy, if there is one, lets the session in a ticket resume."""

    def ticket_issued(self) -> None:
        """Count a ticket that is given."""

    def ticket_opened(self, key_age_s: float, /) -> None:
        """Count a ticket that OpenSSL may use, once in a handshake, with the age of its key."""

    def ticket_refused(self, reason: Verdict, /) -> None:
        """Count a ticket of a known key that may not be used, once in a handshake."""

    def ticket_unknown(self) -> None:
        """Count a ticket of a key that isn't here."""

    def fault(self, where: str, /) -> None:
        """Count what was raised at the edge: `where` is "client_hello", "generate", "get", "new", "remove",
        "ticket_key", "ticket_made" or "ticket_opened". Never raises."""
