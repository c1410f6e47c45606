"""What the doctor says of each certificate's end, from the files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from meshcache.doctor.certificates import certificate_findings
from meshcache.doctor.finding import FindingState
from tests.checks.pki import DAY, NOW, Pki, certificate, new_key, settings


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.mark.parametrize(
    "left,state,told",
    [
        (90 * DAY + timedelta(minutes=50), FindingState.FINE, "shop.pem for shop.example ends in 90 days"),
        (3 * DAY + timedelta(minutes=50), FindingState.NOTE, "shop.pem for shop.example ends in 3 days, at "),
        (timedelta(hours=5, minutes=50), FindingState.NOTE, "shop.pem for shop.example ends in 5 hours, at "),
        (-DAY, FindingState.PROBLEM, "shop.pem for shop.example ended at "),
    ],
)
def test_the_end_decides(pki: Pki, left: timedelta, state: FindingState, told: str) -> None:
    pki.chain("shop.pem", certificate(new_key(), "shop.example", start=NOW - 2 * DAY, end=NOW + left))
    (finding,) = certificate_findings(settings(pki))
    assert (finding.name, finding.state) == ("certificate of VIP vip0", state)
    assert finding.text.replace(f"{pki.folder}/", "").startswith(told)
    assert bool(finding.do) is (state is not FindingState.FINE)


def test_an_intermediate_one_that_ends_sooner_counts(pki: Pki) -> None:
    leaf = certificate(new_key(), "shop.example", issuer="ca")
    pki.chain("shop.pem", leaf, certificate(new_key(), subject="ca", start=NOW - 2 * DAY, end=NOW - DAY))
    (finding,) = certificate_findings(settings(pki))
    assert finding.state is FindingState.PROBLEM
    assert "by its chain, ended at" in finding.text


def test_each_certificate_is_looked_at_also_one_that_cannot_be_read(pki: Pki) -> None:
    pki.chain("shop.pem", certificate(new_key(), "shop.example"))
    pki.chain("admin.pem", certificate(new_key(), "edge-1"))
    more = {"more_certificates": [{"certificate": "gone.pem", "private_key": "gone.key"}]}
    admin = {"certificate": "admin.pem", "private_key": "admin.key"}
    found = list(certificate_findings(settings(pki, more, admin=admin)))
    assert [finding.state for finding in found] == [FindingState.FINE, FindingState.PROBLEM, FindingState.FINE]
    assert "there is no file" in found[1].text
    assert found[2].name == "certificate of admin.http"
