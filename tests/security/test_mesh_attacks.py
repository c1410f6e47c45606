"""Strangers and hostile members on the mesh's real sockets: who isn't a member gets nothing, who is gets no more than
docs/security.md says, and the sessions of the others go on resuming.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import zmq

from meshcache import MeshNode
from meshcache.core.values.limits import Limits
from meshcache.core.wire.messages import MESSAGE_BYTES_MAX, Hello, Leave
from meshcache.edges import zap
from meshcache.edges.discovery import Announcement, mesh_hash
from meshcache.edges.keyfile import load_keyring
from meshcache.edges.keyring import Keyring
from tests.edges.test_discovery import Forger
from tests.nodes import Place, alive
from tests.security.members import HostileMember, Tap, stranger
from tests.support.material import free_ports
from tests.support.waiting import PATIENCE_S, wait_until
from tests.tls.world import client_context, visit

CROSS_S_MAX = PATIENCE_S
"""On a wire that is cut into, libzmq's heartbeat has to notice first."""

DER = b"\x30" + b"d" * 133


def keyring_of(place: Place) -> Keyring:
    return load_keyring(place.folder / "mesh.key")


HANDSHAKE_BYTES = 64 + 202 + 512
"""More than a CURVE client sends until it is let in (greeting, HELLO, INITIATE: ZeroMQ RFC 26)."""


class Pair:
    """Two honest nodes with a VIP each, and one client."""

    def __init__(self, place: Place, **changes: Any) -> None:
        self.one, self.other = place.node("edge-1", **changes), place.node("edge-2", **changes)
        self.made, self.found = place.server(self.one), place.server(self.other)
        place.wait_until_met()
        self.client = client_context("1.2")
        self.sessions: list[Any] = []

    def make(self, count: int = 1) -> None:
        before = self.received()
        self.sessions += [visit(self.made, self.client).session for _ in range(count)]
        wait_until(lambda: self.received() >= before + count, CROSS_S_MAX, "the sessions cross")

    def received(self) -> int:
        return int(self.other.stats()["vips"]["shop"]["sessions"]["received"])

    def all_resume(self) -> bool:
        return all(visit(self.found, self.client, session=session).resumed for session in self.sessions)

    def dropped(self, reason: str) -> int:
        return int(self.other.stats()["gossip"]["dropped"].get(reason, 0))


@pytest.fixture
def pair(place: Place) -> Pair:
    return Pair(place)


@pytest.fixture
def mallory(place: Place, pair: Pair) -> Iterator[HostileMember]:
    member = HostileMember(keyring_of(place), pair.other)
    yield member
    member.close()


