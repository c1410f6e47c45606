"""Says what a revocation list revokes, so that one that is issued anew with the same entries makes no difference.

Authorities issue lists every few hours or days, and the servers of a fleet fetch them at different times: if the list's
bytes counted, each would end every session, and part the fleet until the last server has the newest.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from cryptography import x509

LISTS_MAX = 32
"""Lists whose answer is remembered, for servers that make a context for each connection; the oldest go first."""

_OF_NO_CONSEQUENCE = frozenset({x509.CRLNumber, x509.AuthorityKeyIdentifier, x509.FreshestCRL})
"""Extensions of a list that say which issue it is or where others are; the issuer's key is known as an authority."""

_remembered: OrderedDict[bytes, bytes] = OrderedDict()


def revoked_by(der: bytes) -> bytes:
    """Return SHA-256 over the issuer of a revocation list, what it is about and every entry, in any order; not its
    dates.

    One that can't be read is known by its bytes.
    """
    name = sha256(der).digest()
    known = _remembered.get(name)
    if known is None:
        known = _remembered[name] = _digest(der) or name
        while len(_remembered) > LISTS_MAX:
            _remembered.popitem(last=False)
    return known


def _digest(der: bytes) -> bytes | None:
    try:
        revocations = x509.load_der_x509_crl(der)
        extensions = [each for each in revocations.extensions if type(each.value) not in _OF_NO_CONSEQUENCE]
        about = sorted(f"{each.oid.dotted_string} {each.value.public_bytes().hex()}" for each in extensions)
        entries = sorted(map(_entry, revocations))
        issuer = revocations.issuer.public_bytes()
    except ValueError:
        return None
    digest = sha256(b"revocation list")
    for part in (issuer, *map(str.encode, about), b"entries", *map(str.encode, entries)):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _entry(revoked: x509.RevokedCertificate) -> str:
    """Return the certificate that an entry names: in an indirect list its issuer stands in an extension (RFC 5280,
    5.3.3).
    """
    issuers = [each.value for each in revoked.extensions if isinstance(each.value, x509.CertificateIssuer)]
    return f"{revoked.serial_number:x} {' '.join(issuer.public_bytes().hex() for issuer in issuers)}"
