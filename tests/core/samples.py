"""One message of each kind, in values that don't change: the byte vectors under ``tests/vectors`` are made of them."""

from __future__ import annotations

from meshcache.core.cache.entry import Entries
from meshcache.core.policy.gates import REACH_EVERYWHERE, Reach, Terms
from meshcache.core.values.session import StreamKey
from meshcache.core.values.topology import VIPS_MAX, NodeRecord, VipNote
from meshcache.core.wire import messages, queries, single_use, ticket_messages
from meshcache.core.wire.messages import Batch, FetchEnd, Message, Seen

SHOP = Terms("edge-1", "ams1", "shop", "storefront", bytes(range(32)), REACH_EVERYWHERE)
ADMIN = Terms("edge-1", "ams1", "admin", "admin", b"\xaa" * 32, Reach.parse(["ams1", "fra1"]))
RECORD = NodeRecord("edge-1", 7, "ams1", "10.0.0.4:7946", 3, (ADMIN, SHOP), "0.1.0")
KEY = StreamKey("edge-1", 7, "shop")

DENSE = Entries([41, 42], [b"\x01" * 32, b"\x02" * 32], [b"der one", b"der number two"], [3600, 3600], [0, 0], [0, 0])
SPARSE = Entries([40, 44], [b"short", b"\x03" * 32], [b"a", b"b"], [60, 59], [7, 0], [1, 0])

SAMPLES: dict[str, Message] = {
    "hello": messages.Hello("prod", RECORD, "10.0.0.7:7946", "10.0.0.4:7946", 2, False, True),
    "hello-first": messages.Hello("prod", NodeRecord("edge-1", 7, "ams1", "[::1]:7946", 1, (), "")),
    "beat": messages.Heartbeat(1000, 3, 2, (0, 42), False, True),
    "ping": messages.Ping(0xDEADBEEF),
    "pong": messages.Pong(0xDEADBEEF),
    "pong-clock": messages.Pong(0xDEADBEEF, 8_040_200),
    "pull": messages.Pull(0xDEADBEEF, "shop", b"\x09" * 32),
    "pull-reply": messages.PullReply(5, Batch(SHOP, 7, (7, 3), 41, 41, DENSE.chosen([0]))),
    "pull-reply-none": messages.PullReply(5),
    "consumed": single_use.Consumed("storefront", (b"\x0a" * 32, b"\x0b" * 32), True),
    "leave": messages.Leave(),
    "refuse": messages.Refuse("other_version"),
    "push": messages.Push(Batch(SHOP, 7, (7, 3), 41, 42, DENSE), True, 850),
    "fetch": messages.Fetch(5, KEY, ((1, 9), (12, 40)), True),
    "fill": messages.FetchReply(5, Batch(SHOP, 7, (8, 1), 39, 44, SPARSE)),
    "fill-end": messages.FetchReply(5, None, FetchEnd.MORE),
    "digest": messages.Digest(
        bytes(128), (messages.ColoDigest("fra1", b"\x05" * 8, 12),), b"\x06" * 8, True, b"\x07" * 8
    ),
    "holding": messages.Holding((messages.Held(KEY, (3, 4, 900)), messages.Held(KEY, (1 << 40,)))),
    "vector": messages.Vector(0x80000001, (Seen(KEY, (1, 9, 12, 40)),), True),
    "snapshot-ask": messages.SnapshotAsk(True),
    "snapshot-offer": messages.SnapshotOffer(True, (Seen(KEY, (1, 44)),), True),
    "roster-ask": messages.RosterAsk(("ams1", "fra1")),
    "roster": messages.Roster("ams1", 3, (RECORD,), 1, 2),
    "withdraw": messages.Withdraw("edge-1", 7, 1, 2, 3600, vip="shop"),
    "live": messages.LivePolicyUpdate((messages.LiveEntry("vip", "shop", "reach", 4, "edge-1", "everywhere"),)),
    "ask": queries.Query("edge-1", 7, 9, queries.QueryKind.POLICY, 4, "shop", 2),
    "answer": queries.QueryReply("edge-1", 9, "edge-2", True, 3),
    "answer-figures": queries.QueryReply(
        "edge-1", 9, "edge-2", True, colo="ams1", figures=(queries.Figures("shop", 5, 4, 300, 1, 9),)
    ),
    "ticket-keys": ticket_messages.TicketKeys(
        b"\x01" * 16, (ticket_messages.ToldKey(5, bytes(range(32)), 90_000, 21_600, 3600),)
    ),
    "ticket-status": ticket_messages.TicketStatus(
        (
            ticket_messages.RingStatus(
                b"\x01" * 16,
                (ticket_messages.HeldKey(5, b"\x02" * 16, 90_000), ticket_messages.HeldKey(4, b"\x03" * 16)),
            ),
            ticket_messages.RingStatus(b"\x04" * 16, (), b"\x05" * 16),
        )
    ),
    "hello-tickets": messages.Hello(
        "prod",
        NodeRecord("edge-1", 7, "ams1", "[::1]:7946", 1, (SHOP,), "", (VipNote(b"", 0, b"", tickets=True),)),
    ),
    "withdraw-ids": messages.Withdraw("edge-1", 7, 2, 0, 60, ids=(b"\x01" * 32,)),
}


def large_record(
    node: str,
    colo: str = "ams1",
    revision: int = 1,
    *,
    vips: int = VIPS_MAX,
    colos: int = 64,
    reaches: int = VIPS_MAX,
    letter: str = "x",
    name_bytes: int = 20,
) -> NodeRecord:
    """What a node says that has much to say: so many VIPs with so many different reaches of so many colos."""

    def name(number: int) -> str:
        return letter * ((name_bytes - 4) // len(letter.encode())) + f"{number:04x}"[-name_bytes:]

    lists = [Reach.parse([name(at * colos + each) for each in range(colos)] or "colo") for at in range(reaches)]
    terms = [Terms(node, colo, name(at), name(at), bytes([at]) * 32, lists[at % reaches]) for at in range(vips)]
    notes = tuple(VipNote(bytes([at]) * 28, 1 << 50, bytes([at]) * 8) for at in range(vips))
    return NodeRecord(node, 7, colo, f"{node}:7946", revision, tuple(terms), "0.1.0", notes)