class TestStrangers:
    """Nobody without the mesh key gets a message in, or learns a byte."""

    @pytest.mark.parametrize("how", ["another mesh key", "NULL", "PLAIN", "the listener's public key"])
    def test_are_refused_and_counted(self, place: Place, pair: Pair, how: str) -> None:
        refused_before = sum(pair.other.stats()["transport"]["refused"].values())
        with zmq.Context() as context:
            dealer = stranger(context, how, keyring_of(place).current)
            opened = dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            dealer.connect(f"tcp://{pair.other.address}")
            hello = HostileMember(keyring_of(place), pair.other, "stranger")
            if how in ("NULL", "PLAIN"):
                with suppress(zmq.Again):  # it was refused already, and has nowhere to send
                    dealer.send(_hello_of(hello), zmq.NOBLOCK)
            refused = lambda: sum(pair.other.stats()["transport"]["refused"].values())  # noqa: E731
            wait_until(lambda: refused() > refused_before or opened.poll(0))
            assert dealer.poll(50) == opened.poll(0) == 0
            dealer.disable_monitor()
            opened.close(0)
            dealer.close(0)
            hello.close()
        assert "stranger" not in {peer["name"] for peer in pair.other.peers()}
        pair.make()
        assert pair.all_resume()

    @pytest.mark.parametrize(
        "start",
        [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\xff" + b"\0" * 8 + b"\x7f",
        ],
        ids=["random", "http", "tls", "zmtp"],
    )
    def test_that_send_raw_bytes_disturb_nobody(self, pair: Pair, start: bytes) -> None:
        host, _, port = pair.other.address.rpartition(":")
        for _ in range(20):
            with socket.create_connection((host, int(port)), 60) as raw:
                raw.settimeout(60)
                raw.sendall(start + os.urandom(2000))
        pair.make()
        assert pair.all_resume()

    def test_get_in_no_better_when_the_gate_is_dead(
        self, place: Place, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fail closed: not even members are let in, and those that are connected go on."""
        asked: list[object] = []

        def breaks(*request: object) -> list[bytes]:
            asked.append(request)
            raise MemoryError("the gate has no answer, and can give none to those who come after")

        monkeypatch.setattr(zap, "answer", breaks)
        late = HostileMember(keyring_of(place), pair.other, "late")
        wait_until(lambda: asked, what="the gate is asked")
        late.dealer.send(_hello_of(late)) if late.dealer.poll(300, zmq.POLLOUT) else None
        pair.make()
        assert pair.all_resume()
        assert alive(pair.other) == {"edge-1"}
        late.close()

    def test_of_another_mesh_with_the_same_key_are_refused_by_name(self, place: Place, pair: Pair) -> None:
        other = HostileMember(keyring_of(place), pair.other, "stage-1", mesh="staging")
        other.says(Hello(other.mesh, other.record))
        other.pushes(1, [DER])
        wait_until(lambda: pair.dropped("other_mesh") and pair.dropped("unknown_sender"))
        assert "stage-1" not in {peer["name"] for peer in pair.other.peers()}
        other.close()


def _hello_of(member: HostileMember) -> bytes:
    from meshcache.core.wire.codec import encode

    return encode(member.name, member.incarnation, Hello(member.mesh, member.record))


class TestTheWire:
    """What somebody between two nodes hears is in test_secrecy; what they do to the bytes costs time and no more."""

    @pytest.fixture
    def tapped(self, place: Place) -> Iterator[tuple[Pair, Tap]]:
        """What edge-1 sends to edge-2 passes the tap, whose address edge-2 advertises."""
        (port,) = free_ports(1)
        with Tap(("127.0.0.1", port)) as tap:
            pair = object.__new__(Pair)
            pair.one = place.node("edge-1")
            pair.other = place.node("edge-2", mesh={"listen": f"127.0.0.1:{port}", "advertise": tap.address})
            pair.made, pair.found = place.server(pair.one), place.server(pair.other)
            place.wait_until_met()
            place.wait_until_dialled(pair.one, tap.address)
            pair.client, pair.sessions = client_context("1.2"), []
            yield pair, tap

    @pytest.mark.parametrize("number", [1, 2, 3, 4, 6])
    def test_with_a_bit_flipped_takes_a_new_connection(self, tapped: tuple[Pair, Tap], number: int) -> None:
        """In the greeting, in the handshake and after it, where libzmq's heartbeat notices within seconds."""
        pair, tap = tapped
        pair.make(2)
        flips: list[int] = []

        def flip(count: int, chunk: bytes) -> bytes:
            if flips or count != number:
                return chunk
            flips.append(count)
            return chunk[:-1] + bytes([chunk[-1] ^ 1])

        tap.change = flip
        tap.cut()
        wait_until(lambda: bool(flips), what="a bit was flipped")
        pair.make(3)
        assert pair.all_resume()

    def test_cut_off_in_the_middle_of_frames_loses_nothing(self, tapped: tuple[Pair, Tap]) -> None:
        pair, tap = tapped
        pair.make(2)
        cuts: list[int] = []

        def cut(count: int, chunk: bytes) -> bytes | None:
            if len(cuts) >= 4 or count < 5:
                return chunk
            cuts.append(count)
            return None

        tap.change = cut
        pair.make(5)
        wait_until(lambda: bool(cuts))
        pair.make(5)
        assert pair.all_resume()

    def test_played_back_is_worth_nothing(self, tapped: tuple[Pair, Tap]) -> None:
        """CURVE has fresh keys on each connection (ZeroMQ RFC 26): what was recorded fits none that comes after."""
        pair, tap = tapped
        pair.make(3)
        # They may have come on the other's own connection, while this one was still being made.
        wait_until(lambda: any(len(recorded) > HANDSHAKE_BYTES for recorded in tap.to_target))
        before = pair.other.stats()["gossip"]["received"]["sessions"]
        refused = sum(pair.other.stats()["transport"]["refused"].values())
        for recorded in list(tap.to_target):
            with socket.create_connection(tap.target, 60) as again:
                again.settimeout(60)
                again.sendall(recorded)
                while again.recv(65_536):
                    pass
        wait_until(lambda: sum(pair.other.stats()["transport"]["refused"].values()) > refused)
        assert pair.other.stats()["gossip"]["received"]["sessions"] == before
        assert alive(pair.other) == {"edge-1"}


class TestMdns:
    def test_forged_records_and_goodbyes_move_nobody(self, place: Place) -> None:
        """A record with our fingerprint costs a connection attempt that tells its maker nothing."""
        trap = socket.create_server(("127.0.0.1", 0))
        trap.settimeout(60)
        mdns = {"seeds": [], "mdns": True, "interfaces": ["127.0.0.1"]}
        one, other = (place.node(name, mesh=mdns) for name in ("edge-1", "edge-2"))
        made, found = place.server(one), place.server(other)
        place.wait_until_met()
        forger = Forger()
        try:
            (fingerprint,) = keyring_of(place).fingerprints
            forger.announce("trap", "127.0.0.1", trap.getsockname()[1], key=fingerprint, mesh=mesh_hash("test"))
            caught, _ = trap.accept()
            caught.settimeout(60)
            heard = caught.recv(4096)
            assert not [name for name in (b"edge", b"shop", b"ams1", b"test") if name in heard]
            caught.close()
            _say_goodbye_for(forger, one, keyring_of(place))
            client = client_context("1.2")
            session = visit(made, client).session
            wait_until(lambda: visit(found, client, session=session).resumed)
            assert alive(one) == {"edge-2"}
            assert alive(other) == {"edge-1"}
        finally:
            forger.zeroconf.close()
            trap.close()


def _say_goodbye_for(forger: Forger, node: MeshNode, keyring: Keyring) -> None:
    """Announce a node's own instance and take it back, as anyone on the link can."""
    assert node.internals.finders is not None
    discovery = node.internals.finders.discovery
    assert discovery is not None
    instance = discovery.instance.partition(".")[0]
    announcement = Announcement([node.address], "test", keyring.fingerprints)
    forger.announce(instance, "127.0.0.1", int(node.address.rpartition(":")[2]), **announcement.to_txt())
    forger.zeroconf.unregister_all_services()


class TestHostileMembers:
    """Whoever holds the mesh key may lie; the limits hold all the same."""

    def test_can_not_speak_for_a_node_that_is_linked(self, pair: Pair, mallory: HostileMember) -> None:
        pair.make()
        mallory.joins(pair.other)
        forged = pair.one.internals.pump.core.local_vips()[0].terms
        incarnation = pair.one.internals.pump.core.records()[0][0].incarnation
        mallory.pushes(1, [DER], terms=forged, incarnation=incarnation, age=(incarnation, 1))
        wait_until(lambda: pair.dropped("forged_origin"))
        mallory.says(Leave(), sender="edge-1")
        wait_until(lambda: pair.dropped("connection_name") or "edge-1" not in alive(pair.other))
        assert "edge-1" in alive(pair.other)
        assert pair.all_resume()

    def test_can_not_replace_a_session_that_is_there(self, pair: Pair, mallory: HostileMember) -> None:
        pair.make(5)
        mallory.joins(pair.other)
        mallory.pushes(1, [DER] * 5, [session.id for session in pair.sessions])
        refused = lambda: pair.other.stats()["vips"]["shop"]["sessions"]["refused"]  # noqa: E731
        wait_until(lambda: refused().get("conflict") == 5)
        assert pair.all_resume()

    def test_that_repeat_themselves_are_counted_and_not_believed_twice(
        self, pair: Pair, mallory: HostileMember
    ) -> None:
        mallory.joins(pair.other)
        payload = mallory.pushes(1, [DER] * 4)
        for _ in range(5):
            mallory.sends(payload)
        wait_until(lambda: pair.other.stats()["vips"]["shop"]["sessions"]["duplicate"] == 20)
        assert pair.other.stats()["vips"]["shop"]["entries"] == 4

    def test_that_send_broken_frames_are_counted_by_reason(self, pair: Pair, mallory: HostileMember) -> None:
        mallory.joins(pair.other)
        payload = mallory.pushes(1, [DER])
        broken = [payload[:-1], payload + b"\0", b"", b"\xff" * 100, b"\x9f" + payload[1:], os.urandom(500)]
        for each in broken:
            mallory.sends(each)
        mallory.sends(payload, payload)
        mallory.sends(b"x" * (MESSAGE_BYTES_MAX + 1))
        before = pair.other.stats()["gossip"]["dropped"]
        wait_until(lambda: pair.dropped("too_long"))
        dropped = pair.other.stats()["gossip"]["dropped"]
        assert sum(dropped.values()) - before.get("too_long", 0) >= len(broken) + 1
        pair.make()
        assert pair.all_resume()

    def test_that_flood_a_quota_push_out_their_own(self, place: Place) -> None:
        pair = Pair(place, cache={"max_sessions": 2000, "max_bytes": "2MiB"})
        pair.make(50)
        mallory = HostileMember(keyring_of(place), pair.other)
        try:
            mallory.joins(pair.other)
            for number in range(400):
                mallory.pushes(1 + 64 * number, [DER] * 64)
            wait_until(lambda: pair.received() == 50 + 400 * 64)
            shop = pair.other.stats()["vips"]["shop"]
            assert shop["entries"] <= 2000
            assert shop["bytes"] <= shop["quota_bytes"] == 2 * 2**20
            assert pair.all_resume()
            pair.make(5)
            assert pair.all_resume()
        finally:
            mallory.close()

    def test_that_say_hello_under_ever_new_names_fill_a_bounded_table(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("meshcache.runtime.succession.new_core.MeshCore", partial(_core_with, Limits(peers_max=20)))
        pair = Pair(place)
        members = [HostileMember(keyring_of(place), pair.other, f"mallory-{number}") for number in range(40)]
        for member in members:
            member.says(Hello("test", member.record))
        wait_until(lambda: pair.dropped("peers_full") >= 20)
        assert len(pair.other.peers()) == 20
        assert "edge-1" in alive(pair.other)
        pair.make(3)
        assert pair.all_resume()
        for member in members:
            member.close()


def _core_with(limits: Limits, *arguments: Any, **more: Any) -> Any:
    from meshcache.core.mesh import MeshCore

    return MeshCore(*arguments, limits=limits, **more)
