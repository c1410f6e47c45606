"""What the compiled module writes and seals for the tiers is what Python writes, byte for byte; and Python opens it."""

from __future__ import annotations

import os
import sys
from itertools import product
from math import inf

import pytest

from meshcache import hot
from meshcache.core.cache.entry import pack_head
from meshcache.core.replication.leaving_sessions import LeavingSessions
from meshcache.core.values.session import DER_BYTES_MAX, SEQ_MAX, Session, StreamKey
from meshcache.core.wire.tier_record import ORIGIN_BYTES_MAX, Border, write_record
from meshcache.hooks import TIER_VALUE_BYTES_MAX
from meshcache.tiers import sealing
from meshcache.tiers.sealed_records import SealedRecords
from meshcache.tiers.sealing import Sealer, SealError
from meshcache.tls import libssl

pytestmark = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)

EPOCH, NOW, OFFSET = 1000.25, 5000.75, 1_700_000_000.5
STREAM = StreamKey("edge-1", 1, "shop")
BORDER = Border("shop", b"\x01" * 32)
ORIGIN = b"origin" * 9


def new_records() -> hot.TierRecords:
    assert hot.compiled is not None
    made: hot.TierRecords = hot.compiled.TierRecords()
    return made


class Held:
    """A table with one stream's sessions, and what Python knows of each."""

    def __init__(self) -> None:
        assert hot.compiled is not None
        self.table = hot.compiled.VipCache(1 << 30, 1 << 20)
        self.sessions: list[Session] = []

    def put(
        self, session_id: bytes, der: bytes, expiry: int, birth: int = 0, seq: int = 1, certified: bool = False
    ) -> None:
        self.table.put(session_id, pack_head(7, seq, expiry, birth, certified) + der)
        self.sessions.append(Session(session_id, der, STREAM, seq, EPOCH + expiry, EPOCH + birth, certified))

    def written(
        self, lifetime_s: float = 3600.0, stream: int = 7, certified: bool = True, origin: bytes = ORIGIN
    ) -> hot.TierRecords:
        records, ids = new_records(), [session.id for session in self.sessions]
        records.add_from(self.table, ids, stream, origin, EPOCH, NOW, OFFSET, lifetime_s, 2.0, certified)
        return records


@pytest.mark.parametrize("lifetime_s", [3600.0, 7200.5, inf])
def test_records_are_pythons(lifetime_s: float) -> None:
    held = Held()
    for size, at in product((90, 300, DER_BYTES_MAX), (None, 0, 1, 253, 254, 255, 256)):
        session_id, der = os.urandom(32), os.urandom(size)
        if at is not None:
            der = (der[:at] + session_id + der)[:size]
        held.put(session_id, der, 4003 + size, birth=-size, seq=SEQ_MAX - size, certified=size == 300)
    for length in (1, 8, 31):
        held.put(os.urandom(length), os.urandom(64), 9000, birth=8000, seq=length)
    held.put(b"\xff" * 32, b"\xff" * 40, 2**31 - 1, birth=-(2**31))
    rows = held.written(lifetime_s).rows()
    assert rows == [
        (each.id, write_record(each, ORIGIN, OFFSET, lifetime_s), each.expires_at - NOW) for each in held.sessions
    ]


def test_what_stays_here_isnt_written() -> None:
    held = Held()
    held.put(b"over" * 8, b"d" * 50, 4002)
    held.put(b"none" * 8, b"d" * 50, 9000, seq=0)
    held.put(b"cert" * 8, b"d" * 50, 9000, certified=True)
    assert len(held.written(certified=False)) == 0
    held.put(b"fine" * 8, b"d" * 50, 9000)
    assert [row[0] for row in held.written(certified=False).rows()] == [b"fine" * 8]
    assert len(held.written(stream=8)) == 0, "another stream's terms aren't theirs"


def test_what_is_gone_or_no_id_is_left_out() -> None:
    held = Held()
    held.put(b"gone" * 8, b"d" * 50, 9000)
    held.table.pop(b"gone" * 8)
    held.sessions.append(held.sessions[0]._replace(id=b"l" * 33))
    held.sessions.append(held.sessions[0]._replace(id=b""))
    assert len(held.written()) == 0


def test_by_names_the_same_is_written() -> None:
    held = Held()
    for seq in range(20, 30):
        held.put(os.urandom(32), os.urandom(100), 9000, seq=seq)
    names = b"".join(held.table.name_of(session.id).to_bytes(8, sys.byteorder) for session in held.sessions)
    told = ORIGIN, EPOCH, NOW, OFFSET, 3600.0, 2.0, True
    gone = held.sessions.pop(3)
    held.table.pop(gone.id)
    records = new_records()
    records.add_named(held.table, names, 20, 7, *told)
    assert records.rows() == held.written().rows()
    for first, stream in ((21, 7), (20, 8)):
        others = new_records()
        others.add_named(held.table, names, first, stream, *told)
        assert others.rows() == [], "a name says whose it is, and its number which"


