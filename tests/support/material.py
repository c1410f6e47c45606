"""Files that a mesh needs, made for one test: a key, a certificate, a ``meshcache.toml`` for each node."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import SystemRandom

import trustme

from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring

HOST = "shop.example"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of the tests, and a certificate that it issued for `HOST`."""

    ca: trustme.CA
    certificate: bytes
    private_key: bytes

    @classmethod
    def new(cls, *hosts: str) -> Authority:
        ca = trustme.CA()
        issued = ca.issue_cert(*(hosts or (HOST, "www.shop.example")))
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return cls(ca, chain, issued.private_key_pem.bytes())

    def write(self, folder: Path, stem: str = "shop") -> None:
        """``STEM.pem``, ``STEM.key`` (mode 0600) and ``ca.pem`` into `folder`."""
        (folder / f"{stem}.pem").write_bytes(self.certificate)
        key = folder / f"{stem}.key"
        key.touch(mode=0o600)
        key.write_bytes(self.private_key)
        self.ca.cert_pem.write_to_path(str(folder / "ca.pem"))


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a test's mesh: its file and where it will be."""

    name: str
    file: Path
    mesh_port: int
    tls_port: int

    @property
    def admin_socket(self) -> Path:
        return self.file.parent / self.name / "admin.sock"

    @property
    def tls(self) -> tuple[str, int]:
        return "127.0.0.1", self.tls_port


def write_key(folder: Path, stem: str = "mesh") -> Path:
    path = folder / f"{stem}.key"
    create_keyring(path, Keyring.new())
    return path


def write_nodes(
    folder: Path,
    names: Sequence[str],
    *,
    mesh: str = "test",
    key: str = "mesh.key",
    reach: str = "colo",
    mdns: bool = False,
    warm_s: float = 0,
    more: str = "",
) -> list[Node]:
    """One file for each name, in `folder` where key and certificate are; every node has every node as a seed.

    None waits to be warm, unless `warm_s` says so: most tests look at what happens after that, or don't care.
    `more` is TOML for the end of the VIP's sharing table and whatever follows it.
    """
    ports = free_ports(2 * len(names))
    nodes = [Node(name, folder / f"{name}.toml", *ports[2 * at : 2 * at + 2]) for at, name in enumerate(names)]
    seeds = [] if mdns else [f"127.0.0.1:{node.mesh_port}" for node in nodes]
    for node in nodes:
        node.file.write_text(_toml(node, mesh, key, seeds, mdns, reach, warm_s) + more)
    return nodes


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago, all different.

    From below those that Linux gives to outgoing connections, so that none of these takes one meanwhile.
    """
    free = (port for port in SystemRandom().sample(range(20_000, 32_000), 500) if _is_free(port))
    return list(islice(free, count))


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def _toml(node: Node, mesh: str, key: str, seeds: list[str], mdns: bool, reach: str, warm_s: float) -> str:
    return f"""\
[node]
name = "{node.name}"
colo = "ams1"
state_dir = "{node.name}"

[mesh]
name = "{mesh}"
key_file = "{key}"
listen = "127.0.0.1:{node.mesh_port}"
mdns = {str(mdns).lower()}
interfaces = ["127.0.0.1"]
seeds = {seeds!r}

[server]
warm_s = {warm_s}

[[vip]]
name = "shop"
listen = ["127.0.0.1:{node.tls_port}"]
certificate = "shop.pem"
private_key = "shop.key"
names = ["{HOST}"]
tickets = 1  # each visit makes one session, as tests count

[vip.sharing]
reach = "{reach}"
"""
