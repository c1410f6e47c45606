"""What can be configured, with every default and its reason: frozen records of checked values.

Reads no file. A default that depends on another value (the state folder on the node's name) is filled in here, so
whoever reads a setting reads what holds.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from meshcache.config.crosschecks import cross_faults
from meshcache.config.values import (
    NAME_CHARS_MAX,
    SOCKET_PATH_BYTES_MAX,
    Bind,
    FilePath,
    FilePathOrOff,
    HostName,
    InterfaceAddress,
    Listed,
    Name,
    Number,
    ReachValue,
    Seed,
    Share,
    Size,
    Target,
    Truth,
    Whole,
    split_address,
)
from meshcache.core.policy import REACH_COLO
from meshcache.core.session import LIFETIME_S_MAX_TLS12, LIFETIME_S_MAX_TLS13
from meshcache.errors import ConfigError

VIPS_MAX = 1000
"""Every VIP's terms travel in every hello, which has to stay one message."""

LISTEN_MAX = 64
"""Addresses of one VIP: each is a socket of its own."""

NAMES_MAX = 1000
"""Names that one certificate covers; public authorities stop at 100."""

SEEDS_MAX = 256
"""A seed only has to be enough to find one member; the members tell of the rest."""

LINEAGE_S_MAX = 30 * 24 * 3600
"""How long renewals may put off the next full handshake; RFC 8446 section 4.6.1 asks for some limit, and names none."""

MAX_BYTES_MIN = 64 * 1024
"""Room for a few of the largest sessions; less would evict each as it comes."""


def default_node_name() -> str:
    """The host's name, with what a node's name can't have replaced; hosts may be named freely (gethostname(2))."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", socket.gethostname()).strip("-.")
    return cleaned[:NAME_CHARS_MAX].rstrip("-.") or "node"


class _Table(BaseModel):
    """One table of the file: unknown keys are faults, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class NodeSettings(_Table):
    """Who this node is."""

    name: Name = Field(default_factory=default_node_name, examples=["edge-1"])
    """Unique in the mesh. Default: the host's name, which is unique where one node runs on a host."""

    colo: Name = Field(default="local", examples=["ams1"])
    """The datacenter. Nodes of one colo share under ``reach = "colo"``, so name it where there is more than one."""

    state_dir: FilePath = Field(
        default_factory=lambda valid: Path("state") / valid["name"], validate_default=True, examples=["state"]
    )
    """Where the node keeps what must survive a restart. Default: ``state/NAME``, so that several nodes started from one
    file stay out of each other's way."""


class MeshSettings(_Table):
    """Which mesh this node is in, and how it finds the others."""

    name: Name = Field(default="meshcache", examples=["prod"])
    """Nodes of another mesh are ignored; the key decides who is a member, the name keeps test and production apart."""

    key_file: FilePath = Field(default=Path("mesh.key"), validate_default=True, examples=["mesh.key"])
    """The keyring, readable by its owner only. Whoever has a copy is a member."""

    listen: Bind = Field(default="0.0.0.0:7946", examples=["0.0.0.0:7946"])
    """Where peers connect; only holders of the mesh key get past the handshake. Port 0 picks a free port, which mDNS
    can tell others and a list of seeds can't."""

    advertise: Target | None = Field(default=None, examples=["10.0.0.4:7946"])
    """The address that peers are told to connect to. Needed where they can't reach the one in ``listen``."""

    interfaces: tuple[InterfaceAddress, ...] = Field(
        default_factory=lambda valid: _specific_host(valid["listen"]), max_length=64, examples=[["10.0.0.4"]]
    )
    """Where mDNS is spoken. Default: the address in ``listen`` if it is one machine's, else none; never all of them,
    because whoever hears mDNS learns that this node exists."""

    mdns: Truth = Field(default_factory=lambda valid: bool(valid["interfaces"]), examples=[True])
    """Find peers on the LAN without a list. Default: wherever there is an interface to speak it on."""

    seeds: tuple[Seed, ...] = Field(default=(), max_length=SEEDS_MAX, examples=[["10.0.0.7:7946"]])
    """Nodes to begin with where mDNS can't reach; one that answers is enough. ``dns:HOST:PORT`` is every address of a
    DNS name, such as a headless service's. A node's own address in the list does no harm."""

    @field_validator("mdns", mode="after")
    @classmethod
    def _somewhere_to_speak(cls, mdns: bool, info: ValidationInfo) -> bool:
        if mdns and info.data.get("interfaces") == ():
            raise ValueError(
                "mDNS has no interface to speak on: name this machine's address in mesh.interfaces, such as "
                '["10.0.0.4"], or set mesh.mdns = false and list seeds'
            )
        return mdns


