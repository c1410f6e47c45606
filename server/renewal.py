"""Notices that certificates, keys, staples or client authorities were replaced on disk; reads none of them.

Looks at what the names lead to, so a link that is turned to another folder (Kubernetes' ``..data``, an ACME client's
``live/``) is a change too. Waits until a change is over, and tells each one once: half a new pair is a
change that can't be used, and its other half the next. One that couldn't be read is told again, now and then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from meshcache import Settings

LOOK_S = 2.0
"""Between two looks. A look costs a stat(2) for each file; polling works on every file system, notification doesn't."""

AGAIN_LOOKS = 30
"""After so many, a minute, what couldn't be read is tried again: perhaps only no descriptor was left just then."""

Signature = tuple[tuple[int, int, int, int] | None, ...]


class Renewal:
    """What the files of one configuration were when they were last taken."""

    def __init__(self, settings: Settings) -> None:
        self._faults: list[str] = []
        self._looks = 0
        self.taken(self.look(settings))

    def look(self, settings: Settings) -> tuple[list[Path], Signature]:
        """Return how the files of these settings are now. Look before reading them:
        what changes after is then noticed.
        """
        files = list(_files(settings))
        return files, _signature(files)

    def taken(self, looked: tuple[list[Path], Signature]) -> None:
        """The files as they were at that look, or after, are in use."""
        self._files, self._taken = looked
        self._before = self._tried = self._read = self._taken

    def read(self, looked: tuple[list[Path], Signature]) -> None:
        """The files as they were at that look, or after, could be read: whatever else is wrong, trying them again is
        of no use.
        """
        self._read = looked[1]

    def due(self) -> bool:
        """Return whether the files have changed since they were taken and not since the last look; once for each
        change, and again after `AGAIN_LOOKS` where they couldn't be read.
        """
        now = _signature(self._files)
        settled, self._before = now == self._before, now
        if now == self._taken:
            self._tried = now
        if not settled or now == self._taken:
            return False
        if now != self._tried:
            self._tried, self._faults, self._looks = now, [], 0
            return True
        self._looks += 1
        return now != self._read and self._looks % AGAIN_LOOKS == 0

    def news(self, faults: list[str]) -> list[str]:
        """Return those faults of a change that weren't found when it was tried before."""
        known, self._faults = self._faults, faults
        return [fault for fault in faults if fault not in known]


def _files(settings: Settings) -> Iterator[Path]:
    for vip in settings.vips:
        if not vip.listen:
            continue
        for pair in vip.certificates:
            yield from (pair.certificate, pair.private_key, *([pair.ocsp] if pair.ocsp else []))
        if vip.client_auth is not None:
            yield from (vip.client_auth.ca_file, *([vip.client_auth.crl_file] if vip.client_auth.crl_file else []))


def _signature(files: list[Path]) -> Signature:
    return tuple(map(_one, files))


def _one(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
