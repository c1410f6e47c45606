"""Judges a VIP's certificate: does its key fit, is it of today, does it cover every name that the VIP lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshcache.checks.pem import attempt, read_certificates, read_private_key
from meshcache.config import CertificateSettings, VipSettings
from meshcache.core.policy.scope import covers

ENDS_SOON = timedelta(days=14)
"""Public authorities renew after two thirds of a certificate's life, so one with two weeks left was forgotten."""

SHOWN_NAMES_MAX = 5


def certificate_faults(place: str, vip: VipSettings, now: datetime) -> list[str]:
    """Return every fault of the certificate and key of the VIP at `place`."""
    if vip.certificate is None or vip.private_key is None:
        faults = pair_faults(place, vip.certificate, vip.private_key, (), now)
    else:
        faults = [
            fault
            for at, pair in placed_certificates(place, vip)
            for fault in pair_faults(at, pair.certificate, pair.private_key, vip.names, now)
        ]
    return faults


def placed_certificates(place: str, vip: VipSettings) -> list[tuple[str, CertificateSettings]]:
    """Return each certificate of the VIP at `place`, with its own place in the file."""
    places = [place, *(f"{place}.more_certificates[{at}]" for at in range(len(vip.more_certificates)))]
    return list(zip(places, vip.certificates, strict=False))


def names_taken_twice(vips: Sequence[VipSettings]) -> Iterator[str]:
    """Two VIPs of one address whose certificates have one name: which of them answers would be an accident."""
    first: dict[tuple[str, str], int] = {}
    for index, vip in enumerate(vips):
        chains = [attempt([], "", read_certificates, pair.certificate) for pair in vip.certificates]
        names = {name.lower() for chain in chains if chain for name in subject_names(chain[0])} | set(vip.names)
        for address in (each for each in vip.listen if not each.endswith(":0")):
            for name in sorted(names):
                other = first.setdefault((address, name), index)
                if other != index:
                    yield (
                        f"vip[{index}].certificate: vip[{other}] answers for {name} on {address} already; give one of "
                        "them another address, or certificates that share no name"
                    )


def pair_faults(
    place: str, certificate: Path | None, private_key: Path | None, names: Sequence[str], now: datetime
) -> list[str]:
    """Return every fault of one certificate and its key; either may be missing."""
    faults: list[str] = []
    chain = certificate and attempt(faults, f"{place}.certificate", read_certificates, certificate)
    key = private_key and attempt(faults, f"{place}.private_key", read_private_key, private_key)
    if certificate and chain:
        faults += (f"{place}.certificate: {fault}" for fault in _chain_faults(certificate, chain, now))
        faults += (f"{_place_of_names(place)}[{at}]: {fault}" for at, fault in _uncovered(names, chain[0]))
    if chain and key and not _fit(chain[0], key):
        faults.append(f"{place}.private_key: {private_key} is not the key of the first certificate in {certificate}")
    return faults


def _place_of_names(place: str) -> str:
    return place.partition(".more_certificates")[0] + ".names"


def certificate_notes(place: str, vip: VipSettings, now: datetime) -> list[str]:
    """Return what is no fault of the certificate and yet worth knowing."""
    return [note for at, pair in placed_certificates(place, vip) for note in _pair_notes(at, pair.certificate, now)]


def _pair_notes(place: str, certificate: Path, now: datetime) -> Iterator[str]:
    chain = attempt([], place, read_certificates, certificate)
    if not chain:
        return
    left = chain[0].not_valid_after_utc - now
    if timedelta(0) < left < ENDS_SOON:
        yield f"{place}.certificate: {certificate} ends in {left.days} days; renew it: the server reads it by itself"
    if not subject_names(chain[0]):
        addresses = subject_addresses(chain[0])
        what = f"is for addresses only ({_shown(addresses)})" if addresses else "has no subject alternative name"
        yield (
            f"{place}.certificate: {certificate} {what}, so clients that send a host name share no sessions; issue it "
            "for that name, as a DNS name among its subject alternative names"
        )


def subject_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names a certificate is for; the common name is none of them (RFC 9525 section 2)."""
    names = _alternative_names(certificate)
    return () if names is None else tuple(names.get_values_for_type(x509.DNSName))


def subject_addresses(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the IP addresses a certificate is for."""
    names = _alternative_names(certificate)
    return () if names is None else tuple(map(str, names.get_values_for_type(x509.IPAddress)))


def _common_names(certificate: x509.Certificate) -> list[x509.NameAttribute[str | bytes]]:
    """Return what clients no longer look at, though some that pin a certificate have nothing else."""
    return certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES_MAX]) + (", …" if len(names) > SHOWN_NAMES_MAX else "")


def _chain_faults(path: Path, chain: Sequence[x509.Certificate], now: datetime) -> Iterator[str]:
    for number, certificate in enumerate(chain, 1):
        which = f"{path}" if number == 1 else f"{path}, certificate {number},"
        if certificate.not_valid_after_utc < now:
            yield f"{which} expired on {moment(certificate.not_valid_after_utc)}; renew it"
        elif certificate.not_valid_before_utc > now:
            yield f"{which} is not valid before {moment(certificate.not_valid_before_utc)}; is the clock right?"
    if not (subject_names(chain[0]) or subject_addresses(chain[0]) or _common_names(chain[0])):
        yield f"{path} covers no name: it has neither a subject alternative name nor a common name; get another"
    if not _for_servers(chain[0]):
        yield f"{path} is not for TLS servers (its extended key usage lacks serverAuth)"
    for number, (one, issuer) in enumerate(pairwise(chain), 2):
        if one.issuer != issuer.subject:
            yield f"{path}, certificate {number}, is not the issuer of the one before; the server's comes first"


def _for_servers(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _uncovered(names: Sequence[str], certificate: x509.Certificate) -> Iterator[tuple[int, str]]:
    covered = subject_names(certificate)
    shown = _shown([*covered, *subject_addresses(certificate)])
    for at, name in enumerate(names):
        if not covers(covered, name):
            yield at, f"the certificate does not cover {name}; it is for {shown or 'no name at all'}"


def _fit(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def moment(when: datetime) -> str:
    """Return a time as faults tell it."""
    return f"{when:%Y-%m-%d %H:%M} UTC"
