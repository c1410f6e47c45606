"""Sessions to the bytes that a tier keeps, and back."""

from __future__ import annotations

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE, Reach, Terms
from meshcache.core.values.session import DER_BYTES_MAX, Session, StreamKey
from meshcache.core.wire.tier_record import (
    RECORD_BYTES_MAX,
    Border,
    Origin,
    RecordReader,
    TierRecordError,
    batch_of_one_stream,
    write_origin,
    write_record,
)

TERMS = Terms("edge-1", "ams1", "shop", "storefront", bytes(range(32)), REACH_EVERYWHERE)
BORDER = Border("storefront", bytes(range(32)))
ORIGIN = Origin(TERMS, 7, (7, 3))
ID = b"\x01" * 32
DER = b"\x30\x81" + b"d" * 40 + ID + b"e" * 60
OFFSET = 1_000_000.0
LIFETIME_S = 3600.0


def session(**changes: object) -> Session:
    return Session(ID, DER, StreamKey("edge-1", 7, "shop"), 42, 3700.9, 90.9, False)._replace(**changes)


def written(**changes: object) -> bytes:
    return write_record(session(**changes), write_origin(ORIGIN), OFFSET, LIFETIME_S)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"client_certificate": True},
        {"der": b"\x30" + b"x" * 100},
        {"der": b"\x30" + b"x" * (DER_BYTES_MAX - 1)},
        {"id": b"\x02", "der": b"\x30" + b"y" * 300 + b"\x02"},
        {"seq": 1 << 53},
    ],
)
def test_what_is_read_is_what_was_written(changes: dict[str, object]) -> None:
    told = session(**changes)
    found = RecordReader().read(written(**changes), BORDER)
    assert (found.session_id, found.der, found.seq) == (told.id, told.der, told.seq)
    assert found.client_certificate == told.client_certificate
    assert found.origin == ORIGIN
    assert (found.expires_unix, found.born_unix) == (1_003_700, 1_000_090)  # never later than it was


def test_an_id_that_is_in_the_der_takes_no_room() -> None:
    assert len(written()) == len(written(der=DER.replace(ID, b"\x07" * 32))) - len(ID)


def test_the_group_and_the_settings_are_those_it_was_sealed_for() -> None:
    found = RecordReader().read(written(), Border("other", b"\x09" * 32))
    assert (found.origin.terms.group, found.origin.terms.digest) == ("other", b"\x09" * 32)


def test_a_reach_of_colos_comes_back() -> None:
    origin = Origin(Terms("a", "b", "c", "d", bytes(32), Reach.parse(["ams1", "fra1"])), 1, (2, 0))
    found = RecordReader().read(
        write_record(session(), write_origin(origin), OFFSET, LIFETIME_S), Border("d", bytes(32))
    )
    assert found.origin == origin


def test_whatever_was_cut_or_lengthened_beyond_sense_is_refused() -> None:
    whole = written()
    reader = RecordReader()
    for length in range(len(whole) - len(DER) + len(ID)):
        with pytest.raises(TierRecordError):
            reader.read(whole[:length], BORDER)
    with pytest.raises(TierRecordError):
        reader.read(whole + bytes(RECORD_BYTES_MAX), BORDER)


def test_no_single_changed_byte_of_the_head_does_more_than_be_refused() -> None:
    whole = bytearray(written())
    for at in range(60):
        for bit in range(8):
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            try:
                found = RecordReader().read(bytes(changed), BORDER)
            except TierRecordError:
                continue
            assert 0 < len(found.session_id) <= 32
            assert 0 < len(found.der) <= DER_BYTES_MAX


def test_terms_older_than_their_stream_are_refused() -> None:
    with pytest.raises(TierRecordError):
        RecordReader().read(write_record(session(), write_origin(Origin(TERMS, 7, (6, 1))), OFFSET, LIFETIME_S), BORDER)


def test_a_batch_has_each_number_once_in_order_with_what_is_left() -> None:
    reader = RecordReader()
    records = [reader.read(written(seq=seq, id=bytes([seq]) * 32), BORDER) for seq in (9, 5, 9, 7)]
    batch = batch_of_one_stream(records, 1_003_000.5)
    assert (batch.first, batch.last, batch.incarnation, batch.age) == (5, 9, 7, (7, 3))
    assert list(batch.entries.seqs) == [5, 7, 9]
    assert set(batch.entries.remaining_s) == {699}
    assert set(batch.entries.elapsed_s) == {2911}
    assert set(batch_of_one_stream(records, 1_009_000.0).entries.remaining_s) == {0}


def test_neither_shows_a_secret() -> None:
    assert "1, 1" not in repr(RecordReader().read(written(), BORDER))
    assert repr(RecordReader().read(written(), BORDER)) == "<TierRecord of edge-1 #42>"
