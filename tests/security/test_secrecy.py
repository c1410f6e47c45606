"""Secrets stay put: the wire, mDNS, the logs at DEBUG, every page of the admin interface, ``repr``, core dumps."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode
from meshcache.admin.api import http_app, unix_app
from meshcache.core.cache.entry import Entries
from meshcache.core.state.outbox import Outgoing
from meshcache.core.values.session import Session, StreamKey
from meshcache.core.wire.messages import Batch, Push
from meshcache.core.wire.push_template import NewSession
from meshcache.core.wire.ticket_messages import TicketKeys, ToldKey
from meshcache.edges.keyfile import load_keyring
from tests.nodes import Place
from tests.security.members import HostileMember, Tap
from tests.security.secrets import Secrets
from tests.support.material import Node, free_ports
from tests.support.mesh import Mesh
from tests.support.programs import python_visit
from tests.support.waiting import wait_until
from tests.tls.world import VERSIONS, client_context, visit

PAGE_BYTES_MAX = 4 * 1024 * 1024

NAMES = [b"shop", b"edge-1", b"edge-2", b"ams1", b"a.test", b"storefront"]
"""What a mesh is called and whom it serves: nobody's business on the wire or on the LAN."""


@pytest.fixture
def secrets(folder: Path) -> Secrets:
    return Secrets(folder)


def busy(one: MeshNode, other: MeshNode, made: Any, found: Any, secrets: Secrets) -> None:
    """Full handshakes, returns and refusals in both versions, with every secret of theirs known."""
    for version in VERSIONS:
        client = secrets.watch(client_context(version))
        before = len(other.internals.pump.core.session_ids("shop"))
        sessions = [visit(made, client).session for _ in range(5)]
        wait_until(lambda: len(other.internals.pump.core.session_ids("shop")) >= before + len(sessions))  # noqa: B023
        for session in sessions:
            assert visit(found, client, session=session).resumed
            visit(found, client, name="b.test", session=session)
    assert secrets.add_sessions(one) + secrets.add_sessions(other) > 20
    secrets.add_keyring(load_keyring(one.internals.settings.mesh.key_file))


@pytest.fixture
def scan_for(secrets: Secrets) -> Callable[[bytes], None]:
    """Asserts that there is nothing in some bytes, and that looking for it would find it."""

    def scan(content: bytes) -> None:
        assert len(secrets) > 40
        assert secrets.found_in(content) == []
        planted = next(iter(secrets.known.values()))
        assert secrets.found_in(content + planted.hex().encode())

    return scan


def test_the_wire_between_nodes_shows_no_secret_and_no_name(
    place: Place, secrets: Secrets, scan_for: Callable[[bytes], None]
) -> None:
    (port,) = free_ports(1)
    with Tap(("127.0.0.1", port)) as tap:
        one = place.node("edge-1", sharing={"group": "storefront"})
        listening = {"listen": f"127.0.0.1:{port}", "advertise": tap.address}
        other = place.node("edge-2", mesh=listening, sharing={"group": "storefront"})
        made, found = place.server(one), place.server(other)
        place.wait_until_met()
        place.wait_until_dialled(one, tap.address)
        busy(one, other, made, found, secrets)
        recorded = tap.recorded()
    assert len(recorded) > 10 * 130, "the sessions did pass here"
    scan_for(recorded)
    assert not [name for name in NAMES if name in recorded]


def test_nothing_on_loopback_shows_a_key_or_a_session(
    place: Place, secrets: Secrets, scan_for: Callable[[bytes], None], folder: Path
) -> None:
    """Every packet, of clients too: there ids are part of TLS itself, so only keys and DERs are looked for."""
    try:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    except (PermissionError, AttributeError) as error:
        pytest.skip(f"packets can't be captured here ({type(error).__name__}); the proxy above sees the mesh")
    with closing(packets):
        packets.bind(("lo", 0))
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 2**20)
        packets.setblocking(False)
        one, other = (place.node(name, mesh=_mdns()) for name in ("edge-1", "edge-2"))
        made, found = place.server(one), place.server(other)
        place.wait_until_met()
        busy(one, other, made, found, secrets)
        captured = bytearray()
        with suppress(BlockingIOError):
            while True:
                captured += packets.recv(262_144)
    assert len(captured) > 20_000
    scan_for(bytes(captured))


def _mdns() -> dict[str, Any]:
    return {"mdns": True, "interfaces": ["127.0.0.1"]}


