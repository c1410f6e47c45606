"""What can be configured for the tiers behind memory: where sessions go that memory has no room for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from meshcache.config.table import Table
from meshcache.config.values import FilePath, Number, Size, parse_target, shown, split_address

DISK_BYTES_MIN = 16 * 2**20
"""Below that, what one transaction changes would be a large part of the file."""

DISK_BYTES_MAX = 2**40
"""Each TiB of map takes the kernel page tables of 2 GB, when all of it is used."""


class StoreAddress(NamedTuple):
    """Where a store is."""

    host: str
    port: int
    path: str
    database: int
    tls: bool


def parse_store(plain: Any) -> StoreAddress:
    """Return the store of a URL. Raises ValueError with what would be right; a password isn't repeated."""
    text = plain if isinstance(plain, str) else ""
    if "@" in text:
        raise ValueError("a password has no place in the url: name a password_file, and a username where there is one")
    if text.startswith("unix:/") and "\0" not in text:
        return StoreAddress("", 0, "/" + text.removeprefix("unix:").lstrip("/"), 0, False)
    try:
        parts = urlsplit(text)
        database = int(parts.path.removeprefix("/") or 0)
    except ValueError:
        parts, database = urlsplit(""), 0
    if parts.scheme not in _SCHEMES or parts.query or parts.fragment or not 0 <= database <= 10_000:
        raise ValueError(f'a store is "valkeys://store.internal:6379/0" or "unix:/run/valkey.sock", not {shown(plain)}')
    host, port = split_address(
        parse_target(parts.netloc if ":" in parts.netloc.rpartition("]")[2] else f"{parts.netloc}:6379")
    )
    return StoreAddress(host, port, "", database, _SCHEMES[parts.scheme])


_SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}

StoreUrl = Annotated[StoreAddress, PlainValidator(parse_store), PlainSerializer(lambda store: tuple(store))]


class DiskTierSettings(Table):
    """A file on this machine: it survives restarts. Needs ``pip install meshcache[disk]``."""

    path: FilePath | None = Field(default=None, examples=["/var/cache/meshcache/edge-1"])
    """A folder of this node's own, on a local file system. Default: ``sessions`` in the state folder."""

    max_bytes: Size = Field(default=512 * 2**20, ge=DISK_BYTES_MIN, le=DISK_BYTES_MAX, examples=["512MiB"])
    """Of the file. A session takes about 345 bytes; what was written or found longest ago goes first."""

    key: Literal["mesh", "memory"] = Field(default="mesh", examples=["memory"])
    """What sessions are sealed with: a key derived from the mesh key, or one that is nowhere but in memory. With that
    the file is cleared at each start, and a stolen disk is worth nothing even with the mesh key."""


class ValkeyTierSettings(Table):
    """A Valkey, or a Redis from 6 on, that somebody runs already. Needs ``pip install meshcache[valkey]``."""

    url: StoreUrl = Field(examples=["valkeys://store.internal:6379/0"])
    """``valkey://HOST:PORT/DATABASE``, ``valkeys://`` with TLS, or ``unix:/path`` of a socket. No password: see
    ``password_file``."""

    username: str | None = Field(default=None, min_length=1, max_length=128, examples=["meshcache"])
    """Of the store's ACL. It needs GETRANGE, SET, UNLINK, INFO and PING, on keys that begin with ``meshcache:``."""

    password_file: FilePath | None = Field(default=None, examples=["valkey.password"])
    """A file with the password in its first line, mode 0600; read at each new connection, so it may be changed."""

    ca_file: FilePath | None = Field(default=None, examples=["store-ca.pem"])
    """PEM: the authorities that the store's certificate is checked with. Default: the system's."""

    certificate: FilePath | None = Field(default=None, examples=["edge-1.pem"])
    """PEM: what this node shows to a store that asks for a certificate."""

    private_key: FilePath | None = Field(default=None, examples=["edge-1.key"])
    """PEM without a passphrase."""

    wait_ms: Number = Field(default=20.0, ge=1, le=1000, examples=[20])
    """How long a handshake waits for the store at most."""

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        tls_only = [name for name in ("ca_file", "certificate") if getattr(self, name) is not None]
        if tls_only and not self.url.tls:
            raise ValueError(f"{tls_only[0]} is for TLS, and the url isn't valkeys://")
        if self.username is not None and self.password_file is None:
            raise ValueError("a username needs a password_file")
        return self


class TierSettings(Table):
    """Where sessions go that memory has no room for, or that have to survive a restart; none by default."""

    disk: DiskTierSettings | None = Field(default=None)
    """See below. Asked first."""

    valkey: ValkeyTierSettings | None = Field(default=None)
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
