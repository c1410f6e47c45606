"""Reads when each certificate of a file ends, whether a server runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from meshcache.checks.certificates import moment, subject_names
from meshcache.checks.pem import UnusableError, read_certificates
from meshcache.config import Settings
from meshcache.doctor.finding import Finding, fine, note, problem
from meshcache.doctor.front import ENDS_SOON_S

RENEW = "renew it; the server reads it by itself"


def certificate_findings(settings: Settings) -> Iterator[Finding]:
    """One for each certificate: of each VIP, and of the admin port."""
    now = datetime.now(UTC)
    for vip in settings.vips:
        for pair in vip.certificates:
            yield _finding(f"certificate of VIP {vip.name}", pair.certificate, now)
    if settings.admin.certificate is not None:
        yield _finding("certificate of admin.http", settings.admin.certificate, now)


def _finding(name: str, path: Path, now: datetime) -> Finding:
    try:
        chain = read_certificates(path)
    except UnusableError as error:
        return problem(name, str(error), "name a PEM file that the user who runs the server can read")
    first = min(chain, key=lambda each: each.not_valid_after_utc)
    end = first.not_valid_after_utc
    which = f"{path} for {(*subject_names(chain[0]), 'no name')[0]}" + ("" if first is chain[0] else ", by its chain,")
    left_s = (end - now).total_seconds()
    if left_s <= 0:
        return problem(name, f"{which} ended at {moment(end)}: clients refuse it", RENEW)
    days = f"{left_s // 86_400:.0f} days" if left_s >= 2 * 86_400 else f"{left_s // 3600:.0f} hours"
    if left_s < ENDS_SOON_S:
        return note(name, f"{which} ends in {days}, at {moment(end)}", RENEW)
    return fine(name, f"{which} ends in {days}")
