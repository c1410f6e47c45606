"""What can be configured for a node, with every default and its reason: frozen records of checked values.

Reads no file. A default that depends on another value (the state folder on the node's name) is filled in here, so
whoever reads a setting reads what holds.
"""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from meshcache.config.crosschecks import cross_faults
from meshcache.config.table import Table
from meshcache.config.tickets import TicketsSettings, export_faults
from meshcache.config.tiers import TierSettings
from meshcache.config.values import (
    NAME_CHARS_MAX,
    SOCKET_PATH_BYTES_MAX,
    WORKERS_MAX,
    AccessFile,
    Bind,
    FilePath,
    FilePathOrOff,
    HookName,
    HostName,
    InterfaceAddress,
    Listed,
    Name,
    Number,
    Ports,
    Seed,
    Size,
    Target,
    Truth,
    Whole,
    Workers,
    split_address,
)
from meshcache.config.vip import VipSettings
from meshcache.core.values.topology import VIPS_MAX
from meshcache.errors import ConfigError

SEEDS_MAX = 256
"""A seed only has to be enough to find one member; the members tell of the rest."""

HOOKS_MAX = 16
"""Of each kind: each is a thread."""

MAX_BYTES_MIN = 64 * 1024
"""Room for a few of the largest sessions; less would evict each as it comes."""


def default_node_name() -> str:
    """Return the host's name, with what a node's name can't have replaced;
    hosts may be named freely (gethostname(2)).
    """
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", socket.gethostname()).strip("-.")
    return cleaned[:NAME_CHARS_MAX].rstrip("-.") or "node"


class NodeSettings(Table):
    """Who this node is."""

    name: Name = Field(default_factory=default_node_name, examples=["edge-1"])
    """Unique in the mesh. Default: the host's name, which is unique where one node runs on a host."""

    colo: Name = Field(default="local", examples=["ams1"])
    """The datacenter. Nodes of one colo share under ``reach = "colo"``, so name it where there is more than one."""

    state_dir: FilePathOrOff = Field(
        default_factory=lambda valid: Path("state") / valid["name"], validate_default=True, examples=["state"]
    )
    """Where the node keeps what must survive a restart. Default: ``state/NAME``, so that several nodes started from one
    file stay out of each other's way. False, for a machine on which nothing can be written: nothing is kept."""


class MeshSettings(Table):
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

    worker_ports: Ports | None = Field(default=None, examples=["7947-7962"])
    """Where workers listen, each on the port of its number from the first on. Default: on any free one, which no list
    of seeds and no firewall can name."""

    interfaces: Annotated[tuple[InterfaceAddress, ...], Listed] = Field(
        default_factory=lambda valid: _specific_host(valid["listen"]), max_length=64, examples=[["10.0.0.4"]]
    )
    """Where mDNS is spoken. Default: the address in ``listen`` if it is one machine's, else none; never all of them,
    because whoever hears mDNS learns that this node exists."""

    mdns: Truth = Field(default_factory=lambda valid: bool(valid["interfaces"]), examples=[True])
    """Find peers on the LAN without a list. Default: wherever there is an interface to speak it on."""

    seeds: Annotated[tuple[Seed, ...], Listed] = Field(default=(), max_length=SEEDS_MAX, examples=[["10.0.0.7:7946"]])
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


class CacheSettings(Table):
    """How much this node remembers, over all its VIPs; whichever limit is met first evicts the oldest."""

    max_sessions: Whole = Field(default=100_000, ge=1, le=100_000_000, examples=[100_000])
    """With the default lifetime of an hour: 28 new sessions a second, from the whole mesh."""

    max_bytes: Size = Field(default=64 * 2**20, ge=MAX_BYTES_MIN, examples=["64MiB"])
    """A session counts as about 360 bytes; 64 MiB hold more than the default number of sessions needs."""


class AdminSettings(Table):
    """Where operators and programs ask this node."""

    socket: FilePathOrOff = Field(default=None, examples=["state/admin.sock"])
    """Unix socket to read and write, for its owner only. Default: ``admin.sock`` in the state folder, and none where a
    program builds the settings without a file; false is none."""

    http: Bind | None = Field(default=None, examples=["127.0.0.1:9946"])
    """Read-only HTTP for metrics and dashboard. Default: off. What other machines can reach needs a ``token_file``."""

    token_file: FilePathOrOff = Field(default=None, examples=["admin.token"])
    """What ``http`` asks for from everybody, as a Bearer token or a password. False says that none is needed, since
    something else keeps strangers out."""

    certificate: FilePath | None = Field(default=None, examples=["admin.pem"])
    """PEM: makes ``http`` speak TLS. Read again when the files change."""

    private_key: FilePath | None = Field(default=None, examples=["admin.key"])
    """PEM without a passphrase."""

    hosts: Annotated[tuple[HostName, ...], Listed] = Field(default=(), max_length=64, examples=[["edge-1.internal"]])
    """Names of this machine by which ``http`` may be asked, beside its host name and its addresses: a name that
    anybody could point here would let web pages from elsewhere in."""


