"""Tests of `server.app`: real server processes, real signals."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pkgutil
import re
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from meshcache_server.app import ServerApp
from meshcache_server.connections.routes import Routes
from meshcache_server.state_folder import StateFolder
from meshcache_server.takeover.inheritance import Inheritance

from meshcache import MeshcacheError, MeshNode, Settings, load
from meshcache.edges.keyfile import load_keyring, save_keyring
from tests.server.deployment import ASK, Deployment, deploy
from tests.server.harness import connect
from tests.support.material import Authority
from tests.support.processes import Processes
from tests.support.waiting import wait_until, wait_until_async

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def body(answer: bytes) -> dict[str, object]:
    return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))


def refuses(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_resumes_and_is_told_so(shop: Deployment, version: ssl.TLSVersion) -> None:
    shop.start()
    clients = shop.certificates.client(version)
    session, answer = shop.visit(None, clients)
    name = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    expected = {"server": "edge-1", "colo": "ams1", "vip": "shop", "tls": name}
    assert body(answer) == expected | {"session": "full", "origin": None}
    for _ in range(3):
        session, answer = shop.visit(session, clients)
        assert body(answer) == expected | {"session": "local", "origin": "edge-1"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_name_a_client_asked_for_holds_on_resumed_connections_too(
    shop: Deployment, version: ssl.TLSVersion
) -> None:
    """A Host that isn't the connection's gets 421, and the backend is told the name, on every visit."""
    shop.start()
    clients = shop.certificates.client(version)
    elsewhere = b"GET / HTTP/1.1\r\nHost: elsewhere.test\r\nConnection: close\r\n\r\n"
    session, answer = shop.visit(None, clients, elsewhere)
    assert answer.startswith(b"HTTP/1.1 421")
    session, answer = shop.visit(session, clients, elsewhere)
    assert answer.startswith(b"HTTP/1.1 421")
    assert body(shop.visit(session, clients)[1])["session"] == "local"
    with socket.create_server(("127.0.0.1", 0)) as backend:
        shop.write(vip=f'backend = "127.0.0.1:{backend.getsockname()[1]}"\nproxy_protocol = true')
        shop.reload()
        with clients.wrap_socket(connect(shop.port), server_hostname="shop.example", session=session) as tls:
            assert tls.session_reused
            link, _ = backend.accept()
            with link:
                assert b"\x02\x00\x0cshop.example" in link.recv(4096)  # PP2_TYPE_AUTHORITY


def test_sigterm_drains_and_ends_well(shop: Deployment) -> None:
    process = shop.start()
    idle, busy = shop.dial(), shop.dial()
    busy.tls.sendall(b"GET / HTTP/1.1\r\n")
    assert shop.ask().startswith(b"HTTP/1.1 200")  # so what was sent before has been read
    process.send(signal.SIGTERM)
    assert idle.read_to_end() == b""
    wait_until(lambda: refuses(shop.port))
    assert process.running
    assert busy.ask(b"Host: shop.example\r\n\r\n").startswith(b"HTTP/1.1 200")
    busy.close()
    idle.close()
    assert process.wait() == 0
    assert "Traceback" not in process.output


def test_a_drain_that_takes_too_long_is_cut_off_with_close_notify(shop: Deployment) -> None:
    shop.write("[server]\ndrain_s = 0.2")
    process = shop.start()
    busy = shop.dial()
    busy.tls.sendall(b"GET / HTTP/1.1\r\n")
    shop.ask()
    process.send(signal.SIGTERM)
    assert busy.read_to_end() == b""
    busy.close()
    assert process.wait() == 0
    assert "1 cut off by drain_s" in process.output


def test_a_second_sigterm_ends_at_once(shop: Deployment) -> None:
    shop.write("[server]\ndrain_s = 60")
    process = shop.start()
    busy = shop.dial()
    busy.tls.sendall(b"GET / HTTP/1.1\r\n")
    shop.ask()
    process.send(signal.SIGTERM)
    wait_until(lambda: "stopping: 1 connections have 60 s to end" in process.output)
    started = time.monotonic()
    process.send(signal.SIGTERM)
    assert process.wait() == 0
    assert time.monotonic() - started < 5
    busy.close()


def test_sighup_takes_a_new_certificate_and_keeps_cache_and_connections(shop: Deployment) -> None:
    shop.start()
    before = shop.serial()
    open_before = shop.dial()
    clients = shop.certificates.client()
    session, _ = shop.visit(None, clients)
    shop.renew()
    shop.reload()
    assert shop.serial() != before
    assert open_before.ask(ASK).startswith(b"HTTP/1.1 200")
    open_before.close()
    _, answer = shop.visit(session, clients)
    assert body(answer)["session"] == "local"  # the name is the same, so is its class


def test_certificates_that_change_on_disk_are_read_again_and_never_half_a_pair(shop: Deployment) -> None:
    process = shop.start()
    before, clients = shop.serial(), shop.certificates.client()
    session, _ = shop.visit(None, clients)
    old_key = (shop.folder / "shop.key").read_bytes()
    shop.renew()
    new_key = (shop.folder / "shop.key").read_bytes()
    (shop.folder / "shop.key").write_bytes(old_key)
    wait_until(lambda: "certificates changed and are not taken yet: vip[0].private_key" in process.output)
    assert shop.serial() == before
    (shop.folder / "shop.key").write_bytes(new_key)
    wait_until(lambda: "certificates renewed" in process.output)
    assert shop.serial() != before
    assert body(shop.visit(session, clients)[1])["session"] == "local"


def test_vips_on_one_address_answer_by_name_and_share_no_session(shop: Deployment) -> None:
    """A session of one VIP is of no use under another's name, and each resumes under its own."""
    pay = Authority.new("pay.example")
    (shop.folder / "pay").mkdir()
    pay.write(shop.folder / "pay")
    with socket.create_server(("127.0.0.1", 0)) as found:
        shop.port = found.getsockname()[1]
    shop.write(
        vip=f"""[[vip]]
name = "pay"
listen = "127.0.0.1:{shop.port}"
certificate = "pay/shop.pem"
private_key = "pay/shop.key"
alpn = "http/1.1"
"""
    )
    shop.process = shop.processes.start([sys.executable, "-m", "meshcache_server", str(shop.file)])
    wait_until(lambda: " ready: " in shop.process.output or not shop.process.running)
    clients = shop.certificates.client()
    clients.load_verify_locations(str(shop.folder / "pay" / "ca.pem"))
    session, answer = shop.visit(None, clients)
    assert body(answer)["vip"] == "shop"
    there, answer = shop.visit(session, clients, name="pay.example")
    assert (body(answer)["vip"], body(answer)["session"]) == ("pay", "full")
    assert body(shop.visit(there, clients, name="pay.example")[1])["session"] == "local"
    assert body(shop.visit(session, clients)[1])["session"] == "local"
    assert body(shop.visit(there, clients)[1])["session"] == "full"


