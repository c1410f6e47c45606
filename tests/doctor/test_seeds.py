"""Seeds are tried with real sockets: a member, a stranger's key, something else, nobody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from meshcache import MeshNode, Settings
from meshcache.doctor.finding import Finding, FindingState
from meshcache.doctor.seeds import probe, seed_findings
from meshcache.edges.keyfile import load_keyring
from meshcache.edges.keyring import Keyring
from tests.nodes import settings
from tests.tls.world import server_context


@pytest.fixture
def member(folder: Path) -> Iterator[MeshNode]:
    with MeshNode(settings(folder)) as node:
        yield node


@pytest.fixture
def keyring(member: MeshNode, folder: Path) -> Keyring:
    return load_keyring(folder / "mesh.key")


def found(
    keyring: Keyring, *seeds: str, listen: str = "127.0.0.1:1", workers: int = 1, **mesh: object
) -> list[Finding]:
    told = {"seeds": list(seeds), "mdns": False, "listen": listen, **mesh}
    made = Settings.model_validate({"mesh": told, "server": {"workers": workers}})
    return list(seed_findings(made, keyring))


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_member_lets_us_in(member: MeshNode, keyring: Keyring) -> None:
    assert probe(member.address, keyring) == "member"
    (finding,) = found(keyring, member.address)
    assert finding.state is FindingState.FINE
    assert member.peers() == []
    refused = member.stats()["transport"]["refused"]
    assert refused == {}, "who looks whether a node is well leaves no stranger in its counters"


def test_another_key_is_told_from_a_dead_seed(member: MeshNode, keyring: Keyring) -> None:
    other, dead = found(Keyring.new(), member.address)[0], found(keyring, nobody())[0]
    assert (other.state, other.text) == (FindingState.PROBLEM, "answers, but not to our key")
    assert "mesh.key" in other.do
    assert (dead.state, dead.text) == (FindingState.PROBLEM, "nothing answers there")


def test_something_else_that_listens_there_is_no_node(keyring: Keyring) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection, suppress(ConnectionError):
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100))
                    connection.recv(100)

        threading.Thread(target=speak, daemon=True).start()
        assert probe(f"127.0.0.1:{server.getsockname()[1]}", keyring) == "no node"


def test_a_port_of_a_vip_is_told_from_another_key(keyring: Keyring) -> None:
    """A TLS server ends a connection that begins as ZeroMQ's, as a node with another key does."""
    context = server_context("stdlib")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        context.wrap_socket(connection, server_side=True).close()

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert probe(address, keyring) == "no node"
        (finding,) = found(keyring, address)
        server.shutdown(socket.SHUT_RDWR)
    assert "no mesh port" in finding.text
    assert "mesh.listen" in finding.do


def test_a_silent_seed_is_only_a_note_where_another_lets_us_in(member: MeshNode, keyring: Keyring) -> None:
    states = {finding.name: finding.state for finding in found(keyring, nobody(), member.address)}
    assert list(states.values()) == [FindingState.NOTE, FindingState.FINE]


def test_a_name_that_is_none_is_told(keyring: Keyring) -> None:
    (finding,) = found(keyring, "dns:nowhere.invalid:7946")
    assert (finding.state, "can't be looked up" in finding.text) == (FindingState.PROBLEM, True)


def test_our_own_address_does_no_harm(keyring: Keyring) -> None:
    address = nobody()
    (finding,) = found(keyring, address, listen=address)
    assert (finding.state, "own address" in finding.text) == (FindingState.FINE, True)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_of_this_host_is_no_other_member(member: MeshNode, keyring: Keyring, workers: int) -> None:
    """One worker as the file says: a program starts several by itself."""
    port = member.address.rpartition(":")[2]
    own, silent = found(keyring, member.address, nobody(), workers=workers, worker_ports=f"{port}-{port}")
    assert (own.state, "own address" in own.text) == (FindingState.FINE, True)
    assert (silent.state, silent.text) == (FindingState.PROBLEM, "nothing answers there")


def test_where_there_are_workers_nobody_listens_at_the_port_of_mesh_listen(keyring: Keyring) -> None:
    address = nobody()
    (finding,) = found(keyring, address, listen=address, workers=2)
    assert (finding.state, finding.text) == (FindingState.PROBLEM, "nothing answers there")


def test_no_seeds_and_no_mdns_are_worth_a_note(keyring: Keyring) -> None:
    (finding,) = found(keyring)
    assert (finding.state, finding.name) == (FindingState.NOTE, "seeds")
