"""Says that keys which systemd handed over change only with a restart: LoadCredential= copies them as a service starts.

A reload reads the copies again, and so ends well and changes nothing where somebody has changed the keys meanwhile.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from meshcache import Settings

log = logging.getLogger("meshcache.server")


class CredentialsNote:
    """Writes the line, once for each server."""

    def __init__(self) -> None:
        self._is_told = False

    def leave(self) -> None:
        """Say nothing: this is a worker, and its group does."""
        self._is_told = True

    def tell(self, settings: Settings) -> None:
        """A reload has read these keys again: name those of which it can have found nothing new."""
        keys = [] if self._is_told else list(_handed_over(settings))
        if keys:
            self._is_told = True
            log.warning(
                "%s: read from $CREDENTIALS_DIRECTORY, which systemd filled as the service started; a key that changed "
                "since then takes a restart",
                ", ".join(keys),
            )


def _handed_over(settings: Settings) -> Iterator[str]:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return
    if _lies_in(folder, settings.mesh.key_file):
        yield "mesh.key_file"
    for vip in settings.vips:
        if vip.listen and _lies_in(folder, vip.private_key):
            yield f"vip.{vip.name}.private_key"
        if vip.listen and any(_lies_in(folder, each.private_key) for each in vip.more_certificates):
            yield f"vip.{vip.name}.more_certificates.private_key"


def _lies_in(folder: str, path: Path | None) -> bool:
    return path is not None and path.is_relative_to(folder)