def test_sighup_with_a_bad_file_keeps_everything_and_names_every_fault(shop: Deployment) -> None:
    process = shop.start()
    before = shop.serial()
    for spoil, faults in (
        (lambda: shop.write(vip='colour = "red"\nmin_tls = "1.1"'), ["vip[0].colour", "vip[0].min_tls"]),
        (lambda: shop.write(vip='ciphers = "NO-SUCH"'), ["vip[0].ciphers"]),
        (lambda: (shop.write(), (shop.folder / "shop.pem").write_text("")), ["vip[0].certificate"]),
        (lambda: shop.file.unlink(), ["no such file"]),
    ):
        spoil()
        said = len(process.output)
        process.send(signal.SIGHUP)
        wait_until(lambda said=said, faults=faults: all(fault in process.output[said:] for fault in faults))
        assert "not reloaded" in process.output[said:]
        assert shop.serial() == before
    shop.write()
    shop.renew()
    shop.reload()
    assert shop.serial() != before


def test_a_reload_that_fails_at_its_end_keeps_the_old_keys_and_no_new_address(shop: Deployment) -> None:
    """A second VIP can't be attached, after the node has taken the new key file: everything goes back, from memory."""
    process = shop.start()
    old = load_keyring(shop.folder / "mesh.key")
    save_keyring(shop.folder / "mesh.key", old.add().promote().retire())
    with socket.create_server(("127.0.0.1", 0)) as found:
        other = found.getsockname()[1]
    shop.write(
        vip=f"""[[vip]]
name = "pay"
listen = "127.0.0.1:{other}"
certificate = "shop.pem"
private_key = "shop.key"
names = ["pay.example"]"""
    )
    process.send(signal.SIGHUP)
    wait_until(lambda: "not reloaded: VIP pay" in process.output)
    keys = [line.rpartition(" ")[2] for line in process.output.splitlines() if "the mesh keys are now" in line]
    assert keys[-1] == old.current.fingerprint
    assert refuses(other)
    assert shop.ask().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("fault", [OSError(13, "Permission denied"), RuntimeError("unforeseen")])
