"""Sessions on their way to a tier and back, and what isn't believed on the way back."""

from __future__ import annotations

import os

import pytest

from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.replication.leaving_sessions import LeavingSession
from meshcache.core.values.session import Session, StreamKey
from meshcache.core.wire.tier_record import Border, Origin, write_origin, write_record
from meshcache.edges.keyring import Keyring
from meshcache.hooks import TIER_VALUE_BYTES_MAX
from meshcache.tiers.sealed_records import AHEAD_S, RefusedError, SealedRecords
from meshcache.tiers.sealing import Sealer

NOW = 1_700_000_000.0
BORDER = Border("shop", b"\x01" * 32)
TERMS = Terms("edge-1", "ams1", "shop", "shop", b"\x01" * 32, REACH_COLO)
SECRET = os.urandom(32)


def records(*secrets: bytes, mesh: str = "prod") -> SealedRecords:
    return SealedRecords(Sealer(secrets or (SECRET,), mesh), lambda: NOW)


def leaving(session_id: bytes = b"\x07" * 32, born_s: float = -60.0, der: bytes = b"") -> LeavingSession:
    der = der or b"\x30" + session_id + b"d" * 90
    session = Session(session_id, der, StreamKey("edge-1", 1, "shop"), 5, 3600.0, born_s)
    record = write_record(session, write_origin(Origin(TERMS, 1, (1, 1))), NOW, 3600.0)
    return LeavingSession(BORDER, session_id, record, 3600.0, evicted=False, stays=False)


def reason(reader: SealedRecords, key: bytes, value: bytes, border: Border = BORDER) -> str:
    with pytest.raises(RefusedError) as caught:
        reader.read(key, value, border)
    return caught.value.reason


def test_a_session_comes_back_as_it_was() -> None:
    here = records()
    entry = here.entry(leaving())
    found = here.read(entry.key, entry.value, BORDER)
    assert (found.session_id, found.seq, found.origin.terms) == (b"\x07" * 32, 5, TERMS)
    assert entry.lasts_s == 3600.0
    assert here.border_in(entry.value, here.by_tag([Border("pay", b"\x01" * 32), BORDER])) == BORDER
    assert here.border_in(entry.value, here.by_tag([Border("pay", b"\x01" * 32)])) is None


def test_many_are_sealed_as_one_is() -> None:
    here = records()
    some = [leaving(bytes([number]) * 32) for number in range(20)]
    entries = here.entries(some)
    assert [here.read(entry.key, entry.value, BORDER).session_id for entry in entries] == [
        each.session_id for each in some
    ]


def test_the_largest_session_fits() -> None:
    assert len(records().entry(leaving(der=b"\x30" * 4096)).value) <= TIER_VALUE_BYTES_MAX


def test_nodes_of_one_keyring_open_what_each_other_sealed() -> None:
    keyring = Keyring.new()
    entry = SealedRecords.of(keyring, "prod").entry(leaving())
    other = SealedRecords.of(keyring, "prod")
    assert other.border_in(entry.value, other.by_tag([BORDER])) == BORDER
    key = SealedRecords.of(keyring, "prod").sealer.key_of(BORDER, b"\x07" * 32)
    assert key == entry.key


def test_a_value_of_another_session_is_refused() -> None:
    here = records()
    mine, yours = here.entry(leaving()), here.entry(leaving(b"\x08" * 32))
    assert reason(here, mine.key, yours.value) == "forged"


def test_a_member_that_seals_one_session_as_another_is_refused() -> None:
    """The seal is right, and what is in it isn't what was asked for."""
    here = records()
    key = here.sealer.key_of(BORDER, b"\x08" * 32)
    value = here.sealer.seal(key, leaving().record, here.sealer.tag_of(BORDER))
    assert reason(here, key, value) == "record"


def test_what_is_no_session_is_refused() -> None:
    here = records()
    key = here.sealer.key_of(BORDER, b"\x08" * 32)
    assert reason(here, key, here.sealer.seal(key, b"nonsense", here.sealer.tag_of(BORDER))) == "record"


def test_another_meshs_another_keys_and_another_epochs_values_are_refused() -> None:
    here = records()
    entry = here.entry(leaving())
    assert reason(records(os.urandom(32)), entry.key, entry.value) == "key"
    assert reason(records(mesh="test"), entry.key, entry.value) == "border"
    assert reason(here, entry.key, entry.value, Border("shop", b"\x02" * 32)) == "border"


def test_what_was_made_later_than_now_is_refused() -> None:
    here = records()
    young, unborn = here.entry(leaving(born_s=AHEAD_S - 1)), here.entry(leaving(born_s=AHEAD_S + 2))
    assert here.read(young.key, young.value, BORDER)
    assert reason(here, unborn.key, unborn.value) == "clock"


def test_what_an_older_key_sealed_is_sealed_again_for_as_long_as_it_lasts() -> None:
    new = os.urandom(32)
    entry = records().entry(leaving())
    both, after = records(new, SECRET), records(new)
    again = both.again(entry.key, entry.value, both.read(entry.key, entry.value, BORDER), BORDER)
    assert again.key == entry.key
    assert again.lasts_s == pytest.approx(3600, abs=1)
    assert after.read(again.key, again.value, BORDER).seq == 5


def test_what_is_fresh_neednt_be_opened() -> None:
    old, new = records(), records(os.urandom(32), SECRET)
    value = old.entry(leaving()).value
    assert old.is_fresh(value, old.by_tag([BORDER]))
    assert not old.is_fresh(value, old.by_tag([Border("pay", b"\x01" * 32)]))
    assert not new.is_fresh(value, new.by_tag([BORDER]))
    assert not old.is_fresh(b"", old.by_tag([BORDER]))


def test_an_entry_shows_nothing() -> None:
    assert repr(records().entry(leaving())).startswith("<TierEntry of ")
