"""A TLS session as the mesh knows it: what OpenSSL needs to resume, and where it came from.

Never parses the DER: that is OpenSSL's (RFC 5246 section 7.4.1.3 for ids, i2d_SSL_SESSION(3) for the DER).
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import NamedTuple

SESSION_ID_BYTES_MAX = 32
"""RFC 5246 section 7.4.1.2: ``SessionID<0..32>``. A TLS 1.3 stateful ticket of OpenSSL's is an id of 32 bytes too."""

DER_BYTES_MAX = 4096
"""A session without a client certificate takes 126 to 160 bytes, one with a small chain about 1 kB."""

LIFETIME_S_MAX_TLS12 = 24 * 3600
"""RFC 5246 section F.1.4: an upper limit of 24 hours is suggested for session ID lifetimes."""

LIFETIME_S_MAX_TLS13 = 7 * 24 * 3600
"""RFC 8446 section 4.6.1: servers MUST NOT use any value greater than 604800 seconds (7 days)."""

LINEAGE_S_MAX = 30 * 24 * 3600
"""How long renewals may put off the next full handshake, whatever a policy says; RFC 8446 section 4.6.1 asks for some
limit, and names none."""

SEQ_MAX = 1 << 53
"""Of a sequence number: at a million sessions a second it lasts 285 years."""


class StreamKey(NamedTuple):
    """Names what one incarnation of one node publishes for one VIP; sequence numbers count within it."""

    origin: str
    incarnation: int
    vip: str


class Session(NamedTuple):
    """One session, with times on this node's monotonic clock.

    ``id`` and ``der`` are secrets: whoever holds them can resume. ``repr`` shows only a hash.
    ``born_at`` is when the full handshake that began the lineage ended; renewals in TLS 1.3 inherit it.
    ``seq`` is 0 for a session that never leaves this node. ``client_certificate`` says that one was asked and given.
    A tuple, since each lookup makes one and a frozen dataclass takes six times as long to make.
    """

    id: bytes
    der: bytes
    stream: StreamKey
    seq: int
    expires_at: float
    born_at: float
    client_certificate: bool = False

    def __repr__(self) -> str:
        return f"<Session {session_hash(self.id)} {self.stream.vip} from {self.stream.origin} #{self.seq}>"


class Outcome(Enum):
    """How a handshake ended for the client, as the built-in responder and the counters name it."""

    FULL = "full"
    LOCAL = "local"
    REMOTE = "remote"
    PULLED = "pulled"


def session_hash(session_id: bytes) -> str:
    """Return a name for a session that is safe to show and equal on every node: 12 hex digits of SHA-256 of its id.

    An id has 64 random bits under keys of the mesh, so the hash gives nothing away that helps to resume.
    """
    return sha256(b"meshcache session\0" + session_id).hexdigest()[:12]
