"""What a record weighs is what it takes, and what honest nodes take fits."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import cbor2
import pytest

from meshcache.core.cache.streams import STREAMS_MAX
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import VIPS_MAX
from meshcache.core.wire.fields import plain_record, record
from meshcache.core.wire.messages import MESSAGE_BYTES_MAX
from meshcache.core.wire.record_size import (
    PAGES_BYTES_MAX,
    PEER_BYTES_FAIR,
    PEERS_BYTES_MAX,
    ROSTER_BYTES_MAX,
    weight,
    weight_of,
)
from tests.core.samples import large_record


def measured(wire: bytes) -> int:
    """Bytes that the decoded record takes of Python's memory."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = record(cbor2.loads(wire))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert found.node
    return taken


@pytest.mark.parametrize("vips,colos,letter", [(0, 0, "x"), (1, 1, "x"), (8, 5, "x"), (64, 64, "x"), (16, 19, "é")])
@pytest.mark.parametrize("reaches", [1, 64])
def test_the_weight_of_a_record_is_what_it_takes_of_memory(vips: int, colos: int, letter: str, reaches: int) -> None:
    found = large_record("n", vips=vips, colos=colos, reaches=reaches, letter=letter, name_bytes=30)
    taken = measured(cbor2.dumps(plain_record(found)))
    assert taken <= weight(found) * 1.05
    assert weight(found) <= taken * 1.5 + 1000


def test_short_names_do_not_make_a_record_light() -> None:
    found = large_record("n", vips=VIPS_MAX, colos=64, reaches=VIPS_MAX, name_bytes=3)
    wire = cbor2.dumps(plain_record(found))
    assert weight(found) > 10 * len(wire)
    assert len(wire) < MESSAGE_BYTES_MAX / 4


def test_as_many_of_the_largest_honest_nodes_fit_as_the_streams_do() -> None:
    largest = weight(large_record("n" * 64, vips=VIPS_MAX, colos=64, reaches=1, name_bytes=64))
    nodes = STREAMS_MAX // VIPS_MAX
    assert nodes * largest <= PEERS_BYTES_MAX
    assert nodes * largest <= ROSTER_BYTES_MAX
    assert nodes * largest <= PAGES_BYTES_MAX


def test_a_node_with_eight_vips_always_fits() -> None:
    usual = weight(large_record("edge-1", vips=8, colos=64, reaches=1, name_bytes=12))
    assert usual <= PEER_BYTES_FAIR
    assert Limits().peers_max * PEER_BYTES_FAIR <= PEERS_BYTES_MAX
    assert Limits().roster_max * weight(large_record("edge-1", vips=8, colos=0, name_bytes=12)) <= ROSTER_BYTES_MAX


def test_weights_add_up() -> None:
    one = large_record("a", vips=2, colos=3)
    assert weight_of([one, replace(one, node="b")]) == 2 * weight(one)
