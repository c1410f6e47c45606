"""Where everything in the demo stands: six servers in two colos, three VIPs, their files in a folder of the run's own.

Starts nothing. Every address is on loopback (Linux answers on all of 127.0.0.0/8), so that one port can be the same VIP
on six servers, as it would be behind a load balancer.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring

COLOS = {"ams1": ("edge-1", "edge-2", "edge-3"), "fra1": ("edge-4", "edge-5", "edge-6")}

MULTICAST_INTERFACE = "127.0.0.1"

_PORTS = range(20_000, 32_000)
"""Below the ports that Linux hands to outgoing connections (32768 and up), so that none is taken between our look and
the servers' bind."""

_PORT_TRIES_MAX = 200

_CERTIFICATE_LIFE = timedelta(days=30)
"""More than the two weeks from which on a certificate is called forgotten."""


@dataclass(frozen=True, slots=True)
class Vip:
    """One service address: the same on every server, reached under ``host``."""

    name: str
    host: str
    group: str
    reach: str
    certificate: str


VIPS = (
    Vip("shop", "shop.example", "storefront", "everywhere", "storefront"),
    Vip("checkout", "checkout.example", "storefront", "colo", "storefront"),
    Vip("intranet", "intranet.example", "intranet", "colo", "intranet"),
)
"""Two that share and one alone. `checkout` takes the shop's sessions in its own colo only, so a border runs inside the
group too."""


@dataclass(frozen=True, slots=True)
class Server:
    """One node: its name, its colo, and the loopback address that stands for its machine."""

    name: str
    colo: str
    host: str


SERVERS = tuple(
    Server(name, colo, f"127.0.{place}.{number}")
    for place, (colo, names) in enumerate(COLOS.items(), 1)
    for number, name in enumerate(names, 1)
)


DASHBOARD = SERVERS[0]
"""The server that has a page for a browser; where, its log tells."""

_DASHBOARD_TOML = """
[admin]
http = "127.0.0.1:0"
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One VIP on one server: where a client knocks."""

    vip: Vip
    server: Server

    def __str__(self) -> str:
        return f"{self.vip.name} on {self.server.name} ({self.server.colo})"


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """The files of one run and the ports that it uses."""

    folder: Path
    mdns: bool
    ports: dict[str, int] = field(default_factory=dict)

    def file(self, server: Server) -> Path:
        return self.folder / f"{server.name}.toml"

    def admin_socket(self, server: Server) -> Path:
        return self.folder / server.name / "admin.sock"

    def log(self, server: Server) -> Path:
        return self.folder / f"{server.name}.log"

    def authority(self, vip: Vip) -> Path:
        """Return what a client trusts: the certificate signs itself."""
        return self.folder / f"{vip.certificate}.pem"

    def address(self, endpoint: Endpoint) -> tuple[str, int]:
        return endpoint.server.host, self.ports[endpoint.vip.name]


def build(folder: Path, *, mdns: bool) -> DemoFiles:
    """Write keys, certificates and one ``meshcache.toml`` for each server into `folder`, and choose the ports."""
    free = _free_ports([server.host for server in SERVERS])
    files = DemoFiles(folder, mdns, {name: next(free) for name in ("mesh", *(vip.name for vip in VIPS))})
    create_keyring(folder / "mesh.key", Keyring.new())
    for certificate in {vip.certificate for vip in VIPS}:
        _write_certificate(folder, certificate, [vip.host for vip in VIPS if vip.certificate == certificate])
    mesh_name = f"demo-{secrets.token_hex(4)}"
    for server in SERVERS:
        files.file(server).write_text(_node_toml(files, server, mesh_name) + "".join(_vip_toml(files, server)))
    return files


def has_multicast() -> bool:
    """Return whether a multicast packet sent on the loopback interface comes back,
    as mDNS needs (RFC 6762 section 3).
    """
    group, interface = socket.inet_aton("224.0.0.251"), socket.inet_aton(MULTICAST_INTERFACE)
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker,
        ):
            listener.bind(("", 0))
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + interface)
            listener.settimeout(0.5)
            speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            speaker.sendto(b"meshcache?", ("224.0.0.251", listener.getsockname()[1]))
            return listener.recv(64) == b"meshcache?"
    except OSError:
        return False


def _node_toml(files: DemoFiles, server: Server, mesh_name: str) -> str:
    port = files.ports["mesh"]
    seeds = [] if files.mdns else [f"{SERVERS[0].host}:{port}", f"{SERVERS[-1].host}:{port}"]
    return f"""\
[node]
name = "{server.name}"
colo = "{server.colo}"
state_dir = "{server.name}"

[mesh]
name = "{mesh_name}"
key_file = "mesh.key"
listen = "{server.host}:{port}"
mdns = {str(files.mdns).lower()}
interfaces = ["{MULTICAST_INTERFACE}"]
seeds = {seeds!r}
{_DASHBOARD_TOML if server == DASHBOARD else ""}"""


def _vip_toml(files: DemoFiles, server: Server) -> Iterator[str]:
    for vip in VIPS:
        names = [each.host for each in VIPS if each.certificate == vip.certificate]
        yield f"""
[[vip]]
name = "{vip.name}"
listen = ["{server.host}:{files.ports[vip.name]}"]
certificate = "{vip.certificate}.pem"
private_key = "{vip.certificate}.key"
names = {names!r}

[vip.sharing]
group = "{vip.group}"
reach = "{vip.reach}"
"""


def _free_ports(hosts: list[str]) -> Iterator[int]:
    """Return ports on which every one of `hosts` can listen now, each once."""
    for port in SystemRandom().sample(_PORTS, _PORT_TRIES_MAX):
        if all(_can_bind(host, port) for host in hosts):
            yield port
    raise OSError(f"no port between {_PORTS.start} and {_PORTS.stop} is free on {', '.join(hosts)}")


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _write_certificate(folder: Path, stem: str, hosts: list[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"meshcache demo: {stem}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{stem}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file = folder / f"{stem}.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
