"""One VIP's door, with the core of a running node behind it and no TLS before it."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshNode
from meshcache.core.policy.gates import Verdict
from meshcache.core.values.session import Outcome
from meshcache.runtime.vip_ports.session_ports import REMOVED_MAX, VipPort
from meshcache.tls.port import SessionPort
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tls.world import client_context, server_context, visit

DER = bytes(range(134))
TLS12, TLS13 = 0x0303, 0x0304


@pytest.fixture
def node(folder: Path) -> Iterator[MeshNode]:
    sharing = {"lifetime_s": 3600, "lineage_s": 7200}
    with MeshNode(settings(folder, vip=[{"name": "shop", "min_tls": "1.3", "sharing": sharing}])) as node:
        yield node


@pytest.fixture
def context(node: MeshNode) -> object:
    return node.attach(server_context("stdlib", "1.3"), vip="shop")


@pytest.fixture
def port(node: MeshNode, context: object) -> VipPort:
    return node.internals.vips.port("shop")


def made(port: VipPort, token: int = 0, tls_version: int = TLS13) -> bytes:
    session_id = os.urandom(32)
    port.created(session_id, DER, token, False, tls_version)
    return session_id


def expires_in(node: MeshNode, port: VipPort, session_id: bytes) -> float:
    session = node.internals.pump.core.lookup("shop", session_id, port.clock()).session
    assert session is not None
    return session.expires_at - port.clock()


def test_it_is_what_the_tls_edge_wants(port: VipPort) -> None:
    edge: SessionPort = port
    assert edge.name == "shop"
    assert edge.allows_client_certificates is False


def test_what_was_made_is_found_as_local(port: VipPort, node: MeshNode) -> None:
    found = port.find(made(port))
    assert found is not None
    der, token = found
    assert der == DER
    assert port.made_here(token)
    assert node.internals.tokens.outcome(token) is Outcome.LOCAL


def test_what_it_shows_of_itself_has_no_secret(port: VipPort, node: MeshNode) -> None:
    session_id = made(port)
    with node.internals.pump.lock:
        port.removed(session_id)
        shown = f"{port!r}{port!s}{node.internals.tokens!r}{port.find!r}"
    assert "VipPort" in shown
    for secret in (session_id, DER):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_an_unknown_id_is_one_miss_when_its_handshake_ends(port: VipPort, node: MeshNode) -> None:
    for _ in range(2):
        assert port.find(os.urandom(32)) is None
    assert node.stats()["vips"]["shop"]["lookups"]["miss"] == 0
    port.missed()
    assert node.stats()["vips"]["shop"]["lookups"]["miss"] == 1


def test_a_hit_counts_by_who_made_it_when_it_resumes(port: VipPort, node: MeshNode) -> None:
    found = port.find(made(port))
    assert isinstance(found, tuple)
    assert node.stats()["vips"]["shop"]["lookups"]["local"] == 0
    port.hit(found[1])
    port.hit(node.internals.tokens.pack(Outcome.REMOTE, "edge-2", port.clock()))
    lookups = node.stats()["vips"]["shop"]["lookups"]
    assert (lookups["local"], lookups["remote"]) == (1, 1)


def test_why_a_session_may_not_resume_is_told_and_left_to_be_counted(port: VipPort, node: MeshNode) -> None:
    session_id = made(port, node.internals.tokens.pack(Outcome.LOCAL, "edge-1", port.clock() - 7100))
    port.clock = lambda: node.internals.pump.clock() + 110
    assert port.find(session_id) is Verdict.LIFETIME
    assert node.stats()["vips"]["shop"]["lookups"]["expired"] == 0
    port.lookup_refused(Verdict.LIFETIME)
    port.lookup_refused(Verdict.LINEAGE)
    port.session_refused(Verdict.NAME_CLASS)
    stats = node.stats()["vips"]["shop"]
    assert (stats["lookups"]["expired"], stats["lookups"]["refused"]) == (1, {"lineage": 1})
    assert stats["sessions"]["refused"] == {"name_class": 1}


def test_a_renewal_inherits_the_birth_of_its_lineage(port: VipPort, node: MeshNode) -> None:
    token = node.internals.tokens.pack(Outcome.REMOTE, "edge-2", port.clock() - 5000)
    found = port.find(made(port, token))
    assert found is not None
    assert node.internals.tokens.born_at(found[1]) == pytest.approx(port.clock() - 5000, abs=2)


def test_however_often_it_is_renewed_a_lineage_keeps_its_birth(port: VipPort, node: MeshNode) -> None:
    first = port.find(made(port))
    assert first is not None
    token = first[1]
    for _ in range(50):
        found = port.find(made(port, token))
        assert found is not None
        token = found[1]
    assert token == first[1]


def test_a_renewal_lives_no_longer_than_its_lineage_and_not_at_all_after_it(port: VipPort, node: MeshNode) -> None:
    def renewed(age: float) -> bytes:
        return made(port, node.internals.tokens.pack(Outcome.LOCAL, "edge-1", port.clock() - age))

    assert expires_in(node, port, renewed(1000)) == pytest.approx(3600, abs=2)
    assert expires_in(node, port, renewed(7000)) == pytest.approx(200, abs=2)
    before = node.stats()["vips"]["shop"]["sessions"]["made"]
    assert port.find(renewed(7201)) is None
    assert node.stats()["vips"]["shop"]["sessions"]["made"] == before


def test_each_tls_version_has_its_own_longest_life(port: VipPort, node: MeshNode, folder: Path) -> None:
    week = {"lifetime_s": 7 * 86400, "lineage_s": 8 * 86400}
    node.reload(settings(folder, vip=[{"name": "shop", "min_tls": "1.3", "sharing": week}]))
    assert expires_in(node, port, made(port, tls_version=TLS13)) == pytest.approx(7 * 86400, abs=2)
    assert expires_in(node, port, made(port, tls_version=TLS12)) == pytest.approx(86400, abs=2)


def test_an_unusable_entry_goes_and_is_counted_by_its_reason(port: VipPort, node: MeshNode) -> None:
    session_id = made(port)
    assert port.find(session_id)
    port.unusable(session_id, Verdict.DER)
    assert port.find(session_id) is None
    lookups = node.stats()["vips"]["shop"]["lookups"]
    assert (lookups["refused"], lookups["local"]) == ({"der": 1}, 0)


def test_a_removal_may_come_while_this_thread_holds_the_lock(port: VipPort, node: MeshNode) -> None:
    session_id = made(port)
    with node.internals.pump.lock:
        port.removed(session_id)
    wait_until(lambda: not node.internals.pump.core.holds("shop", session_id))


def test_removals_that_wait_are_bounded(port: VipPort, node: MeshNode) -> None:
    with node.internals.pump.lock:
        for _ in range(REMOVED_MAX + 10):
            port.removed(os.urandom(32))
        assert port.removals_waiting == REMOVED_MAX


def test_counters_go_to_the_core(port: VipPort, node: MeshNode) -> None:
    port.full()
    port.full()
    port.hit_not_resumed()
    stats = node.stats()["vips"]["shop"]
    assert (stats["handshakes"]["full"], stats["lookups"]["hit_not_resumed"]) == (2, 1)


def test_a_handshake_is_counted_while_another_thread_holds_the_lock(port: VipPort, node: MeshNode) -> None:
    with node.internals.pump.lock:
        port.full()
        node.handshake_failed("shop")
    handshakes = node.stats()["vips"]["shop"]["handshakes"]
    assert (handshakes["full"], handshakes["failed"]) == (1, 1)


def test_a_fault_is_counted_each_time_and_logged_once_without_its_message(
    port: VipPort, node: MeshNode, caplog: pytest.LogCaptureFixture
) -> None:
    nothing: dict[bytes, bytes] = {}
    for _ in range(3):
        try:
            nothing[b"a session id"]
        except KeyError:
            port.fault("get")
    assert node.stats()["faults"] == {"shop": {"get": 3}}
    assert len(caplog.records) == 1
    assert "KeyError at test_session_ports.py" in caplog.text
    assert "session id" not in caplog.text


def test_a_closed_port_finds_and_keeps_nothing_and_says_why_once(
    port: VipPort, node: MeshNode, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = made(port)
    port.close("this is a child")
    with caplog.at_level(logging.ERROR, "meshcache"):
        assert port.find(session_id) is None
        assert port.find(made(port)) is None
    for call in (port.full, port.hit_not_resumed):
        call()
    port.unusable(session_id, Verdict.DER)
    port.removed(session_id)
    assert caplog.text.count("this is a child") == 1
    assert node.stats()["vips"]["shop"]["sessions"]["made"] == 1
    assert node.stats()["vips"]["shop"]["handshakes"]["full"] == 0


def test_a_closed_port_waits_for_no_lock(port: VipPort, node: MeshNode) -> None:
    """Whoever holds the pump's lock at a fork is gone in the child, where connections made before go on and end."""
    session_id = made(port)
    port.close()

    def used() -> None:
        port.withhold(on=True)
        port.withhold(on=False)
        port.keep(session_id)
        port.forget(session_id)

    thread = threading.Thread(target=used, daemon=True)
    with node.internals.pump.lock:
        thread.start()
        thread.join(30)
        waited = thread.is_alive()
    assert not waited


def test_what_it_keeps_does_not_grow_with_lookups(port: VipPort) -> None:
    for _ in range(200):
        port.find(os.urandom(32))
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(2000):
        port.find(os.urandom(32))
    gc.collect()
    assert len(gc.get_objects()) - before < 500


@pytest.mark.parametrize("anew", [False, True])
def test_what_waits_at_the_door_when_it_is_bound_anew_is_of_other_settings(
    port: VipPort, node: MeshNode, context: object, anew: bool
) -> None:
    if port.door is None:
        pytest.skip("without the compiled module nothing waits there")
    port.door.collect(time.monotonic() + 60, False)
    core = node.internals.pump.core
    with node.internals.pump.lock:  # as whoever changes the settings has it; handshakes go on without
        visit(context, client_context("1.3"))
        assert len(port.door) == 1
        port.bind(anew=anew)
        assert len(port.door) == 0
    assert len(core.session_ids("shop")) == (not anew)
