"""Makes what servers need to start, in a folder of the run's own: a certificate, a mesh key, a meshcache.toml for each.

Everything listens on loopback at ports that the system picks.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring

NAME = "shop.example"
VIP = "shop"

_TOML = """\
[node]
name = "{name}"
colo = "here"
state_dir = "{state}"

[mesh]
name = "benchmarks"
key_file = "mesh.key"
listen = "{host}:{mesh_port}"
mdns = false
seeds = [{seeds}]

[cache]
max_sessions = 400_000
max_bytes = "256MiB"

[[vip]]
name = "{vip}"
listen = ["{host}:{port}"]
certificate = "{vip}.pem"
private_key = "{vip}.key"
names = ["{server_name}"]

[vip.sharing]
reach = "everywhere"
"""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """Where one server will be: its file, the address clients use and the one peers dial."""

    name: str
    file: Path
    tls: tuple[str, int]
    mesh: str


def plan_servers(folder: Path, count: int, key: str = "rsa") -> list[ServerPlan]:
    """Write certificate, mesh key and one configuration file for each of `count` servers that are one mesh."""
    write_certificate(folder, key)
    write_mesh_key(folder / "mesh.key")
    hosts = [f"127.0.0.{number + 1}" for number in range(count)]
    mesh_ports = [free_port(host) for host in hosts]
    plans = []
    for number, host in enumerate(hosts):
        seeds = [f'"{h}:{p}"' for h, p in zip(hosts, mesh_ports, strict=True) if h != host]
        plans.append(_plan(folder, f"edge-{number + 1}", host, mesh_ports[number], ", ".join(seeds)))
    return plans


def write_certificate(folder: Path, kind: str = "rsa") -> None:
    """A self-signed certificate for `NAME`: RSA-2048, what the peers were measured with, or ``ecdsa``, P-256."""
    key = _private_key(kind)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{VIP}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write_secret(folder / f"{VIP}.key", pem)


def _private_key(kind: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def write_mesh_key(path: Path) -> None:
    """A new mesh key."""
    create_keyring(path, Keyring.new())


def free_port(host: str) -> int:
    """A port that was free a moment ago: a node that is another's seed has to be told its number."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _plan(folder: Path, name: str, host: str, mesh_port: int, seeds: str) -> ServerPlan:
    port = free_port(host)
    text = _TOML.format(
        name=name,
        state=f"state-{name}",
        host=host,
        mesh_port=mesh_port,
        seeds=seeds,
        vip=VIP,
        port=port,
        server_name=NAME,
    )
    file = folder / f"{name}.toml"
    file.write_text(text)
    return ServerPlan(name, file, (host, port), f"{host}:{mesh_port}")


def _write_secret(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
