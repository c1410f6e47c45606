"""Every message of the protocol as a frozen value, and the sizes both ends agree on; `docs/protocol.md` explains them.

Holds facts only: `wire` turns them into bytes and back, and lets nothing through that breaks a maximum.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import NamedTuple, TypeAlias

from meshcache.core.cache.entry import Entries
from meshcache.core.policy.gates import Terms
from meshcache.core.values.session import StreamKey
from meshcache.core.values.topology import PROTOCOL_MAJOR, PROTOCOL_MINOR, NodeRecord
from meshcache.core.wire.queries import Query, QueryReply
from meshcache.core.wire.single_use import Consumed
from meshcache.core.wire.ticket_messages import TicketKeys, TicketStatus
from meshcache.records import record

MESSAGE_BYTES_MAX = 128 * 1024
"""Checked before a byte is decoded; a full batch is half of it. The transport's own limit is the same."""

BATCH_SESSIONS_MAX = 64
"""Sessions in a batch: 700,000/s went through one receiver at 64, and four times as many gained 3 %."""

BATCH_BYTES_MAX = 64 * 1024
"""Ids and DERs of a batch: 64 sessions with a kilobyte of client certificate each."""

PUSH_SPAN_MAX = 4096
"""Sequence numbers that one push may cover: what a false relay can make us believe we have seen."""

VECTOR_ENTRIES_MAX = 512
"""Streams in one vector or offer; more go into further messages."""

VECTOR_RANGES_MAX = 32
"""Ranges of one stream in a vector, the newest ones: what is left out is not claimed to be seen."""

HELD_STREAMS_MAX = 512
HELD_SEQS_MAX = 1024
"""Streams in one `Holding`, and numbers of each: at two bytes or three each the longest is 2,048 in all."""

VECTORS_MAX = 32
"""Vectors in answer to one digest: as many streams as the table holds."""

FETCH_RANGES_MAX = 16
"""Gaps of one stream asked for at a time."""

FETCH_SESSIONS_MAX = 1024
"""Sessions given in answer to one fetch: sixteen batches, a quarter of a megabyte."""

SNAPSHOT_SESSIONS_MAX = 256
"""The same for a joiner, who takes the streams in turn: so what is newest in all of them comes first."""

BUCKETS = 32
"""Parts of the stream table that a digest compares apart."""

BUCKET_BYTES = 4

ROSTER_RECORDS_MAX = 128
"""Records in one roster page."""

ROSTER_BYTES_MAX = 64 * 1024

ROSTER_PAGES_MAX = 64
"""Of one colo: 8,192 nodes."""

COLOS_KNOWN_MAX = 256
"""Colos in a mesh, as digests list them."""

WITHDRAW_IDS_MAX = 64
"""Ids in one withdraw."""

LIVE_ENTRIES_MAX = 64
"""Live policy values in one message; with the longest values and names that is 85 KB."""

LIVE_VALUE_BYTES_MAX = 1024
"""Of one value: a reach of a hundred colos with names as short as they are."""

LIVE_NUMBER_MAX = 1 << 53
"""Of a policy's version."""


@record
class Hello:
    """Who the sender is and what it serves; the first message on a link, and again when its terms change.

    ``dialled`` is the address at which the sender dialled the receiver, ``answers`` the one in the hello that this one
    answers: so a node learns to whom a seed's address belongs. ``knows`` is the revision of the receiver's own record
    that the sender has; a receiver with another one answers. ``chosen`` says that the sender wants this link, and
    doesn't merely answer on it. ``joining`` says that the sender is catching up and no source for a snapshot.
    ``incarnation`` is the receiver's to which ``knows`` belongs.
    """

    mesh: str
    record: NodeRecord
    dialled: str = ""
    answers: str = ""
    knows: int = 0
    chosen: bool = True
    joining: bool = False
    incarnation: int = 0
    majors: tuple[int, int] = (PROTOCOL_MAJOR, PROTOCOL_MAJOR)
    minor: int = PROTOCOL_MINOR


@record
class Heartbeat:
    """The heartbeat to one peer: alive, this many beats so far, and the newest number of each stream it may have.

    ``newest`` follows the order of VIPs in the sender's record of this ``revision``; 0 stands for a VIP that the
    receiver gets nothing of. ``knows`` and ``chosen`` are as in `Hello`.
    """

    count: int
    revision: int
    knows: int
    newest: tuple[int, ...] = ()
    chosen: bool = True
    joining: bool = False


@record
class Ping:
    """Asks for a `Pong` with the same token at once."""

    token: int


CLOCK_MS_MAX = (1 << 53) - 1
"""Of a monotonic clock that nobody set: a number that every CBOR decoder can hold."""


@record
class Pong:
    """Answers a `Ping`, with what the sender's clock says: milliseconds of the one that its session ids are born by.
    0 from a node that doesn't tell, as before 0.2.
    """

    token: int
    clock_ms: int = 0


@record
class Leave:
    """The sender goes; only a node itself says so."""


@record
class Refuse:
    """The sender will not talk to the receiver, and why.

    ``incarnation`` is the life of the receiver's name that the sender knows, if it is to be outbid, ``address``
    where the one is whom it hears under that name.
    """

    reason: str
    incarnation: int = 0
    address: str = ""


