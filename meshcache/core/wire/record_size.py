"""Says how much memory what nodes say of themselves takes, and how much of it all of them together may.

Counts bytes; who is turned away for them is up to the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof

from meshcache.core.values.topology import NodeRecord

PEERS_BYTES_MAX = 16 * 1024 * 1024
"""Of all peers' records. The largest honest node (64 VIPs, a reach of 64 colos, names of 64 bytes) takes 55 KB: 300 of
these fit, and the table of streams (16,384) ends at 256 of them."""

PEER_BYTES_FAIR = PEERS_BYTES_MAX // 1024
"""A peer that takes no more always has room, as far as its weight goes, whatever heavy ones are there: 16 KiB are eight
VIPs, with a reach of 64 colos too. So with `Limits.peers_max` peers it is 32 MiB at the very worst."""

ROSTER_BYTES_MAX = 32 * 1024 * 1024
"""Of all records by hearsay, sets that are remembered for a while included: 4,096 nodes with eight VIPs take 23 MB."""

PAGES_BYTES_MAX = 16 * 1024 * 1024
"""Of rosters of which some pages have come: a colo of 1,024 nodes, each 8 VIPs that reach 64 colos, takes 12 MB."""

_RECORD_BYTES = 400
"""The record itself, its numbers and its tuples."""

_VIP_BYTES = 460
"""Terms with a digest, and a note with the longest parts, without names and reach."""


def weight(record: NodeRecord) -> int:
    """Return about how many bytes of memory a record takes. What `fields.record` keeps once is counted once."""
    texts = [record.node, record.colo, record.address, record.version]
    texts += [name for terms in record.vips for name in (terms.vip, terms.group)]
    reaches = [reach.colos for reach in {terms.reach for terms in record.vips}]
    sets = sum(getsizeof(colos) + _sizes(colos) for colos in reaches if colos)
    return _RECORD_BYTES + _VIP_BYTES * len(record.vips) + _sizes(texts) + sets


def weight_of(records: Iterable[NodeRecord]) -> int:
    """Return the bytes of memory that all these records take together."""
    return sum(map(weight, records))


def _sizes(texts: Iterable[str]) -> int:
    return sum(map(getsizeof, texts))
