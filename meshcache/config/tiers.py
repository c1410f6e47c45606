"""What can be configured for the tiers behind memory: where sessions go that memory has no room for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from meshcache.config.table import Table
from meshcache.config.values import FilePath, Size

DISK_BYTES_MIN = 16 * 2**20
"""Below that, what one transaction changes would be a large part of the file."""

DISK_BYTES_MAX = 2**40
"""Each TiB of map takes the kernel page tables of 2 GB, when all of it is used."""


class DiskTierSettings(Table):
    """A file on this machine: it survives restarts. Needs ``pip install meshcache[disk]``."""

    path: FilePath | None = Field(default=None, examples=["/var/cache/meshcache/edge-1"])
    """A folder of this node's own, on a local file system. Default: ``sessions`` in the state folder."""

    max_bytes: Size = Field(default=512 * 2**20, ge=DISK_BYTES_MIN, le=DISK_BYTES_MAX, examples=["512MiB"])
    """Of the file. A session takes about 350 to 400 bytes; what was written or found longest ago goes first."""

    key: Literal["mesh", "memory"] = Field(default="mesh", examples=["memory"])
    """What sessions are sealed with: a key derived from the mesh key, or one that is nowhere but in memory. With that
    the file is cleared at each start, and a stolen disk is worth nothing even with the mesh key."""


class TierSettings(Table):
    """Where sessions go that memory has no room for, or that have to survive a restart; none by default."""

    disk: DiskTierSettings | None = Field(default=None)
    """See below."""

    def placed(self, state_dir: Path | None) -> TierSettings:
        """Return them with the disk's folder, which is in the state folder where none is named.

        Raises ValueError where there is neither.
        """
        if self.disk is None or self.disk.path is not None:
            return self
        if state_dir is None:
            raise ValueError("disk.path is missing, and node.state_dir is false; name a folder for the sessions")
        return self.model_copy(update={"disk": self.disk.model_copy(update={"path": state_dir / "sessions"})})
