"""The whole verdict of a lookup: each border from both sides, and the order of the reasons."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.core.policy.gates import Verdict
from meshcache.core.state.resumption import resume_verdict
from meshcache.core.values.session import Session
from meshcache.core.values.topology import LocalVip
from tests.core.samples import KEY, SHOP

BORN, LINEAGE_S, ENDS = 1000.0, 500.0, 1400.0
SESSION = Session(b"\x01" * 32, b"der", KEY, 1, ENDS, BORN)


def verdict(
    now: float, policy: Verdict = Verdict.ALLOWED, exports: bool = False, made: bool = False, **of: Any
) -> Verdict:
    vip = LocalVip(SHOP, 3600, LINEAGE_S, 1, 1, export_client_certificates=exports)
    return resume_verdict(policy, vip, SESSION._replace(**of), now, made)


def test_it_ends_with_its_life() -> None:
    assert verdict(ENDS - 0.001) is Verdict.ALLOWED
    assert verdict(ENDS) is Verdict.LIFETIME


def test_its_lineage_may_be_as_old_as_the_vip_says_and_no_older() -> None:
    assert verdict(BORN + LINEAGE_S, expires_at=9999.0) is Verdict.ALLOWED
    assert verdict(BORN + LINEAGE_S + 0.001, expires_at=9999.0) is Verdict.LINEAGE


@pytest.mark.parametrize("exports", [False, True])
@pytest.mark.parametrize("made", [False, True])
def test_with_a_client_certificate_it_resumes_where_it_was_made_or_where_the_vip_takes_such(
    exports: bool, made: bool
) -> None:
    allowed = verdict(BORN, client_certificate=True, exports=exports, made=made) is Verdict.ALLOWED
    assert allowed is (exports or made)


def test_the_end_of_life_is_said_first_and_then_what_the_policy_says() -> None:
    assert verdict(ENDS, Verdict.OTHER_GROUP) is Verdict.LIFETIME
    assert verdict(BORN + LINEAGE_S + 1, Verdict.OTHER_GROUP, expires_at=9999.0) is Verdict.OTHER_GROUP