@pytest.mark.parametrize(
    "breaks",
    [
        "meshcache_server.app.make_services",
        "meshcache_server.connections.acceptor.Acceptor.serve",
        "meshcache.node.Finders.start",
    ],
    ids=["services", "accepting", "finding peers"],
)
async def test_whatever_goes_wrong_in_a_reload_nothing_new_is_left(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, breaks: str, fault: Exception
) -> None:
    settings = load(shop.file)
    with MeshNode(settings) as node:
        app = ServerApp(settings, node, lambda: load(shop.file))
        monkeypatch.setattr(node, "start", lambda: node)
        serving = asyncio.create_task(app.serve())
        await wait_until_async(lambda: app.listeners)
        caplog.set_level("INFO", "meshcache")
        before, services, old = dict(app.listeners), app_services(app), load_keyring(shop.folder / "mesh.key")
        save_keyring(shop.folder / "mesh.key", old.add().promote().retire())
        shop.write(vip='[[vip]]\nname="pay"\nlisten="127.0.0.1:0"\ncertificate="shop.pem"\nprivate_key="shop.key"')

        works, failed = pkgutil.resolve_name(breaks), list[bool]()

        def broken_once(*arguments: Any, **more: Any) -> Any:
            if not failed:
                failed.append(True)
                raise fault
            return works(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(breaks, broken_once)
            assert not await app.reload()
        assert failed
        assert app.listeners == before
        assert app_services(app) == services
        assert node.internals.settings == settings
        taken = [line.rpartition(" ")[2] for line in caplog.messages if "the mesh keys are now" in line]
        assert taken[-1] == old.current.fingerprint
        shop.port = int(app.listeners["shop[0]"].bound_address.rpartition(":")[2])
        assert (await asyncio.to_thread(shop.ask)).startswith(b"HTTP/1.1 200")
        assert await app.reload()
        assert len(app.listeners) == 2
        app.stop()
        await serving


async def test_after_a_reload_that_fails_at_its_end_the_former_reach_holds_whatever_the_new_contexts_are_for(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The former file names more than the new certificate covers, so what is new can't stay under what was."""
    shop.write(vip='names = ["shop.example", "a.shop.example"]\nsharing.reach = "server"')
    with MeshNode(load(shop.file)) as node:
        app = ServerApp(load(shop.file), node, lambda: load(shop.file))
        monkeypatch.setattr(node, "start", lambda: node)
        serving = asyncio.create_task(app.serve())
        await wait_until_async(lambda: app.listeners)
        issued = shop.certificates.authority.issue_cert("shop.example")
        (shop.folder / "shop.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        (shop.folder / "shop.key").write_bytes(issued.private_key_pem.bytes())
        shop.write(vip='names = ["shop.example"]\nsharing.reach = "everywhere"')

        def broken(*_arguments: object) -> None:
            raise RuntimeError("unforeseen")

        with monkeypatch.context() as patch:
            patch.setattr("meshcache_server.app.make_services", broken)
            assert not await app.reload()
        assert "unforeseen" in caplog.text
        assert node.policy()[0]["reach"] == "server"
        shop.port = int(app.listeners["shop[0]"].bound_address.rpartition(":")[2])
        assert (await asyncio.to_thread(shop.ask)).startswith(b"HTTP/1.1 200")
        assert await app.reload()
        assert node.policy()[0]["reach"] == "everywhere"
        app.stop()
        await serving


async def test_what_only_a_restart_changes_waits_for_it_however_often_the_file_is_taken(shop: Deployment) -> None:
    """It was named once, and then the server took it for what it runs with."""
    settings = load(shop.file)
    with closing(MeshNode(settings)) as node:
        app = ServerApp(settings, node, lambda: load(shop.file, ["node.colo=fra1", "vip.shop.sharing.lifetime_s=60"]))
        serving = asyncio.create_task(app.serve())
        await wait_until_async(lambda: app.report.stats()["ready"])
        for taken in ["vip.shop.sharing.lifetime_s"], []:
            assert await app.reload()
            told = app.report.stats()["reload"]
            assert (told["ok"], told["changed"], told["restart"]) == (True, taken, ["node.colo"])
        assert app.settings.node.colo == node.colo == "ams1"
        assert app.settings.vips[0].sharing.lifetime_s == 60
        app.stop()
        await serving


async def test_a_server_that_gave_its_place_in_vain_and_can_not_go_on_does_not_end_as_if_all_were_well(
    shop: Deployment,
) -> None:
    settings = load(shop.file)
    with closing(ServerApp(settings, MeshNode(settings), lambda: settings)) as app:
        serving = asyncio.create_task(app.serve())
        await wait_until_async(lambda: app.report.stats()["ready"])
        app.succession.failed = True
        app.stop()
        with pytest.raises(MeshcacheError, match="could not go on"):
            await serving


async def test_whoever_goes_on_in_its_place_finds_port_and_state_folder_free(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, found = load(shop.file), list[bool]()

    class Watched(Inheritance):
        def close(self) -> None:
            other = StateFolder(settings.node.state_dir)
            other.hold()
            other.release()
            found.append(app.node.closed)

    def broken(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("meshcache_server.app._listen", broken)
    with closing(ServerApp(settings, MeshNode(settings), lambda: settings, inheritance=Watched({}))) as app:
        with pytest.raises(OSError, match="too many open files"):
            await app.serve()
        assert not found
    assert found == [True]


async def test_a_reload_that_takes_its_time_stops_no_handshake(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New keys bind the mesh's port again, which may take seconds: the loop goes on meanwhile."""
    settings = load(shop.file)
    with MeshNode(settings) as node:
        app = ServerApp(settings, node, lambda: load(shop.file))
        monkeypatch.setattr(node, "start", lambda: node)
        serving = asyncio.create_task(app.serve())
        await wait_until_async(lambda: app.listeners)
        let_go = threading.Event()
        reload_node = node.reload

        def slow(settings: Settings, **more: bool) -> Callable[[], None]:
            assert let_go.wait(20)
            return reload_node(settings, **more)

        monkeypatch.setattr(node, "reload", slow)
        reloading = asyncio.create_task(app.reload())
        shop.port = int(app.listeners["shop[0]"].bound_address.rpartition(":")[2])
        assert (await asyncio.to_thread(shop.ask)).startswith(b"HTTP/1.1 200")
        assert not reloading.done()
        let_go.set()
        assert await reloading
        app.stop()
        await serving


def app_services(app: ServerApp) -> list[Routes]:
    return [listener.routes for listener in app.listeners.values()]


def test_sighup_before_ready_is_obeyed_later(shop: Deployment) -> None:
    """From the moment that the process has said what it does with the signal, which is its first act."""
    process = shop.processes.start([sys.executable, "-m", "meshcache", "serve", str(shop.file)])
    status = Path(f"/proc/{process.popen.pid}/status")

    def heeds_hangups() -> bool:
        masks = re.findall(r"^Sig(?:Ign|Cgt):\s*(\w+)", status.read_text(), re.MULTILINE)
        return any(int(mask, 16) & 1 for mask in masks)

    wait_until(heeds_hangups)
    while " ready: " not in process.output and process.running:
        process.send(signal.SIGHUP)
        time.sleep(0.02)
    wait_until(lambda: "reloaded: " in process.output or not process.running)
    assert process.running
    process.send(signal.SIGTERM)
    assert process.wait() == 0


def test_sighup_takes_addresses_away_and_adds_others(shop: Deployment) -> None:
    shop.start()
    old = shop.port
    kept = shop.dial()
    with socket.create_server(("127.0.0.1", 0)) as found:
        shop.port = found.getsockname()[1]
    shop.write()
    shop.reload()
    assert shop.ask().startswith(b"HTTP/1.1 200")
    wait_until(lambda: refuses(old))
    assert kept.ask(ASK).startswith(b"HTTP/1.1 200")
    kept.close()


def test_sighup_with_an_address_in_use_keeps_the_old_ones(shop: Deployment) -> None:
    process = shop.start()
    old = shop.port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        shop.port = taken.getsockname()[1]
        shop.write()
        process.send(signal.SIGHUP)
        wait_until(lambda: f"127.0.0.1:{shop.port} can't be had: address already in use" in process.output)
    shop.port = old
    assert shop.ask().startswith(b"HTTP/1.1 200")


def test_sighup_changes_timeouts_and_lifetimes(shop: Deployment) -> None:
    shop.start()
    shop.write("[server]\nidle_timeout_s = 0.2")
    shop.reload()
    idle = shop.dial()
    assert idle.read_to_end() == b""
    idle.close()


def test_many_reloads_leak_no_descriptors(shop: Deployment) -> None:
    process = shop.start()
    shop.reload()
    me = psutil.Process(process.popen.pid)
    before = me.num_fds()
    for _ in range(5):
        shop.renew()
        shop.reload()
        assert shop.ask().startswith(b"HTTP/1.1 200")
    wait_until(lambda: me.num_fds() <= before)


def test_systemd_is_told_when_ready_reloading_and_stopping(shop: Deployment) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(shop.folder / "notify"))
        manager.settimeout(60)
        process = shop.start(os.environ | {"NOTIFY_SOCKET": str(shop.folder / "notify")})
        assert manager.recv(100) == b"READY=1\nSTATUS=serving", "and no longer what the start waited for"
        shop.reload()
        assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving"
        process.send(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        assert process.wait() == 0


def test_a_relay_serves_and_drains(shop: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as backend:
        shop.write(vip=f'backend = "127.0.0.1:{backend.getsockname()[1]}"')
        process = shop.start()
        dialogue = shop.dial()
        dialogue.tls.sendall(b"hello")
        link, _ = backend.accept()
        assert link.recv(5) == b"hello"
        process.send(signal.SIGTERM)
        wait_until(lambda: "stopping: " in process.output)
        link.sendall(b"goodbye")  # in flight, and let through
        link.close()
        assert dialogue.read_to_end() == b"goodbye"
        dialogue.close()
        assert process.wait() == 0


def test_hostile_clients_beside_a_healthy_one(shop: Deployment) -> None:
    shop.write("[server]\nhandshake_timeout_s = 1")
    process = shop.start()
    healthy = shop.dial()
    crowd = [connect(shop.port) for _ in range(200)]
    for at, raw in enumerate(crowd):
        raw.sendall((b"\x16\x03\x01\x40\x00", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5000, b"")[at % 4])
    assert healthy.ask(ASK).startswith(b"HTTP/1.1 200")
    healthy.close()
    for raw in crowd:
        try:
            while raw.recv(65536):
                pass
        except (ConnectionError, TimeoutError):
            pass
        raw.close()
    assert shop.ask().startswith(b"HTTP/1.1 200")
    assert "Traceback" not in process.output


def test_a_plain_asyncio_loop_does_too(shop: Deployment) -> None:
    """uvloop is an extra: hidden from the server here."""
    (shop.folder / "uvloop.py").write_text("raise ImportError")
    shop.start(os.environ | {"PYTHONPATH": str(shop.folder)})
    assert shop.ask().startswith(b"HTTP/1.1 200")