class CacheSettings(_Table):
    """How much this node remembers, over all its VIPs; whichever limit is met first evicts the oldest."""

    max_sessions: Whole = Field(default=100_000, ge=1, le=100_000_000, examples=[100_000])
    """With the default lifetime of an hour: 28 new sessions a second, from the whole mesh."""

    max_bytes: Size = Field(default=64 * 2**20, ge=MAX_BYTES_MIN, examples=["64MiB"])
    """A session takes about 450 bytes; 64 MiB hold more than the default number of sessions needs."""


class AdminSettings(_Table):
    """Where operators and programs ask this node."""

    socket: FilePathOrOff = Field(default=None, examples=["state/admin.sock"])
    """Unix socket to read and write, for its owner only. Default: ``admin.sock`` in the state folder; false is off."""

    http: Bind | None = Field(default=None, examples=["127.0.0.1:9946"])
    """Read-only HTTP for metrics and dashboard. Default: off; it has no password, so keep it on a private address."""


class ServerSettings(_Table):
    """Limits of the bundled server; an embedded node has none of it. Each keeps a slow or dead client from costing
    more than its own connection."""

    handshake_timeout_s: Number = Field(default=10.0, gt=0, le=300, examples=[10])
    """A client three packet losses away still gets through; a slow-loris is gone after this."""

    idle_timeout_s: Number = Field(default=60.0, gt=0, le=86_400, examples=[60])
    """Without a byte in either direction. Raise it for long polls and quiet WebSockets."""

    connect_timeout_s: Number = Field(default=5.0, gt=0, le=300, examples=[5])
    """To the backend, which is near: long enough for one lost SYN."""

    drain_s: Number = Field(default=10.0, ge=0, le=3600, examples=[10])
    """How long SIGTERM waits for open connections."""

    max_connections: Whole = Field(default=10_000, ge=1, le=1_000_000, examples=[10_000])
    """Over all VIPs. A connection takes about 100 kB and one file descriptor, or two with a backend."""


class ClientAuthSettings(_Table):
    """Client certificates, which a VIP without this table never asks for."""

    mode: Literal["optional", "required"] = Field(examples=["required"])
    ca_file: FilePath = Field(examples=["clients-ca.pem"])
    """The authorities whose client certificates are good, in PEM; their names are sent to clients."""

    crl_file: FilePath | None = Field(default=None, examples=["clients-crl.pem"])
    """Revoked client certificates, in PEM: one list for each authority."""

    depth: Whole | None = Field(default=None, ge=0, le=100, examples=[2])
    """Intermediate authorities between a client's certificate and the root. Default: OpenSSL's own limit."""


class SharingSettings(_Table):
    """Where a VIP's sessions may be used; the stricter end of every crossing wins."""

    bind: Literal["name", "certificate"] = Field(default="name", examples=["name"])
    """What a session is bound to besides the server's name: with "certificate" the chain as well, so that a renewal of
    the certificate ends every session."""

    group: Name | None = Field(default=None, examples=["storefront"])
    """VIPs of one group take each other's sessions. Default: the VIP's own name, shared with no other VIP."""

    reach: ReachValue = Field(default=REACH_COLO, examples=["colo"])
    """How far sessions travel: "server", "colo", a list of colos, or "everywhere"."""

    client_certificates: Literal["never", "revalidate"] = Field(default="never", examples=["never"])
    """Whether a session that a client certificate was shown for may leave its server; "revalidate" checks the
    certificate again wherever it resumes."""

    lifetime_s: Number = Field(default=3600.0, ge=1, le=LIFETIME_S_MAX_TLS13, examples=[3600])
    """How long a session can be resumed. Longer saves more full handshakes, and leaves more behind for a thief."""

    lineage_s: Number = Field(default=86_400.0, ge=1, le=LINEAGE_S_MAX, examples=[86_400])
    """How long renewals in TLS 1.3 may go on after one full handshake."""

    quota: Share | None = Field(default=None, examples=["25%"])
    """The VIP's part of the cache, so that no VIP evicts another's. Default: an equal part of what others leave."""


