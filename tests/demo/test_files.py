"""The demo's files: those that `check` would pass, ports that are free, a policy that is what the demo says of it."""

from __future__ import annotations

import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from meshcache.config import load
from meshcache.demo.files import DASHBOARD, SERVERS, VIPS, Endpoint, _free_ports, build, has_multicast
from meshcache.edges.keyfile import load_keyring


@pytest.mark.parametrize("mdns", [True, False])
def test_every_server_gets_a_file_that_loads(folder: Path, mdns: bool) -> None:
    files = build(folder, mdns=mdns)
    for server in SERVERS:
        settings = load(files.file(server))
        assert (settings.node.name, settings.node.colo) == (server.name, server.colo)
        assert settings.mesh.mdns is mdns
        assert len(settings.mesh.seeds) == (0 if mdns else 2)
        assert settings.admin.socket == files.admin_socket(server)
        assert settings.admin.http == ("127.0.0.1:0" if server == DASHBOARD else None)
        for vip in VIPS:
            found = settings.vip(vip.name)
            assert found is not None
            assert found.listen == ("{}:{}".format(*files.address(Endpoint(vip, server))),)
            assert (found.sharing.group, str(found.sharing.reach)) == (vip.group, vip.reach)


def test_all_servers_are_in_one_mesh_and_two_runs_are_in_two(tmp_path: Path) -> None:
    names = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        files = build(tmp_path / run, mdns=True)
        meshes = {load(files.file(server)).mesh.name for server in SERVERS}
        assert len(meshes) == 1
        names += meshes
    assert names[0] != names[1]


def test_two_colos_of_three_servers_on_addresses_of_their_own() -> None:
    assert [server.colo for server in SERVERS] == ["ams1"] * 3 + ["fra1"] * 3
    assert len({server.host for server in SERVERS}) == 6
    assert all(server.host.startswith("127.0.") for server in SERVERS)


def test_secrets_are_for_their_owner_only(folder: Path) -> None:
    build(folder, mdns=False)
    assert load_keyring(folder / "mesh.key").fingerprints
    for path in folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_certificate_covers_every_vip_of_its_group(folder: Path) -> None:
    files = build(folder, mdns=False)
    for vip in VIPS:
        certificate = x509.load_pem_x509_certificate(files.authority(vip).read_bytes())
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert vip.host in covered.get_values_for_type(x509.DNSName)


def test_a_port_that_is_taken_on_one_address_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.1.2", 0)) as taken, socket.create_server(("127.0.1.1", 0)) as freed:
        ports = [taken.getsockname()[1], freed.getsockname()[1]]
        monkeypatch.setattr("meshcache.demo.files._PORTS", range(min(ports), max(ports) + 1))
        freed.close()
        monkeypatch.setattr("meshcache.demo.files._PORT_TRIES_MAX", max(ports) + 1 - min(ports))
        assert ports[0] not in list(_take(_free_ports(["127.0.1.1", "127.0.1.2"])))


def _take(ports):
    try:
        yield from ports
    except OSError:
        return


def test_no_free_port_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.1.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("meshcache.demo.files._PORTS", range(port, port + 1))
        monkeypatch.setattr("meshcache.demo.files._PORT_TRIES_MAX", 1)
        with pytest.raises(OSError, match="is free on 127"):
            next(_free_ports(["127.0.1.1"]))


def test_multicast_is_told_by_trying_and_not_by_asking() -> None:
    assert has_multicast() in (True, False)


def test_an_interface_without_multicast_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.demo.files.MULTICAST_INTERFACE", "192.0.2.1")  # RFC 5737: nobody's
    assert has_multicast() is False


def test_an_endpoint_reads_as_a_place() -> None:
    assert str(Endpoint(VIPS[0], SERVERS[3])) == "shop on edge-4 (fra1)"
    assert replace(SERVERS[0], name="x") != SERVERS[0]
