from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from meshcache.tls import revocation
from meshcache.tls.revocation import LISTS_MAX, revoked_by

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def revocations(
    *serials: int,
    issuer: str = "main",
    number: int = 1,
    hours: int = 0,
    about: x509.ExtensionType | None = None,
    entry: x509.ExtensionType | None = None,
) -> bytes:
    at = NOW + timedelta(hours=hours)
    builder = x509.CertificateRevocationListBuilder(name(issuer), at, at + timedelta(days=1))
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if about is not None:
        builder = builder.add_extension(about, critical=True)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder(serial, at)
        if entry is not None:
            revoked = revoked.add_extension(entry, critical=False)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


def test_a_list_that_is_issued_anew_with_the_same_entries_is_the_same() -> None:
    assert revoked_by(revocations(1, 2)) == revoked_by(revocations(2, 1, number=2, hours=12))
    assert revoked_by(revocations()) == revoked_by(revocations(number=7, hours=1))
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    assert revoked_by(revocations(1, entry=reason)) == revoked_by(revocations(1)), "revoked is revoked"


def test_another_entry_issuer_or_subject_is_another_list() -> None:
    only_users = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    delta = x509.DeltaCRLIndicator(1)
    indirect = x509.CertificateIssuer([x509.DirectoryName(name("other"))])
    told = [
        revocations(),
        revocations(1),
        revocations(1, 2),
        revocations(12),
        revocations(1, issuer="second"),
        revocations(1, about=only_users),
        revocations(1, about=delta),
        revocations(1, entry=indirect),
    ]
    assert len({revoked_by(der) for der in told}) == len(told)


def test_what_cannot_be_read_is_known_by_its_bytes() -> None:
    assert revoked_by(b"junk") != revoked_by(b"other junk")
    assert revoked_by(b"junk") == revoked_by(b"junk")


def test_answers_are_remembered_within_a_maximum() -> None:
    first = revocations(1)
    for number in range(LISTS_MAX + 5):
        revoked_by(b"%d" % number)
    assert len(revocation._remembered) == LISTS_MAX
    assert revoked_by(first) == revoked_by(revocations(1, hours=3))
