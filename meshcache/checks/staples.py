"""Judges the OCSP responses that are to be sent along with certificates: readable, for this certificate, not over.

A response that is out of date is a note and no fault: the server doesn't send it, and clients take the certificate
without, unless it demands one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509 import ocsp

from meshcache.checks.certificates import moment, placed_certificates
from meshcache.checks.pem import UnusableError, attempt, read_certificates, read_file
from meshcache.config import VipSettings

LATE_PART = 5
"""A response of which less than a fifth of its life is left should have been replaced: they are fetched anew after half
of it, as authorities and Apache do (RFC 6960 section 2.4)."""


def staple_faults(place: str, vip: VipSettings) -> list[str]:
    """Return what the server would refuse about the responses of the VIP at `place`."""
    faults: list[str] = []
    for at, path, certificate in _placed(place, vip):
        attempt(faults, f"{at}.ocsp", _response, path, certificate)
    return faults


def staple_notes(place: str, vip: VipSettings, now: datetime) -> Iterator[str]:
    """Yield which responses aren't sent since they are out of date, or soon will be."""
    for at, path, certificate in _placed(place, vip):
        response = attempt([], at, _response, path, certificate)
        if response is None:
            continue
        begin, end = response.this_update_utc, response.next_update_utc
        if begin > now:
            yield f"{at}.ocsp: {path} is not good before {moment(begin)}, so clients may refuse it; is the clock right?"
        if end is not None and end < now:
            demanded = ", and this certificate demands one: clients refuse it" if _demands(certificate) else ""
            yield f"{at}.ocsp: {path} is out of date since {moment(end)} and not sent{demanded}; fetch a newer one"
        elif end is not None and end - now < max((end - begin) / LATE_PART, timedelta(hours=1)):
            yield f"{at}.ocsp: {path} ends at {moment(end)}, and then it isn't sent any more; fetch a newer one"


def _placed(place: str, vip: VipSettings) -> Iterator[tuple[str, Path, x509.Certificate]]:
    """Yield each response that is named, where its certificate can be read: else that is the fault."""
    for at, pair in placed_certificates(place, vip):
        chain = attempt([], at, read_certificates, pair.certificate)
        if pair.ocsp is not None and chain:
            yield at, pair.ocsp, chain[0]


def _response(path: Path, certificate: x509.Certificate) -> ocsp.OCSPResponse:
    content = read_file(path)
    try:
        response = ocsp.load_der_ocsp_response(content)
        status = response.response_status
    except ValueError:
        raise UnusableError(f"{path} holds no OCSP response in DER that can be read") from None
    if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise UnusableError(f"{path} says {status.name.lower()}; ask the authority again")
    if response.serial_number != certificate.serial_number:
        raise UnusableError(f"{path} is the answer for another certificate; ask for this one")
    if response.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        raise UnusableError(f"{path} says that the certificate is revoked; get another")
    return response


def _demands(certificate: x509.Certificate) -> bool:
    """Return whether it is a "must staple" one (RFC 7633)."""
    try:
        features = certificate.extensions.get_extension_for_class(x509.TLSFeature).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return x509.TLSFeatureType.status_request in features