def test_the_lan_hears_a_random_name_and_two_hashes(place: Place, secrets: Secrets, folder: Path) -> None:
    with closing(_multicast_listener()) as listener:
        one, other = (place.node(name, mesh={"seeds": [], **_mdns()}) for name in ("edge-1", "edge-2"))
        place.server(one), place.server(other)
        place.wait_until_met()
        heard = b"".join(_datagrams(listener))
    keyring = load_keyring(folder / "mesh.key")
    secrets.add_keyring(keyring)
    assert keyring.current.fingerprint.encode() in heard, "it was really listened to"
    assert secrets.found_in(heard) == []
    assert not [name for name in (*NAMES, b"test") if name in heard]


def _multicast_listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("224.0.0.251", 5353))
    group = struct.pack("4s4s", socket.inet_aton("224.0.0.251"), socket.inet_aton("127.0.0.1"))
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    listener.setblocking(False)
    return listener


def _datagrams(listener: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        while True:
            yield listener.recv(65_536)


def test_logs_and_every_page_of_the_admin_interface_are_clean(
    place: Place,
    secrets: Secrets,
    scan_for: Callable[[bytes], None],
    caplog: pytest.LogCaptureFixture,
    folder: Path,
) -> None:
    (port,) = free_ports(1)
    admin = {"socket": str(folder / "admin.sock"), "http": f"127.0.0.1:{port}"}
    with caplog.at_level(logging.DEBUG):
        one, other = place.node("edge-1"), place.node("edge-2", admin=admin)
        made, found = place.server(one), place.server(other)
        place.wait_until_met()
        busy(one, other, made, found, secrets)
        _provoke(other, folder)
        pages = [*_pages(folder / "admin.sock", unix_app(other)), *_pages(port, http_app(other))]
    assert len(pages) >= 10
    assert sum(map(len, pages)) > 20_000
    lines = "\n".join(_whole(record) for record in caplog.records).encode()
    assert b"edge-1" in lines
    scan_for(b"\n".join([*pages, lines]))


def _provoke(node: MeshNode, folder: Path) -> None:
    """Everything that is logged because it went wrong: poison, forged batches, broken bytes, a fault of our own."""
    hostile = HostileMember(load_keyring(folder / "mesh.key"), node)
    try:
        hostile.joins(node)
        ids = node.internals.pump.core.session_ids("shop")[:3]
        hostile.pushes(1, [b"\x30junk"] * 3, ids)
        hostile.sends(b"\xff" * 64)
        wait_until(lambda: node.stats()["vips"]["shop"]["sessions"]["refused"].get("conflict") == 3)
    finally:
        hostile.close()
    port = node.internals.vips.port("shop")
    try:
        {}[ids[0].hex()]
    except KeyError:  # whose words are the id
        port.fault("get")


def _whole(record: logging.LogRecord) -> str:
    """A log line as any handler could write it."""
    traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return f"{record.name} {record.getMessage()} {record.args!r} {traceback}"


def _pages(where: Path | int, app: Any) -> Iterator[bytes]:
    """What each route that can be read answers; of a stream its beginning."""
    routes = {route.resource.canonical for route in app.router.routes() if route.method == "GET"}
    assert len(routes) >= 4
    for route in sorted(routes):
        if "{" not in route:
            yield _get(where, route)


def _get(where: Path | int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", where if isinstance(where, int) else None, timeout=60)
    if isinstance(where, Path):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(where))
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        content = b"" if answer.status >= 400 else answer.read1(PAGE_BYTES_MAX)
        return f"{path} {answer.status} {answer.headers}".encode() + content


def test_no_repr_and_no_error_shows_a_secret(place: Place, secrets: Secrets, scan_for: Callable[[bytes], None]) -> None:
    one, other = place.node("edge-1"), place.node("edge-2")
    made, found = place.server(one), place.server(other)
    place.wait_until_met()
    busy(one, other, made, found, secrets)
    core, keyring = other.internals.pump.core, load_keyring(other.internals.settings.mesh.key_file)
    session_id = core.session_ids("shop")[0]
    session = core.duties.cache.peek("shop", session_id)
    assert isinstance(session, Session)
    assert isinstance(session.stream, StreamKey)
    shown = [keyring, keyring.current, keyring.current.listener, one, other, session, core.records(), core.local_vips()]
    batch = Entries((1,), (session.id,), (session.der,), (9,), (0,), (0,))
    pushed = Push(Batch(core.local_vips()[0].terms, 1, (1, 1), 1, 1, batch))
    shown += [
        batch,
        pushed,
        Outgoing("a:1", session.id + session.der, 1),
        NewSession(1, session.id, session.der, 9, 0, False, 0),
    ]
    shown += [
        other.internals.transport,
        other.internals.vips,
        other.internals.settings,
        other.policy(),
        other.peers(),
        other.stats(),
    ]
    with pytest.raises(Exception, match="each key once") as error:
        keyring.add(keyring.current.secret)
    scan_for("\n".join([*map(repr, shown), *map(str, shown), repr(error.value), str(error.value)]).encode())


def test_a_server_dumps_no_core_and_its_log_is_clean(
    mesh: Mesh, make_nodes: Callable[..., list[Node]], folder: Path, secrets: Secrets
) -> None:
    nodes = make_nodes(["edge-1", "edge-2"])
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)
    client = secrets.watch(ssl.create_default_context(cafile=str(folder / "ca.pem")))
    session = python_visit(nodes[0].tls, client)[1]
    wait_until(lambda: mesh.shop(nodes[1])["entries"] >= 1)
    assert python_visit(nodes[1].tls, client, session)[2]
    secrets.add_keyring(load_keyring(folder / "mesh.key"))
    for node in nodes:
        process = mesh.of[node.name]
        limits = Path(f"/proc/{process.popen.pid}/limits").read_text()
        (core,) = [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core == ["0", "0"]
        assert secrets.found_in(process.output.encode()) == []
        assert secrets.found_in(Path(f"/proc/{process.popen.pid}/cmdline").read_bytes()) == []
        assert secrets.found_in(Path(f"/proc/{process.popen.pid}/environ").read_bytes()) == []


def test_ticket_keys_are_on_no_page_in_no_log_no_repr_no_file_and_not_on_the_wire(
    place: Place, secrets: Secrets, caplog: pytest.LogCaptureFixture, folder: Path
) -> None:
    mesh_port, port = free_ports(2)
    admin = {"socket": str(folder / "admin.sock"), "http": f"127.0.0.1:{port}"}
    vip = [{"name": "shop", "resumption": "tickets", "sharing": {"rotate_s": 60, "lifetime_s": 240}}]
    with caplog.at_level(logging.DEBUG), Tap(("127.0.0.1", mesh_port)) as tap:
        one = place.node("edge-1", vip=vip)
        listening = {"listen": f"127.0.0.1:{mesh_port}", "advertise": tap.address}
        other = place.node("edge-2", vip=vip, admin=admin, mesh=listening)
        made, found = place.server(one), place.server(other)
        place.wait_until_met()
        place.wait_until_dialled(one, tap.address)
        wait_until(lambda: _encrypting(one) == _encrypting(other), what="both encrypt with one key")
        for version in VERSIONS:
            client = secrets.watch(client_context(version))
            assert visit(found, client, session=visit(made, client).session).resumed
        hostile = HostileMember(load_keyring(folder / "mesh.key"), other)
        try:
            hostile.joins(other)
            told = ToldKey(2, secrets.new("hostile ticket key"), 0, 60, 240)
            hostile.sends(hostile.says(TicketKeys(_ring(other), (told,))), b"\xff" * 64)
            wait_until(lambda: "ticket_key_foreign" in repr(other.stats()), what="it is refused")
        finally:
            hostile.close()
        assert secrets.add_ticket_keys(one) == secrets.add_ticket_keys(other) >= 1
        pages = [*_pages(folder / "admin.sock", unix_app(other)), *_pages(port, http_app(other))]
        recorded = tap.recorded()
    core = other.internals.pump.core
    keys = core.tickets.of_vip("shop", other.internals.pump.clock())
    shown = [keys, keys.ring, keys.encrypting, core.tickets.bequeathed(other.internals.pump.clock())]
    shown += [told, TicketKeys(keys.ring.id, (told,)), other.policies.ticket_rings()]
    shown += [other.internals.vips.port("shop").ticket_keys, other.stats()]
    lines = "\n".join([*map(_whole, caplog.records), *map(repr, shown), *map(str, shown)]).encode()
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".keylog"]
    assert _encrypting(one).encode() in lines, "names are no secret, and it was really looked at"
    assert len(files) > 3
    assert len(recorded) > 1000
    everything = b"\n".join([*pages, lines, *files, recorded])
    assert secrets.found_in(everything) == []
    assert secrets.found_in(everything + keys.encrypting.reveal().hex().encode())


def _ring(node: MeshNode) -> bytes:
    pump = node.internals.pump
    keys = pump.core.tickets.of_vip("shop", pump.clock())
    assert keys is not None
    return keys.ring.id


def _encrypting(node: MeshNode) -> str:
    keys = [key for ring in node.policies.ticket_rings() for key in ring["keys"]]
    return next((key["name"] for key in keys if key["state"] == "encrypts"), node.name)
