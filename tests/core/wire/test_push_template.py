"""The template of a push: the same bytes as the general way, whatever the numbers in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache import hot
from meshcache.core.cache.entry import Entries
from meshcache.core.values.session import DER_BYTES_MAX, SEQ_MAX
from meshcache.core.wire.codec import Decoder, encode
from meshcache.core.wire.columns import SECONDS_MAX
from meshcache.core.wire.messages import BATCH_BYTES_MAX, BATCH_SESSIONS_MAX, Batch, Push
from meshcache.core.wire.push_template import NewSession, PushTemplate
from tests.core.samples import RECORD, SHOP

NOW = 5e9

numbers = st.one_of(st.integers(1, 70_000), st.integers(1, SEQ_MAX))
times = st.one_of(st.integers(0, 70_000), st.integers(0, 2**33)).map(float)
ages = st.one_of(st.just(0), st.integers(0, SECONDS_MAX))
ders = st.integers(1, DER_BYTES_MAX).map(bytes)


def generally(made: list[NewSession], age_us: int, relay: bool) -> bytes:
    seqs, ids, ders, _, _, certified, _ = map(list, zip(*made, strict=True))
    remaining_s = [int(each.expires_at - NOW) for each in made]
    elapsed_s = [round(NOW - each.born_at) for each in made]
    entries = Entries(seqs, ids, ders, remaining_s, elapsed_s, certified)
    batch = Batch(SHOP, RECORD.incarnation, RECORD.age, seqs[0], seqs[-1], entries)
    return encode(RECORD.node, RECORD.incarnation, Push(batch, relay, age_us))


@given(numbers, st.binary(min_size=32, max_size=32), ders, times, times, ages, st.booleans())
def test_a_template_writes_what_the_general_way_writes(
    seq: int, session_id: bytes, der: bytes, remaining_s: float, elapsed_s: float, age_us: int, relay: bool
) -> None:
    made = NewSession(seq, session_id, der, NOW + remaining_s, NOW - elapsed_s, False, NOW)
    assert PushTemplate.suits(made)
    assert PushTemplate(RECORD, SHOP).write(made, NOW, age_us, relay=relay) == generally([made], age_us, relay)


batches = st.lists(st.tuples(st.binary(min_size=32, max_size=32), ders, times, times), min_size=2, max_size=9)


@given(numbers, batches, ages, st.booleans())
def test_of_several_sessions_it_writes_what_the_general_way_writes(
    first: int, rows: list[tuple[bytes, bytes, float, float]], age_us: int, relay: bool
) -> None:
    made = [
        NewSession(seq, session_id, der, NOW + remaining_s, NOW - elapsed_s, False, NOW)
        for seq, (session_id, der, remaining_s, elapsed_s) in enumerate(rows, first)
    ]
    assert PushTemplate.suits_all(made)
    assert PushTemplate(RECORD, SHOP).write_all(made, NOW, age_us, relay=relay) == generally(made, age_us, relay)


moments = st.floats(-1e6, 1e10)
rows = st.lists(st.tuples(st.binary(min_size=32, max_size=32), ders, moments, moments), min_size=1, max_size=9)


@pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)
@given(numbers, rows, st.one_of(st.just(0.0), st.floats(0, 5000)))
def test_compiled_it_writes_the_same(
    first: int, rows: list[tuple[bytes, bytes, float, float]], waited_s: float
) -> None:
    assert hot.compiled is not None
    now, made_at = NOW + 0.125, NOW + 0.125 - waited_s
    made = [
        NewSession(seq, session_id, der, NOW + remaining_s, NOW - elapsed_s, False, made_at)
        for seq, (session_id, der, remaining_s, elapsed_s) in enumerate(rows, first)
    ]
    template = PushTemplate(RECORD, SHOP)
    age_us = min(int((now - made_at) * 1e6), SECONDS_MAX)
    write = template.write_all(made, now, age_us, relay=False)
    plain = [(each.id, each.der, each.made_at, each.expires_at, each.born_at) for each in made]
    assert hot.compiled.push_of(template.envelope, template.stream, first, now, plain) == write
    if len(made) == 1:
        assert template.write(made[0], now, age_us, relay=False) == write


@pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)
def test_compiled_a_full_batch_of_the_largest_is_bounded() -> None:
    assert hot.compiled is not None
    template = PushTemplate(RECORD, SHOP)
    largest = (b"i" * 32, bytes(DER_BYTES_MAX), NOW, NOW + 1, NOW)
    most = BATCH_BYTES_MAX // (32 + DER_BYTES_MAX)
    assert most < BATCH_SESSIONS_MAX
    payload = hot.compiled.push_of(template.envelope, template.stream, 1, NOW, [largest] * most)
    message = Decoder().decode(payload).message
    assert isinstance(message, Push)
    assert len(message.batch.entries.ids) == most
    with pytest.raises(ValueError, match="room"):
        hot.compiled.push_of(template.envelope, template.stream, 1, NOW, [largest] * (most + 1))
    with pytest.raises(ValueError, match="usual"):
        hot.compiled.push_of(template.envelope, template.stream, 1, NOW, [(b"i" * 31, b"der", NOW, NOW, NOW)])


def test_a_batch_that_is_unusual_anywhere_is_left_to_the_general_way() -> None:
    usual = [NewSession(seq, b"i" * 32, b"der", NOW, NOW, False, NOW) for seq in (7, 8, 9)]
    assert PushTemplate.suits_all(usual)
    assert not PushTemplate.suits_all([usual[0], usual[1], usual[2]._replace(seq=10)])
    for at in range(3):
        for change in ({"id": b"i" * 31}, {"certified": True}):
            assert not PushTemplate.suits_all([e._replace(**change) if n == at else e for n, e in enumerate(usual)])


def test_a_clock_that_rounds_never_makes_a_time_negative() -> None:
    made = NewSession(1, b"i" * 32, b"der", NOW - 0.5, NOW + 0.6, False, NOW)
    at_once = made._replace(expires_at=NOW, born_at=NOW)
    template = PushTemplate(RECORD, SHOP)
    assert template.write(made, NOW, 0, relay=False) == template.write(at_once, NOW, 0, relay=False)


def test_what_is_unusual_about_a_session_is_left_to_the_general_way() -> None:
    usual = NewSession(1, b"i" * 32, b"der", NOW, NOW, False, NOW)
    assert PushTemplate.suits(usual)
    assert not PushTemplate.suits(usual._replace(id=b"i" * 31))
    assert not PushTemplate.suits(usual._replace(certified=True))