def admin_faults(admin: AdminSettings) -> list[str]:
    """Return what is open to other machines and asks nobody who they are; half a pair for TLS."""
    faults = []
    asks = "token_file" in admin.model_fields_set
    if admin.http is not None and not asks and not ip_address(split_address(admin.http)[0]).is_loopback:
        faults.append(
            f"admin.http: {admin.http} can be reached from other machines: set admin.token_file to a file with a token "
            "(openssl rand -hex 32), or to false where something else keeps strangers out"
        )
    for key, other in (("certificate", "private_key"), ("private_key", "certificate")):
        if getattr(admin, key) is None and getattr(admin, other) is not None:
            faults.append(f"admin.{key}: is missing, and admin.{other} needs it; name a PEM file")
    return faults


class ServerSettings(Table):
    """Limits of the bundled server; an embedded node has none of it. Each keeps a slow or dead client from costing
    more than its own connection."""

    handshake_timeout_s: Number = Field(default=10.0, gt=0, le=300, examples=[10])
    """A client three packet losses away still gets through; a slow-loris is gone after this."""

    idle_timeout_s: Number = Field(default=60.0, gt=0, le=86_400, examples=[60])
    """Without a byte in either direction. Raise it for long polls and quiet WebSockets."""

    connect_timeout_s: Number = Field(default=5.0, gt=0, le=300, examples=[5])
    """To the backend, which is near: long enough for one lost SYN."""

    warm_s: Number = Field(default=10.0, ge=0, le=3600, examples=[10])
    """How long a start waits for peers and their sessions before it accepts; 0: not at all."""

    drain_s: Number = Field(default=10.0, ge=0, le=3600, examples=[10])
    """How long SIGTERM waits for open connections."""

    take_over_drain_s: Number = Field(default=3600.0, ge=0, le=604_800, examples=[3600])
    """How long open connections may go on after another process has taken over (``serve --take-over``)."""

    max_connections: Whole = Field(default=10_000, ge=1, le=1_000_000, examples=[10_000])
    """Over all VIPs, of each worker. A connection takes about 100 kB and one file descriptor, or two with a backend."""

    workers: Workers = Field(default=1, examples=[4, "auto"])
    """Processes that share the VIPs' addresses, each a node of its own with a cache of its own; "auto": as many as this
    process may use cores. One core does some thousand resumed handshakes a second."""