class VipSettings(_Table):
    """One service address that clients see, and how its sessions are shared."""

    name: Name = Field(examples=["shop"])
    """The same on every server of the VIP: nodes share by this name."""

    listen: Annotated[tuple[Bind, ...], Listed] = Field(default=(), max_length=LISTEN_MAX, examples=[["0.0.0.0:8443"]])
    """Addresses of the bundled server. None: the VIP is served by a context that a program attaches."""

    certificate: FilePath | None = Field(default=None, examples=["shop.pem"])
    """PEM: the server's certificate first, then the intermediate ones."""

    private_key: FilePath | None = Field(default=None, examples=["shop.key"])
    """PEM without a passphrase, readable by its owner only."""

    names: Annotated[tuple[HostName, ...], Listed] = Field(
        default=(), max_length=NAMES_MAX, examples=[["shop.example"]]
    )
    """Server names under which sessions are good for one another. Default: each name that the certificate covers is
    alone."""

    backend: Target | None = Field(default=None, examples=["127.0.0.1:8080"])
    """Where decrypted bytes go. None: the built-in responder answers."""

    proxy_protocol: Truth = Field(default=False, examples=[False])
    """Tell the backend the client's address in a PROXY protocol version 2 header; the backend must expect it."""

    alpn: Annotated[tuple[str, ...], Listed] = Field(default=(), max_length=16, examples=[["http/1.1"]])
    """Application protocols by preference. Default: none, the backend speaks what it speaks."""

    min_tls: Literal["1.2", "1.3"] = Field(default="1.2", examples=["1.2"])
    """The lowest version accepted. Nothing below 1.2 is offered (RFC 8996)."""

    ciphers: str | None = Field(default=None, min_length=1, max_length=4096, examples=["ECDHE+AESGCM"])
    """TLS 1.2 ciphers, in OpenSSL's notation (openssl-ciphers(1)). Default: OpenSSL's own list."""

    client_auth: ClientAuthSettings | None = None
    sharing: SharingSettings = SharingSettings()

    @property
    def group(self) -> str:
        """The share group that holds: the one given, or the VIP alone under its own name."""
        return self.sharing.group or self.name

    @field_validator("min_tls", mode="before")
    @classmethod
    def _number_is_fine(cls, plain: object) -> object:
        return str(plain) if isinstance(plain, float) else plain

    @field_validator("alpn", mode="after")
    @classmethod
    def _alpn_fits(cls, protocols: tuple[str, ...]) -> tuple[str, ...]:
        for protocol in protocols:
            if not (protocol.isascii() and 0 < len(protocol) <= 255):
                raise ValueError('a protocol is 1 to 255 ASCII characters, such as "http/1.1" (RFC 7301 section 3.1)')
        return protocols

    @field_validator("sharing", mode="after")
    @classmethod
    def _lifetimes_fit(cls, sharing: SharingSettings, info: ValidationInfo) -> SharingSettings:
        if sharing.lifetime_s > LIFETIME_S_MAX_TLS12 and info.data.get("min_tls") == "1.2":
            raise ValueError(
                f"lifetime_s is at most {LIFETIME_S_MAX_TLS12} (24 hours) while the VIP speaks TLS 1.2; "
                'with min_tls = "1.3" it may be up to 7 days'
            )
        if sharing.lineage_s < sharing.lifetime_s:
            raise ValueError("lineage_s must be at least lifetime_s, or sessions would end before their lifetime")
        return sharing


class Settings(BaseModel):
    """Everything one node is told. Build it with `load`, or in a program: ``Settings(vip=[VipSettings(name="shop")])``.

    Raises pydantic's ValidationError for a value that is wrong by itself, ConfigError for values that don't go
    together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: NodeSettings = Field(default_factory=NodeSettings)
    mesh: MeshSettings = Field(default_factory=MeshSettings)
    cache: CacheSettings = CacheSettings()
    admin: AdminSettings = Field(default=AdminSettings(), validate_default=True)
    server: ServerSettings = ServerSettings()
    vips: tuple[VipSettings, ...] = Field(alias="vip", default=(), max_length=VIPS_MAX)

    @field_validator("admin", mode="after")
    @classmethod
    def _socket_in_state_dir(cls, admin: AdminSettings, info: ValidationInfo) -> AdminSettings:
        node: NodeSettings | None = info.data.get("node")
        if "socket" not in admin.model_fields_set and node is not None:
            admin = admin.model_copy(update={"socket": node.state_dir / "admin.sock"})
        length = len(bytes(admin.socket)) if admin.socket else 0
        if length > SOCKET_PATH_BYTES_MAX:
            raise ValueError(
                f"socket is {length} bytes long ({admin.socket}), and Unix sockets take {SOCKET_PATH_BYTES_MAX}; "
                f'give a shorter one, such as "/run/meshcache/admin.sock"'
            )
        return admin

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        faults = cross_faults(list(enumerate(self.vips)), self.mesh, self.admin)
        if faults:
            raise ConfigError(faults)
        return self

    def vip(self, name: str) -> VipSettings | None:
        """The VIP of this name."""
        return next((vip for vip in self.vips if vip.name == name), None)

    def share_of_cache(self, name: str) -> float:
        """The part of the cache, 0 to 1, that this VIP may fill: its quota, or an equal part of what quotas leave."""
        quotas = {vip.name: vip.sharing.quota for vip in self.vips}
        own = quotas[name]
        if own is not None:
            return own
        without = [quota for quota in quotas.values() if quota is None]
        return max(0.0, 1 - sum(quota or 0 for quota in quotas.values())) / len(without)


def _specific_host(listen: str) -> tuple[str, ...]:
    host, _ = split_address(listen)
    return () if host in ("0.0.0.0", "::") else (host,)  # noqa: S104
