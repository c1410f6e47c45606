"""examples/named_sites.py, two of it, with clients of the field: a site's sessions are good on both, for that site."""

from __future__ import annotations

import signal
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contrib.clients import curl_visits, s_client_visit
from tests.support.material import Authority, free_ports, write_key
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until
from tests.test_examples import ask

ROOT = Path(__file__).parent.parent
SITES = ("a.example", "*.b.example")


def add_site(folder: Path, authority: Authority, name: str) -> None:
    issued = authority.ca.issue_cert(name)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    fresh = folder / "fresh"
    fresh.write_bytes(issued.private_key_pem.bytes() + chain)
    fresh.rename(folder / "sites" / f"{name.replace('*', '_')}.pem")


@pytest.fixture(scope="module")
def folder_of_all(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Path:
    folder = tmp_path_factory.mktemp("sites")
    authority.write(folder)
    write_key(folder)
    (folder / "sites").mkdir()
    for name in SITES:
        add_site(folder, authority, name)
    (folder / "meshcache.toml").write_text(
        '[mesh]\nkey_file = "mesh.key"\nmdns = false\n[admin]\nsocket = false\n'
        '[[vip]]\nname = "sites"\ncertificate = "shop.pem"\nprivate_key = "shop.key"\n'
    )
    return folder


@pytest.fixture(scope="module")
def servers(folder_of_all: Path) -> Iterator[list[tuple[Process, int]]]:
    mesh, tls = free_ports(2), free_ports(2)
    seeds = "[" + ",".join(f'"127.0.0.1:{port}"' for port in mesh) + "]"
    with Processes(folder_of_all) as processes:
        started = []
        for name, mesh_port, port in zip(("edge-1", "edge-2"), mesh, tls, strict=True):
            overrides = [f"node.name={name}", f"mesh.listen=127.0.0.1:{mesh_port}", f"mesh.seeds={seeds}"]
            program = [sys.executable, str(ROOT / "examples" / "named_sites.py"), "meshcache.toml", f"127.0.0.1:{port}"]
            started.append((processes.start([*program, "sites", *overrides], cwd=folder_of_all), port))
        for process, _ in started:
            wait_until(lambda p=process: "ready" in p.output or not p.running, what="it is up")  # type: ignore[misc]
            assert process.running, process.output
        context = trusting(folder_of_all)
        wait_until(lambda: there_and_back(context, tls, "a.example"), what="the two meet")
        yield started


def trusting(folder: Path, version: str = "1.3") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    return context


def there_and_back(context: ssl.SSLContext, ports: list[int], name: str, again: str = "") -> bool:
    """Whether a client of the first, under a name, resumes on the second, under that or another."""
    answer, session = ask(context, ports[0], host=name)
    assert answer == f"{name} full None"
    answer, _ = ask(context, ports[1], session, host=again or name)
    assert answer in (f"{again or name} remote edge-1", f"{again or name} full None")
    return "remote" in answer


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_of_a_site_is_good_on_the_other_server_for_that_site(
    servers: list[tuple[Process, int]], folder_of_all: Path, version: str
) -> None:
    context, ports = trusting(folder_of_all, version), [port for _, port in servers]
    for name, other in (("a.example", "x.b.example"), ("x.b.example", "y.b.example"), ("shop.example", "a.example")):
        wait_until(lambda name=name: there_and_back(context, ports, name), what=f"{name} resumes")  # type: ignore[misc]
        assert not there_and_back(context, ports, name, other)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssl_and_curl_come_back(
    servers: list[tuple[Process, int]], folder_of_all: Path, folder: Path, version: str
) -> None:
    ports = [port for _, port in servers]
    trust = folder_of_all / "ca.pem"
    for name in ("a.example", "x.b.example", "shop.example"):
        saved = folder / f"{name}.pem"
        assert f"{name} full None" in s_client_visit(ports[0], name, trust, version, "-sess_out", saved)

        def resumes(name: str = name, saved: Path = saved) -> bool:
            return f"{name} remote edge-1" in s_client_visit(ports[1], name, trust, version, "-sess_in", saved)

        wait_until(resumes, what=f"{name} resumes")
        assert curl_visits(ports[0], name, trust, version) == [f"{name} full None", f"{name} local edge-1"]


def read_again(process: Process, then: str) -> None:
    process.send(signal.SIGHUP)
    wait_until(lambda: then in process.output, what="it has read its sites")


def test_sites_come_and_go_while_it_serves(
    servers: list[tuple[Process, int]], folder_of_all: Path, authority: Authority
) -> None:
    context, ports = trusting(folder_of_all), [port for _, port in servers]
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(context, ports[0], host="new.example")
    add_site(folder_of_all, authority, "new.example")
    (folder_of_all / "sites" / "broken.example.pem").write_text("no certificate\n")
    for process, _ in servers:
        read_again(process, "sites: *.b.example a.example new.example\n")
        assert "broken.example.pem: " in process.output
    wait_until(lambda: there_and_back(context, ports, "new.example"), what="the new site resumes")
    session = ask(context, ports[0], host="new.example")[1]
    add_site(folder_of_all, authority, "new.example")  # another certificate
    (folder_of_all / "sites" / "broken.example.pem").unlink()
    (folder_of_all / "sites" / "a.example.pem").unlink()
    for process, _ in servers:
        read_again(process, "sites: *.b.example new.example\n")
    assert ask(context, ports[0], session, host="new.example")[0] == "new.example local edge-1"
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(context, ports[0], host="a.example")
    add_site(folder_of_all, authority, "a.example")
