"""Withdraws that a node kept for its next life: all that there may be, only its own, none that was tampered with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache import MeshNode
from meshcache.core.control.withdraws import REMEMBERED_S
from meshcache.core.values.session import LIFETIME_S_MAX_TLS13
from meshcache.core.wire.messages import WITHDRAW_IDS_MAX, Withdraw
from meshcache.hooks import TIER_VALUE_BYTES_MAX
from meshcache.runtime.pump.pump import Pump
from meshcache.tiers.kept_withdraws import KeptWithdraws
from meshcache.tiers.runner import TierRunner
from meshcache.tiers.sealed_records import SealedRecords
from meshcache.tiers.sealing import Sealer
from tests.nodes import settings
from tests.tiers.tiers import Kept

RECORDS = SealedRecords(Sealer([b"\x01" * 32], "test"))


def withdraw(number: int, elapsed_s: int = 10, ids: int = 0) -> Withdraw:
    named = {"ids": tuple(os.urandom(32) for _ in range(ids))} if ids else {"vip": f"vip-{number}"}
    return Withdraw("edge-1", 1, number, elapsed_s, LIFETIME_S_MAX_TLS13, **named)


def in_force(node: MeshNode) -> list[Withdraw]:
    pump = node.internals.pump
    with pump.lock:
        return pump.core.withdraws.in_force(pump.clock())


def loaded(folder: Path, tier: Kept, name: str = "edge-1") -> tuple[list[Withdraw], dict[str, int]]:
    """What a node of this name has in force then, and what the tier counted."""
    with MeshNode(settings(folder, name)) as node:
        runner = TierRunner(tier, "", lambda _fault: None, lambda _runner: None)
        pump: Pump = node.internals.pump
        KeptWithdraws(name).load(runner, RECORDS, pump)
        counts: dict[str, int] = runner.to_plain()["counts"]
        return in_force(node), counts


def kept(*withdraws: Withdraw) -> Kept:
    tier = Kept()
    tier.put(KeptWithdraws("edge-1").entries(withdraws, RECORDS))
    return tier


def test_as_many_as_there_may_be_come_back(tmp_path: Path) -> None:
    tier = kept(*(withdraw(number, ids=WITHDRAW_IDS_MAX if number % 2 else 0) for number in range(200)))
    assert len(tier.kept) > 1
    assert all(len(value) <= TIER_VALUE_BYTES_MAX for value in tier.kept.values())
    found, _ = loaded(tmp_path, tier)
    assert len(found) == 200


def test_they_are_as_old_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    tier = kept(withdraw(1, elapsed_s=100), withdraw(2, elapsed_s=REMEMBERED_S - 50))
    now = time.time()
    monkeypatch.setattr("meshcache.tiers.kept_withdraws.time.time", lambda: now + 60)
    (found,), _ = loaded(tmp_path, tier)
    assert found.vip == "vip-1"
    assert 159 <= found.elapsed_s <= 165


def test_those_of_another_node_are_its_own(tmp_path: Path) -> None:
    assert loaded(tmp_path, kept(withdraw(1)), name="edge-2")[0] == []


def test_what_was_changed_is_left_out_and_counted(tmp_path: Path) -> None:
    tier = kept(withdraw(1))
    ((key, value),) = tier.kept.items()
    tier.kept[key] = value[:-1] + bytes([value[-1] ^ 1])
    found, counts = loaded(tmp_path, tier)
    assert (found, counts["refused_forged"]) == ([], 1)


def test_nonsense_under_a_good_seal_is_left_out_and_counted(tmp_path: Path) -> None:
    tier = kept(withdraw(1))
    (key,) = tier.kept
    tier.kept[key] = RECORDS.sealer.seal(key, b"\x00\x00\x00\x00\x01\x00\x05\x00hello")
    found, counts = loaded(tmp_path, tier)
    assert (found, counts["refused_record"]) == ([], 1)


def test_they_are_stored_when_there_is_a_new_one_and_after_the_key_has_changed(tmp_path: Path) -> None:
    with MeshNode(settings(tmp_path)) as node:
        pump, withdraws = node.internals.pump, KeptWithdraws("edge-1")
        assert withdraws.changed(pump) is None
        with pump.lock:
            pump.core.withdraw(pump.clock(), vip="shop")
        assert len(withdraws.changed(pump) or []) == 1
        assert withdraws.changed(pump) is None
        withdraws.store_again()
        assert len(withdraws.changed(pump) or []) == 1


def test_their_places_are_known() -> None:
    (entry,) = KeptWithdraws("edge-1").entries([withdraw(1)], RECORDS)
    assert KeptWithdraws("edge-1").is_place(RECORDS, entry.key)
    assert not KeptWithdraws("edge-1").is_place(RECORDS, os.urandom(16))
