"""The certificate of the read-only port: loaded at the start, and again whenever its files were replaced.

A pair that doesn't fit together, as while only one half is new, is never used: the one before stays.
"""

from __future__ import annotations

import logging
import ssl
import stat
from pathlib import Path
from typing import Final

from meshcache.config import AdminSettings
from meshcache.edges.secrecy import why_exposed
from meshcache.errors import ConfigError

LOOK_S: Final = 2.0
"""Between two looks: a stat(2) of each file, which sees a link that was turned (Kubernetes' ``..data``) as well."""

_log = logging.getLogger("meshcache.admin")

Signature = tuple[tuple[int, int, int, int] | None, ...]


class AdminCertificate:
    """The pair of files, and what they were when they were last looked at."""

    def __init__(self, certificate: Path, private_key: Path) -> None:
        self._certificate = certificate
        self._private_key = private_key
        self._taken = self._before = self._signature()
        self._told: Signature | None = None  # of what didn't fit

    @classmethod
    def of(cls, settings: AdminSettings) -> AdminCertificate | None:
        """Return that of these settings; None where the port speaks plain HTTP."""
        if settings.certificate is None or settings.private_key is None:
            return None
        return cls(settings.certificate, settings.private_key)

    def context(self) -> ssl.SSLContext:
        """Return a context of what the files hold now. Raises ConfigError."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            for key, path in (("certificate", self._certificate), ("private_key", self._private_key)):
                why = _why_not(path, secret=key == "private_key")
                if why is not None:
                    raise ConfigError([f"admin.{key}: {why}"])
            context.load_cert_chain(self._certificate, self._private_key, password=_no_passphrase)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(
                [f"admin.certificate: {self._certificate} and its key can't be used: {why.lower()}"]
            ) from None
        return context

    def renewed(self) -> ssl.SSLContext | None:
        """Return a new context when the files have changed, haven't since the last look, and fit; once for each change.

        What doesn't fit is one line in the log, and looked at again: perhaps it was only that no descriptor was left.
        """
        now = self._signature()
        settled, self._before = now == self._before, now
        if not settled or now == self._taken:
            return None
        try:
            context = self.context()
        except ConfigError as error:
            if now != self._told:
                _log.warning("the certificate of admin.http changed and isn't taken yet: %s", "; ".join(error.faults))
            self._told = now
            return None
        self._taken = now
        return context

    def _signature(self) -> Signature:
        return tuple(map(_one, (self._certificate, self._private_key)))


def _why_not(path: Path, *, secret: bool) -> str | None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO would hang
        return f"{path} is not a regular file"
    why = why_exposed(path, status) if secret else None
    return None if why is None else f"{path}: {why}"


def _one(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, which a server can't type")