def test_bad_arguments_are_refused() -> None:
    held, records = Held(), new_records()
    held.put(b"fine" * 8, b"d" * 50, 9000)
    with pytest.raises(ValueError, match="no origin"):
        held.written(origin=bytes(ORIGIN_BYTES_MAX + 1))
    with pytest.raises(TypeError):
        records.add_from(held.table, [1], 7, ORIGIN, EPOCH, NOW, OFFSET, inf, 2.0, True)  # type: ignore[list-item]
    with pytest.raises(TypeError):
        records.add_from({}, [], 7, ORIGIN, EPOCH, NOW, OFFSET, inf, 2.0, True)
    with pytest.raises(ValueError, match="no session"):
        records.add(b"i" * 33, b"r", 1.0)
    with pytest.raises(ValueError, match="no session"):
        records.add(b"i" * 32, bytes(10_000), 1.0)
    assert len(records) == 0


def test_wiped_there_are_none() -> None:
    held = Held()
    held.put(b"fine" * 8, b"d" * 50, 9000)
    records = held.written()
    records.wipe()
    assert (len(records), records.rows()) == (0, [])
    records.add(b"again", b"record", 1.0)
    assert records.rows() == [(b"again", b"record", 1.0)]


def test_python_opens_what_is_sealed_and_finds_it_where_it_would_have_put_it() -> None:
    held, sealer = Held(), Sealer([os.urandom(32)], "prod")
    for number in range(300):
        held.put(os.urandom(32), os.urandom(50 + number), 9000, seq=number + 1)
    held.put(os.urandom(32), os.urandom(DER_BYTES_MAX), 9000, seq=400)
    records = held.written(origin=bytes(ORIGIN_BYTES_MAX))
    entries = list(SealedRecords(sealer).many(LeavingSessions(BORDER, records, evicted=False, stays=False)))
    assert [entry.key for entry in entries] == [sealer.key_of(BORDER, session.id) for session in held.sessions]
    opened = [sealer.open(entry.key, entry.value, sealer.tag_of(BORDER)) for entry in entries]
    assert opened == [record for _, record, _ in records.rows()]
    assert [entry.lasts_s for entry in entries] == [lasts_s for _, _, lasts_s in records.rows()]
    assert len({entry.value[9:21] for entry in entries}) == 301, "no nonce comes twice"
    assert max(len(entry.value) for entry in entries) <= TIER_VALUE_BYTES_MAX
    assert all(sealer.is_current(entry.value) for entry in entries)


def test_what_is_sealed_opens_under_its_own_place_border_and_key_only() -> None:
    secret, records = os.urandom(32), new_records()
    records.add(b"one", b"record", 9.0)
    sealer, both = Sealer([secret], "prod"), Sealer([os.urandom(32), secret], "prod")
    (entry,) = SealedRecords(sealer).many(LeavingSessions(BORDER, records, evicted=False, stays=False))
    tag = sealer.tag_of(BORDER)
    assert both.open(entry.key, entry.value, tag) == b"record"
    assert not both.is_current(entry.value)
    for key, opens, its_tag, reason in (
        (bytes([entry.key[0] ^ 1]) + entry.key[1:], sealer, tag, "forged"),
        (entry.key[:-1] + b"?", sealer, tag, "forged"),
        (entry.key, sealer, sealer.tag_of(Border("pay", BORDER.digest)), "border"),
        (entry.key, Sealer([os.urandom(32)], "prod"), tag, "key"),
    ):
        with pytest.raises(SealError) as caught:
            opens.open(key, entry.value, its_tag)
        assert caught.value.reason == reason
    for at in range(len(entry.value)):
        changed = bytearray(entry.value)
        changed[at] ^= 1
        with pytest.raises(SealError):
            sealer.open(entry.key, bytes(changed), tag)


def test_no_keys_no_border_and_an_openssl_that_lacks_something_are_refused() -> None:
    assert hot.compiled is not None
    addresses = libssl.pyopenssl().functions.addresses
    with pytest.raises(ValueError, match="no keys"):
        hot.compiled.TierSealer(addresses, b"1234", bytes(8191))
    with pytest.raises(ValueError, match="no keys"):
        hot.compiled.TierSealer(addresses, b"123", bytes(8192))
    with pytest.raises(ValueError, match="OpenSSL lacks EVP_Digest"):
        hot.compiled.TierSealer(addresses | {"EVP_Digest": 0}, b"1234", bytes(8192))
    sealer = hot.compiled.TierSealer(addresses, b"1234", bytes(8192))
    with pytest.raises(ValueError, match="no border"):
        sealer.seal(new_records(), bytes(1025), b"1234")
    with pytest.raises(ValueError, match="no border"):
        sealer.seal(new_records(), b"", b"123")
    assert sealer.seal(new_records(), b"", b"1234") == b""


def test_without_what_it_needs_python_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sealing.can_compile()
    monkeypatch.setattr(hot, "compiled", None)
    assert not sealing.can_compile()