class HooksSettings(Table):
    """What others wrote for this node, by the name of an entry point in ``meshcache.hooks``, or ``module:Class``."""

    policies: Annotated[tuple[HookName, ...], Listed] = Field(
        default=(), max_length=HOOKS_MAX, examples=[["europe_only"]]
    )
    """Sharing policies of your own, which narrow those of the VIPs; all must agree. One that can't be loaded keeps the
    node from starting."""

    discoveries: Annotated[tuple[HookName, ...], Listed] = Field(
        default=(), max_length=HOOKS_MAX, examples=[["consul"]]
    )
    """Other ways to find peers, beside seeds and mDNS."""

    observers: Annotated[tuple[HookName, ...], Listed] = Field(default=(), max_length=HOOKS_MAX, examples=[["statsd"]])
    """Whoever is told what happens here, and the counters."""

    tiers: Annotated[tuple[HookName, ...], Listed] = Field(default=(), max_length=HOOKS_MAX, examples=[["s3_tier"]])
    """Where sessions go that memory has no room for, beside those of ``[tier]``; asked in this order, after those."""

    options: dict[str, dict[str, Any]] = Field(default={}, examples=[{"europe_only": {"colos": ["fra1"]}}])
    """For each of them by its name, what it is made with."""

    @field_validator("options", mode="after")
    @classmethod
    def _of_hooks_that_are_named(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        named = [name for key in ("policies", "discoveries", "observers", "tiers") for name in info.data.get(key, ())]
        strangers = sorted(options.keys() - set(named))
        if strangers:
            raise ValueError(f"no hook is named {strangers[0]} here; there is: {', '.join(named) or 'none'}")
        return options

    def options_of(self, name: str) -> dict[str, Any]:
        """Return what a hook is made with."""
        return self.options.get(name, {})


class LogSettings(Table):
    """What the bundled server writes beside its messages on standard error."""

    access: AccessFile = Field(default=None, examples=["/var/log/meshcache/access.log"])
    """A line for each connection that got past its handshake: a file, or "stdout". Default: none."""

    access_format: Literal["text", "json"] = Field(default="text", examples=["json"])
    """``key=value`` pairs, or an object."""


class Settings(BaseModel):
    """Everything one node is told. Build it with `load`, or in a program: ``Settings(vip=[VipSettings(name="shop")])``.

    Raises pydantic's ValidationError for a value that is wrong by itself, ConfigError for values that don't go
    together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: NodeSettings = Field(default_factory=NodeSettings)
    mesh: MeshSettings = Field(default_factory=MeshSettings)
    cache: CacheSettings = CacheSettings()
    admin: AdminSettings = AdminSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    hooks: HooksSettings = HooksSettings()
    tickets: TicketsSettings = TicketsSettings()
    tier: TierSettings = TierSettings()
    vips: tuple[VipSettings, ...] = Field(alias="vip", default=(), max_length=VIPS_MAX)

    @model_validator(mode="before")
    @classmethod
    def _absent_tables_are_empty(cls, plain: object) -> object:
        """So that their defaults are filled in as for a table that is there, relative to the same folder."""
        return {"node": {}, "mesh": {}, "admin": {}, "tier": {}} | plain if isinstance(plain, dict) else plain

    @field_validator("admin", mode="after")
    @classmethod
    def _socket_in_state_dir(cls, admin: AdminSettings, info: ValidationInfo) -> AdminSettings:
        node: NodeSettings | None = info.data.get("node")
        from_file = info.context is not None
        if from_file and "socket" not in admin.model_fields_set and node is not None and node.state_dir is not None:
            admin = admin.model_copy(update={"socket": node.state_dir / "admin.sock"})
        length = len(bytes(admin.socket)) if admin.socket else 0
        if length > SOCKET_PATH_BYTES_MAX:
            raise ValueError(
                f"socket is {length} bytes long ({admin.socket}), and Unix sockets take {SOCKET_PATH_BYTES_MAX}; "
                f'give a shorter one, such as "/run/meshcache/admin.sock"'
            )
        return admin

    @field_validator("tier", mode="after")
    @classmethod
    def _disk_in_state_dir(cls, tier: TierSettings, info: ValidationInfo) -> TierSettings:
        node: NodeSettings | None = info.data.get("node")
        return tier if node is None else tier.placed(node.state_dir)

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        faults = cross_faults(list(enumerate(self.vips)), self.mesh.listen, self.admin.http, self.hooks.policies)
        faults += admin_faults(self.admin)
        faults += export_faults(self.tickets.export, self.vips)
        if faults:
            raise ConfigError(faults)
        return self

    def vip(self, name: str) -> VipSettings | None:
        """Return the VIP of this name."""
        return next((vip for vip in self.vips if vip.name == name), None)

    def worker_faults(self) -> list[str]:
        """Return what a server with several workers can't do."""
        if self.server.workers == 1:
            return []
        faults = []
        if self.admin.socket is None:
            faults.append(
                "admin.socket: server.workers needs one, where the workers are asked together; it is turned off"
            )
        if self.node.state_dir is None:
            return [*faults, "node.state_dir: server.workers needs one, where they find each other; it is false"]
        longest = self.node.state_dir / f"worker-{WORKERS_MAX}" / "admin.sock"
        if len(bytes(longest)) > SOCKET_PATH_BYTES_MAX:
            faults.append(
                f"node.state_dir: each of server.workers has a socket in it, and {longest} is longer than Unix "
                f"sockets take ({SOCKET_PATH_BYTES_MAX} bytes)"
            )
        if self.tier.disk is not None and self.tier.disk.path != self.node.state_dir / "sessions":
            faults.append("tier.disk.path: each of server.workers has a folder of its own in its state; leave it out")
        if self.tickets.export:
            faults.append(
                "tickets.export: each of server.workers would write the same files; let `meshcache tickets agent`, "
                "with a node.name of its own, write them"
            )
        return faults

    def without_restart(self, running: Settings) -> Settings:
        """These settings as a node that runs takes them over: what needs a restart is as it is there."""
        kept = {key: getattr(running.mesh, key) for key in ("name", "listen", "advertise", "worker_ports")}
        return self.model_copy(
            update={
                "node": running.node,
                "admin": running.admin,
                "log": running.log,
                "hooks": running.hooks,
                "tier": running.tier,
                "mesh": self.mesh.model_copy(update=kept),
                "server": self.server.model_copy(update={"workers": running.server.workers}),
            }
        )

    def quota_of(self, name: str) -> float:
        """Return the part of the cache, 0 to 1, that this VIP may fill:
        its quota, or an equal part of what quotas leave.
        """
        quotas = {vip.name: vip.sharing.quota for vip in self.vips}
        own = quotas[name]
        if own is not None:
            return own
        without = [quota for quota in quotas.values() if quota is None]
        return max(0.0, 1 - sum(quota or 0 for quota in quotas.values())) / len(without)


def _specific_host(listen: str) -> tuple[str, ...]:
    host, _ = split_address(listen)
    return () if host in ("0.0.0.0", "::") else (host,)  # noqa: S104
