"""Fields: what is let through, at both sides of each border."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.policy.gates import COLOS_MAX, Reach, Terms
from meshcache.core.values.session import SEQ_MAX, StreamKey
from meshcache.core.values.topology import ADDRESS_BYTES_MAX, NAME_BYTES_MAX, VIPS_MAX, NodeRecord, VipNote
from meshcache.core.wire import fields
from meshcache.core.wire.fields import FieldError
from meshcache.core.wire.messages import VECTOR_RANGES_MAX, Held, Seen
from tests.core.samples import large_record

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
D = b"d" * 32


def refuses(read: Any, *values: Any) -> None:
    for value in values:
        with pytest.raises(FieldError):
            read(value)


def test_numbers_end_at_their_maximum_and_truth_is_no_number() -> None:
    assert (fields.uint(9)(0), fields.uint(9)(9)) == (0, 9)
    refuses(fields.uint(9), -1, 10, True, 1.0, "1", None)
    refuses(fields.flag, 0, 1, None)


def test_names_have_a_length_in_bytes_and_nothing_that_disturbs_a_terminal() -> None:
    assert fields.name("é" * (NAME_BYTES_MAX // 2)) == "é" * 32
    refuses(fields.name, "", "é" * 33, "x" * 65, "a\nb", "a\x1b[31m", "a\0", "\u202e", b"bytes", None)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:65535", "[fe80::1%eth0]:7946", "edge-1.mesh.svc:7946"])
def test_addresses_name_a_host_and_a_port(address: str) -> None:
    assert fields.address(address) == address


def test_what_is_no_address_is_refused() -> None:
    refuses(
        fields.address,
        "",
        ":1",
        "a:",
        "a:0",
        "a:65536",
        "a:x",
        "a:¹",
        "a b:1",
        "a/b:1",
        "[]:1",
        "::1:1",
        "é:1",
        "[[::1]]:1",
    )
    refuses(fields.address, "a" * (ADDRESS_BYTES_MAX - 1) + ":1", "tcp://a:1", None, 7)
    assert fields.address_or_none("") == ""


def test_a_reach_lists_as_many_colos_as_the_policy_allows() -> None:
    colos = [f"c{at}" for at in range(COLOS_MAX)]
    assert fields.reach(colos).colos == frozenset(colos)
    assert fields.reach("everywhere") == Reach.parse("everywhere")
    refuses(fields.reach, [*colos, "one more"], [], ["a\n"], "galaxy", 3, [1])


def test_terms_and_records_read_what_was_written() -> None:
    terms = Terms("n", "ams1", "shop", "store", D, Reach.parse(["fra1", "ams1"]))
    record = NodeRecord("n", 2**53, "ams1", "n:7946", 3, (terms,), "1.0")
    assert fields.terms(fields.plain_terms(terms)) == terms
    assert fields.record(fields.plain_record(record)) == record


def test_what_a_newer_version_adds_at_the_end_is_ignored() -> None:
    terms = Terms("n", "ams1", "shop", "store", D, Reach.parse("colo"))
    assert fields.terms([*fields.plain_terms(terms), 0, True, "news"]) == terms


def test_terms_say_how_many_copies_there_are_to_be_where_that_isnt_all() -> None:
    reach = Reach.parse("colo")
    for copies, push, told in ((0, True, []), (3, True, [3]), (3, False, [3, False])):
        terms = Terms("n", "ams1", "shop", "store", D, reach, copies, push)
        assert fields.plain_terms(terms)[6:] == told
        assert fields.terms(fields.plain_terms(terms)) == terms
        record = NodeRecord("n", 1, "ams1", "n:1", 1, (terms,))
        assert fields.record(fields.plain_record(record)) == record
    plain = fields.plain_terms(terms)[:6]
    refuses(fields.terms, [*plain, -1], [*plain, 65], [*plain, True], [*plain, 3, 1], [*plain, "news"])


def test_equal_reaches_of_one_record_are_kept_once() -> None:
    found = fields.record(fields.plain_record(large_record("n", vips=8, colos=3, reaches=2)))
    assert len({id(terms.reach) for terms in found.vips}) == 2


def test_a_record_names_each_vip_once_and_in_order() -> None:
    vips = [[name, name, D, "colo"] for name in ("a", "b")]
    plain = ["n", 1, "c", "n:1", 1, vips, ""]
    assert len(fields.record(plain).vips) == 2
    refuses(fields.record, [*plain[:5], vips[::-1], ""], [*plain[:5], [vips[0], vips[0]], ""])
    refuses(fields.record, [*plain[:5], [[f"v{at:03}", "g", D, "colo"] for at in range(VIPS_MAX + 1)], ""])
    refuses(fields.record, [*plain[:5], [["a", "a", D[:-1], "colo"]], ""], plain[:6])


def test_ranges_are_positive_upwards_and_apart() -> None:
    read = fields.ranges(3)
    assert read([1, 2, 4, 4, 9, SEQ_MAX]) == (1, 2, 4, 4, 9, SEQ_MAX)
    refuses(read, [0, 1], [1], [2, 1], [1, 3, 3, 4], [4, 5, 1, 2], [1, 1, 3, 3, 5, 5, 7, 7], [1, SEQ_MAX + 1], "12")


def test_a_vector_claims_no_more_ranges_than_its_maximum() -> None:
    flat = [number for at in range(VECTOR_RANGES_MAX) for number in (3 * at + 1, 3 * at + 2)]
    seen = Seen(StreamKey("n", 1, "shop"), tuple(flat))
    assert fields.seen(fields.plain_seen(seen)) == seen
    refuses(fields.seen, ["n", 1, "shop", [*flat, 1000, 1001]], ["n", 1, "shop"])


@given(anything)
def test_no_value_raises_anything_but_a_field_error(value: Any) -> None:
    readers = [fields.name, fields.address, fields.reach, fields.terms, fields.record, fields.seen, fields.stream_key]
    for read in [*readers, fields.flag, fields.ranges(4), fields.octets(1, 4), fields.items(fields.name, 3)]:
        with contextlib.suppress(FieldError):
            read(value)


@pytest.mark.parametrize(
    ("flags", "mode", "written"),
    [
        ([], "sessions", []),
        ([False], "sessions", []),
        ([True], "tickets", [True]),
        ([True, False], "tickets", [True]),
        ([True, True], "both", [True, True]),
        ([False, True], "sessions", []),
        ([False, False, 0], "sessions", []),
        ([False, False, 15], "sessions", [False, False, 15]),
        ([True, False, 15], "tickets", [True, False, 15]),
        ([False, False, 15, False], "sessions", [False, False, 15]),
        ([False, False, 15, True], "sessions", [False, False, 15, True]),
        ([False, False, 0, True], "sessions", []),
        ([True, True, 15, True, "of a later version"], "both", [True, True, 15, True]),
        ([True, True, 0, False, "of a later version"], "both", [True, True]),
        ([True, True, 1 << 31, False, "of a later version"], "both", [True, True, 1 << 31]),
    ],
)
def test_who_keeps_what_clients_resume_with_travels_in_as_few_flags_as_tell_it(
    flags: list[Any], mode: str, written: list[Any]
) -> None:
    plain = ["edge-1", 1, "ams1", "10.0.0.1:1", 1, [["shop", "shop", D, "colo"]], "", [[b"", 0, b"", *flags]]]
    read = fields.record(plain)
    (note,) = read.notes
    assert (note.resumption, isinstance(note, VipNote)) == (mode, True)
    assert fields.plain_record(read)[-1] == [[b"", 0, b"", *written]]


def test_flags_of_a_note_are_truth_values() -> None:
    plain = ["edge-1", 1, "ams1", "10.0.0.1:1", 1, [["shop", "shop", D, "colo"]], ""]
    refuses(fields.record, [*plain, [[b"", 0, b"", 1]]], [*plain, [[b"", 0, b"", True, 1]]])
    refuses(fields.record, [*plain, [[b"", 0, b"", True, True, 15, 1]]])


def test_numbers_that_a_node_has_travel_as_steps() -> None:
    told = (Held(StreamKey("a", 1, "shop"), (3, 4, 900)), Held(StreamKey("b", 1, "shop"), (SEQ_MAX,)))
    plain = fields.plain_held(told)
    assert plain[0] == ["a", 1, "shop", [3, 1, 896]]
    assert tuple(map(fields.held, plain)) == told
    stream = ["a", 1, "shop"]
    refuses(fields.held, [*stream, [3, 0]], [*stream, [SEQ_MAX, 1]], [*stream, [-1]], [*stream, [1] * 1025], stream)


@pytest.mark.parametrize("awaits_ms", [True, -1, 1.5, "15", 1 << 32])
def test_for_how_long_handshakes_wait_is_a_number(awaits_ms: Any) -> None:
    plain = ["edge-1", 1, "ams1", "10.0.0.1:1", 1, [["shop", "shop", D, "colo"]], ""]
    refuses(fields.record, [*plain, [[b"", 0, b"", False, False, awaits_ms]]])
