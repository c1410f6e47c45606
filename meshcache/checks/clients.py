"""Judges what a VIP checks client certificates with, and whether VIPs of one share group use the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from meshcache.checks.pem import UnusableError, attempt, read_certificates, read_revocations
from meshcache.config import VipSettings

LATE_PART = 5
"""A list of which less than a fifth of its life is left should have been replaced: authorities issue the next one after
a half or sooner."""

SOON = timedelta(hours=1)
"""And one that ends within the hour in any case."""


def client_auth_faults(place: str, vip: VipSettings, now: datetime) -> list[str]:
    """Return every fault in the authorities and revocation lists of the VIP at `place`."""
    if vip.client_auth is None:
        return []
    faults: list[str] = []
    _check_authorities(faults, f"{place}.client_auth.ca_file", vip.client_auth.ca_file, now)
    if vip.client_auth.crl_file is not None:
        _check_revocations(faults, f"{place}.client_auth.crl_file", vip.client_auth.crl_file, now)
    return faults


def client_auth_notes(place: str, vip: VipSettings, now: datetime) -> list[str]:
    """Revocation lists that end soon: after their end every client certificate is refused."""
    path = None if vip.client_auth is None else vip.client_auth.crl_file
    if path is None:
        return []
    notes = []
    for number, revocations in enumerate(attempt([], place, read_revocations, path) or (), 1):
        begin, end = revocations.last_update_utc, revocations.next_update_utc
        if end is not None and now < end < now + max((end - begin) / LATE_PART, SOON):
            notes.append(
                f"{place}.client_auth.crl_file: {path}, list {number}, ends at {end:%Y-%m-%d %H:%M} UTC, and from then "
                "on every client certificate is refused; fetch the newest"
            )
    return notes


def disagreeing_authorities(vips: Sequence[VipSettings]) -> Iterator[str]:
    """Return VIPs of one share group whose files hold different authorities or lists: they would share nothing.

    Files that can't be read are left to `client_auth_faults`.
    """
    first: dict[str, tuple[int, VipSettings]] = {}
    for index, vip in enumerate(vips):
        at, other = first.setdefault(vip.group, (index, vip))
        if vip.client_auth is None or other.client_auth is None:
            continue
        pairs = (
            ("ca_file", vip.client_auth.ca_file, other.client_auth.ca_file),
            ("crl_file", vip.client_auth.crl_file, other.client_auth.crl_file),
        )
        for key, own, theirs in pairs:
            if own and theirs and own != theirs and _differ(key, own, theirs):
                yield (
                    f"vip[{index}].client_auth.{key}: {own} and {theirs} of vip[{at}] hold different entries, and both "
                    f'VIPs are in share group "{vip.group}"; use the same file or two groups'
                )


def _differ(key: str, own: Path, theirs: Path) -> bool:
    try:
        return _fingerprints(key, own) != _fingerprints(key, theirs)
    except UnusableError:
        return False


def _fingerprints(key: str, path: Path) -> set[bytes]:
    entries = read_certificates(path) if key == "ca_file" else read_revocations(path)
    return {sha256(entry.public_bytes(Encoding.DER)).digest() for entry in entries}


def _check_authorities(faults: list[str], place: str, path: Path, now: datetime) -> None:
    for number, authority in enumerate(attempt(faults, place, read_certificates, path) or (), 1):
        if authority.not_valid_after_utc < now:
            ended = f"{authority.not_valid_after_utc:%Y-%m-%d}"
            faults.append(f"{place}: {path}, certificate {number}, expired on {ended}; renew or remove it")


def _check_revocations(faults: list[str], place: str, path: Path, now: datetime) -> None:
    for number, revocations in enumerate(attempt(faults, place, read_revocations, path) or (), 1):
        ends = revocations.next_update_utc
        if ends is not None and ends < now:
            faults.append(
                f"{place}: {path}, list {number}, was to be replaced by {ends:%Y-%m-%d %H:%M} UTC, so every client "
                "certificate would be refused; fetch the newest"
            )