@record
class Batch:
    """Sessions of one stream, with the origin's terms as the sender knows them.

    It covers every number from ``first`` to ``last``: what is not among the entries is not for the receiver.
    ``age`` is the (incarnation, revision) of the origin that ``terms`` come from.
    """

    terms: Terms
    incarnation: int
    age: tuple[int, int]
    first: int
    last: int
    entries: Entries = field(repr=False)

    @property
    def key(self) -> StreamKey:
        """The stream it belongs to."""
        return StreamKey(self.terms.node, self.incarnation, self.terms.vip)


@record
class Push:
    """New sessions; the oldest waited for ``age_us``. ``relay`` asks the receiver to spread them in its colo."""

    batch: Batch
    relay: bool = False
    age_us: int = 0


@record
class Fetch:
    """Asks for what the receiver has of these ranges of a stream, newest first."""

    token: int
    key: StreamKey
    ranges: tuple[tuple[int, int], ...]
    snapshot: bool = False


class FetchEnd(Enum):
    """How the answer to a fetch ended."""

    DONE = "done"
    MORE = "more"
    """There is more than fits into one answer: ask again."""
    BUSY = "busy"
    UNKNOWN = "unknown"
    """The stream isn't here, or isn't for the one who asks."""


@record
class FetchReply:
    """Part of the answer to the fetch with this token; the last part has an ``end``."""

    token: int
    batch: Batch | None = None
    end: FetchEnd | None = None


@record
class Pull:
    """Asks for one session by its id, for a handshake that waits, on a VIP of the sender's."""

    token: int
    vip: str
    id: bytes = field(repr=False)


@record
class PullReply:
    """Answers a `Pull`: a batch of that one session, or nothing."""

    token: int
    batch: Batch | None = None


class ColoDigest(NamedTuple):
    """What the sender knows of a colo: a hash of its records, and how many seconds ago they were vouched for."""

    colo: str
    digest: bytes
    age_s: int


@record
class Digest:
    """Compares two nodes' knowledge at 4 bytes a bucket of streams: what differs is exchanged.

    Where colos, withdraws or live policies differ, the receiver sends its own back, as an ``answer`` that gets none.
    """

    buckets: bytes
    colos: tuple[ColoDigest, ...] = ()
    withdraws: bytes = b""
    answer: bool = False
    live: bytes = b""


class Seen(NamedTuple):
    """What a node has seen of a stream, as flat pairs of first and last."""

    key: StreamKey
    ranges: tuple[int, ...]


@record
class Vector:
    """What the sender has seen of the streams in these buckets (a bit each); ``wants_reply`` asks for the same back."""

    buckets: int
    seen: tuple[Seen, ...]
    wants_reply: bool = False


class Held(NamedTuple):
    """Numbers of one stream that the sender has and the receiver is to hold too, upwards."""

    key: StreamKey
    seqs: tuple[int, ...]


@record
class Holding:
    """What the sender has that the receiver is to hold too, of streams whose sessions are for some nodes only."""

    held: tuple[Held, ...]


@record
class SnapshotAsk:
    """A joiner asks a peer to be its source, or tells it that it is ``done``."""

    done: bool = False


@record
class SnapshotOffer:
    """The answer: a place, and the streams the joiner can fetch from here; or none, as another joiner has it."""

    granted: bool
    seen: tuple[Seen, ...] = ()
    more: bool = False


@record
class RosterAsk:
    """Asks for what the receiver knows of these colos' nodes."""

    colos: tuple[str, ...]


@record
class Roster:
    """One page of a colo's records, vouched for ``age_s`` seconds ago."""

    colo: str
    age_s: int
    records: tuple[NodeRecord, ...]
    page: int = 0
    pages: int = 1


@record
class Withdraw:
    """Forget every session whose lineage began before this was issued and that all the given names fit.

    ``elapsed_s`` is how long ago that was; after ``remaining_s`` more there is nothing left that it could fit.
    With ``ids``, only those sessions. (issuer, incarnation, number) names it, so that it is acted on once.
    """

    issuer: str
    incarnation: int
    number: int
    elapsed_s: int
    remaining_s: int
    vip: str = ""
    group: str = ""
    origin: str = ""
    ids: tuple[bytes, ...] = field(default=(), repr=False)


class LiveEntry(NamedTuple):
    """One value of a policy that was set while the mesh ran, by whom, and its ``number``: one higher with each change.

    ``scope`` and ``name`` say of what: ``"vip"`` or ``"group"``. Empty ``value``: there is none any more.
    """

    scope: str
    name: str
    key: str
    number: int
    author: str
    value: str


@record
class LivePolicyUpdate:
    """Some of the live policies that the sender knows, its own or others'."""

    entries: tuple[LiveEntry, ...]


Message: TypeAlias = (
    Hello
    | Heartbeat
    | Ping
    | Pong
    | Leave
    | Refuse
    | Push
    | Fetch
    | FetchReply
    | Pull
    | PullReply
    | Digest
    | Vector
    | Holding
    | SnapshotAsk
    | SnapshotOffer
    | RosterAsk
    | Roster
    | Withdraw
    | Consumed
    | LivePolicyUpdate
    | Query
    | QueryReply
    | TicketKeys
    | TicketStatus
)


class Envelope(NamedTuple):
    """A message and who sent it; ``unknown_fields`` were ignored."""

    sender: str
    incarnation: int
    message: Message
    unknown_fields: int = 0
