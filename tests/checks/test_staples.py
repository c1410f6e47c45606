"""OCSP responses: which are faults, which are only worth knowing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from meshcache.checks import file_notes
from meshcache.checks.staples import staple_notes
from tests.checks.pki import DAY, NOW, Pki, certificate, faults, new_key, settings

GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED
NAMED = {"ocsp": "shop.ocsp"}


def answer(
    pki: Pki,
    status: ocsp.OCSPCertStatus = GOOD,
    leaf: x509.Certificate | None = None,
    begin: timedelta = -DAY,
    end: timedelta = 6 * DAY,
) -> None:
    key = new_key()
    authority = certificate(key, subject="ca")
    leaf = leaf or x509.load_pem_x509_certificates((pki.folder / "shop.pem").read_bytes())[0]
    revoked_at = NOW if status is REVOKED else None
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response(leaf, authority, SHA256(), status, NOW + begin, NOW + end, revoked_at, None)
        .responder_id(ocsp.OCSPResponderEncoding.HASH, authority)
        .sign(key, SHA256())
    )
    pki.write("shop.ocsp", response.public_bytes(Encoding.DER))


def notes(pki: Pki) -> list[str]:
    return [note.replace(f"{pki.folder}/", "") for note in file_notes(settings(pki, NAMED))]


def test_a_fresh_answer_for_this_certificate_is_fine(pki: Pki) -> None:
    answer(pki)
    assert faults(pki, NAMED) == []
    assert notes(pki) == []


def test_what_cannot_be_sent_is_a_fault(pki: Pki) -> None:
    for content, told in (
        (None, "there is no file shop.ocsp"),
        (b"\x30\x03\x0a\x01\x06", "shop.ocsp says unauthorized; ask the authority again"),
        (b"-----BEGIN OCSP RESPONSE-----", "shop.ocsp holds no OCSP response in DER that can be read"),
    ):
        if content is not None:
            pki.write("shop.ocsp", content)
        assert faults(pki, NAMED) == [f"vip[0].ocsp: {told}"]


def test_the_answer_for_another_or_a_revoked_certificate_is_a_fault(pki: Pki) -> None:
    answer(pki, leaf=certificate(new_key(), "shop.example"))
    assert faults(pki, NAMED) == ["vip[0].ocsp: shop.ocsp is the answer for another certificate; ask for this one"]
    answer(pki, REVOKED)
    assert faults(pki, NAMED) == ["vip[0].ocsp: shop.ocsp says that the certificate is revoked; get another"]


def test_a_response_of_another_certificate_of_the_vip_has_its_own_place(pki: Pki) -> None:
    key = new_key()
    pki.key("more.key", key)
    pki.chain("more.pem", certificate(key, "more.example"))
    answer(pki)
    more = {"certificate": "more.pem", "private_key": "more.key", "ocsp": "shop.ocsp"}
    (fault,) = faults(pki, {"more_certificates": [more]})
    assert fault.startswith("vip[0].more_certificates[0].ocsp: ")


@pytest.mark.parametrize(
    "begin,end,told",
    [
        (-8 * DAY, -DAY, "is out of date since"),
        (-6 * DAY, DAY, "and then it isn't sent any more"),
        (DAY, 7 * DAY, "is not good before"),
    ],
)
def test_what_is_old_or_of_tomorrow_is_a_note(pki: Pki, begin: timedelta, end: timedelta, told: str) -> None:
    answer(pki, begin=begin, end=end)
    assert faults(pki, NAMED) == []
    (note,) = notes(pki)
    assert note.startswith("vip[0].ocsp: shop.ocsp ")
    assert told in note


def test_a_certificate_that_demands_an_answer_is_told_of(pki: Pki) -> None:
    key = new_key()
    plain = certificate(key, "shop.example")
    demands = (
        x509.CertificateBuilder(plain.issuer, plain.subject, plain.public_key(), plain.serial_number)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 90 * DAY)
        .add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)
        .sign(key, SHA256())
    )
    pki.chain("shop.pem", demands)
    answer(pki, begin=-8 * DAY, end=-DAY)
    (note,) = staple_notes("vip[0]", settings(pki, NAMED).vips[0], NOW)
    assert "this certificate demands one: clients refuse it" in note
