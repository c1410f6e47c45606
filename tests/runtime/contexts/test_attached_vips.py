"""Contexts joining and leaving VIPs, on a running node."""

from __future__ import annotations

import gc
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import truststore
from OpenSSL import SSL, crypto
from urllib3.contrib.pyopenssl import PyOpenSSLContext

from meshcache import AttachError, MeshNode, Settings
from meshcache.runtime.contexts import vip_contexts as module
from tests.nodes import alive, settings
from tests.support.waiting import wait_until
from tests.tls.world import (
    ask_clients,
    client_certificate,
    client_context,
    give_certificate,
    server_certificate,
    server_context,
    visit,
)

FRONT = {"group": "front"}
VIPS = [{"name": "shop", "sharing": FRONT}, {"name": "cart", "sharing": FRONT}, {"name": "pay"}]


@pytest.fixture
def made(folder: Path) -> Settings:
    return settings(folder, vip=VIPS)


@pytest.fixture
def node(made: Settings) -> Iterator[MeshNode]:
    with MeshNode(made) as node:
        yield node


def asking(**more: Any) -> Any:
    context = server_context("stdlib")
    ask_clients(context, **more)
    return context


def resumes(context: Any, session: Any, client: Any) -> bool:
    return visit(context, client, session=session).resumed


def test_several_contexts_of_one_vip_share_its_sessions(node: MeshNode) -> None:
    one, other = (node.attach(server_context(kind), vip="shop") for kind in ("stdlib", "pyopenssl"))
    client = client_context()
    assert resumes(other, visit(one, client).session, client)


def test_a_context_that_differs_from_one_that_is_attached_is_refused_and_left_as_it_was(node: MeshNode) -> None:
    one = node.attach(server_context("stdlib"), vip="shop")
    other = asking(required=False)
    with pytest.raises(AttachError, match="differs from one that is attached, in client authentication"):
        node.attach(other, vip="shop")
    client = client_context("1.2")
    assert not resumes(other, visit(one, client).session, client)
    assert resumes(one, visit(one, client).session, client)
    node.attach(other, vip="pay")


def test_it_may_take_the_place_of_one_that_is_gone(node: MeshNode) -> None:
    one = node.attach(server_context("stdlib"), vip="shop")
    del one
    gc.collect()
    node.attach(asking(required=False), vip="shop")


def test_it_may_take_the_others_place_after_a_reload_and_the_others_end(node: MeshNode, made: Settings) -> None:
    old = node.attach(server_context("stdlib"), vip="shop")
    client = client_context("1.2")
    session = visit(old, client).session
    node.reload(made)
    assert resumes(old, session, client)
    new = node.attach(asking(required=False), vip="shop")
    assert not resumes(new, session, client)
    assert resumes(new, visit(new, client).session, client)
    assert not resumes(old, visit(old, client).session, client)


def test_vips_of_one_group_that_ask_differently_are_refused(node: MeshNode) -> None:
    kept = node.attach(server_context("stdlib"), vip="shop")
    with pytest.raises(AttachError, match="share group front with VIP shop"):
        node.attach(asking(), vip="cart")
    node.attach(asking(), vip="pay")
    del kept


def test_a_context_serves_one_vip(node: MeshNode) -> None:
    context = node.attach(server_context("stdlib"), vip="shop")
    node.attach(context, vip="shop")
    with pytest.raises(AttachError, match="attached to VIP 'shop' already"):
        node.attach(context, vip="pay")


def test_a_context_without_a_certificate_can_not_join(node: MeshNode) -> None:
    import ssl

    with pytest.raises(AttachError, match="no certificate"):
        node.attach(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), vip="shop")
    assert node.stats()["vips"] == {}


def test_names_that_the_certificate_does_not_cover_are_refused(folder: Path) -> None:
    listed = [{"name": "shop", "names": ["a.test", "elsewhere.test"]}]
    context = server_context("stdlib")
    with MeshNode(settings(folder, vip=listed)) as node:
        with pytest.raises(AttachError, match=r"does not cover elsewhere\.test"):
            node.attach(context, vip="shop")
        assert not node.detach(context)


def test_the_only_vip_of_a_file_gets_sessions_from_the_nodes_start(folder: Path) -> None:
    """Before a context has joined: a new worker's first client has been elsewhere."""
    with MeshNode(settings(folder, "edge-1")) as first:
        seeds = {"seeds": [first.address]}
        with MeshNode(settings(folder, "edge-2", mesh=seeds)) as second:
            client = client_context()
            wait_until(
                lambda: alive(second) == {"edge-1"} == {peer["name"] for peer in second.peers()}, what="they meet"
            )
            session = visit(first.attach(server_context("stdlib"), vip="shop"), client).session
            wait_until(lambda: second.stats()["vips"]["shop"]["entries"], what="the session is there")
            assert resumes(second.attach(server_context("pyopenssl"), vip="shop"), session, client)
            assert second.stats()["vips"]["shop"]["sessions"]["recalled"] == 0


def test_of_several_vips_those_are_served_that_are_asked_for(node: MeshNode) -> None:
    assert node.stats()["vips"] == {}
    assert node.serve("pay")
    assert not node.serve("pay")
    assert list(node.stats()["vips"]) == ["pay"]
    with pytest.raises(AttachError, match="there is no VIP"):
        node.serve("nothing")


def test_a_context_that_is_other_than_was_guessed_is_what_counts(node: MeshNode) -> None:
    node.serve("pay")
    (guessed,) = node.internals.pump.core.local_vips()
    context = node.attach(asking(), vip="pay")
    (real,) = node.internals.pump.core.local_vips()
    assert real.terms.digest != guessed.terms.digest
    client = client_context(certificate=client_certificate())
    assert resumes(context, visit(context, client).session, client)


def test_a_reload_keeps_what_is_served_without_a_context(node: MeshNode, folder: Path) -> None:
    node.serve("pay")
    named = [{"name": "pay", "names": ["pay.test"], "sharing": {"lifetime_s": 60}}]
    node.reload(settings(folder, vip=named))
    assert list(node.stats()["vips"]) == ["pay"]


def test_a_reload_that_a_certificate_does_not_allow_changes_nothing(node: MeshNode, folder: Path) -> None:
    context, client = node.attach(server_context("stdlib"), vip="pay"), client_context()
    session = visit(context, client).session
    with pytest.raises(AttachError, match=r"does not cover elsewhere\.test"):
        node.reload(settings(folder, vip=[{"name": "pay", "names": ["elsewhere.test"], "sharing": {"group": "new"}}]))
    assert node.policy()[0]["group"] == "pay"
    assert resumes(context, session, client)


def test_more_vips_than_the_core_takes_are_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.core.state.served_vips.VIPS_MAX", 1)
    with MeshNode(settings(folder, vip=[{"name": "shop"}, {"name": "pay"}])) as node:
        node.attach(server_context("stdlib"), vip="shop")
        context = server_context("stdlib")
        with pytest.raises(AttachError, match=r"VIP pay: .* at most 1"):
            node.attach(context, vip="pay")
        assert list(node.stats()["vips"]) == ["shop"]
        node.attach(context, vip="shop")


def test_contexts_that_are_gone_are_forgotten(node: MeshNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRUNE_AT", 4)
    kept = node.attach(server_context("stdlib"), vip="shop")
    for _ in range(50):
        node.attach(server_context("stdlib"), vip="shop")
    assert node.internals.vips.contexts("shop") <= 8
    client = client_context()
    assert resumes(kept, visit(kept, client).session, client)


def test_closing_leaves_contexts_that_shake_hands_in_full(node: MeshNode) -> None:
    context, client = node.attach(server_context("stdlib"), vip="shop"), client_context()
    session = visit(context, client).session
    node.close()
    assert not resumes(context, session, client)
    assert "shop" in node.internals.vips


def test_a_context_moves_between_nodes_of_one_process_only_by_leaving_first(node: MeshNode, folder: Path) -> None:
    context = node.attach(server_context("stdlib"), vip="shop")
    with MeshNode(settings(folder, "edge-2", vip=VIPS)) as other:
        with pytest.raises(AttachError, match="of another node in this process, edge-1: let it leave there first"):
            other.attach(context, vip="shop")
        client = client_context()
        first = visit(context, client)
        assert resumes(context, first.session, client), "it is where it was"
        assert node.detach(context)
        other.attach(context, vip="shop")
        assert not resumes(context, visit(context, client).session, client) or other.stats()["vips"]["shop"]["entries"]
        assert other.stats()["vips"]["shop"]["sessions"]["made"] > 0


def test_a_context_of_a_node_that_was_closed_may_join_another(made: Settings, folder: Path) -> None:
    context = server_context("stdlib")
    with MeshNode(made) as first:
        first.attach(context, vip="shop")
    with MeshNode(settings(folder, "edge-2", vip=VIPS)) as second:
        second.attach(context, vip="shop")
        client = client_context()
        assert resumes(context, visit(context, client).session, client)


@pytest.mark.parametrize("kind", ["truststore", "urllib3"])
def test_wrapped_contexts_join(node: MeshNode, kind: str) -> None:
    if kind == "truststore":
        wrapper: Any = truststore.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        give_certificate(wrapper._ctx, server_certificate("a.test"))
    else:
        wrapper = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        give_certificate(wrapper._ctx, server_certificate("a.test"))
    assert node.attach(wrapper, vip="shop") is wrapper
    client = client_context()
    inner = wrapper._ctx
    assert resumes(inner, visit(inner, client).session, client)
    assert node.detach(wrapper)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of OpenSSL.crypto: what doesn't warn parses each time
def test_ten_thousand_contexts_that_came_and_went_leave_memory_flat(node: MeshNode) -> None:
    leaf = server_certificate("a.test")
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, leaf.cert_chain_pems[0].bytes())
    key = crypto.load_privatekey(crypto.FILETYPE_PEM, leaf.private_key_pem.bytes())

    def come_and_go(times: int) -> None:
        for _ in range(times):
            context = SSL.Context(SSL.TLS_SERVER_METHOD)
            context.use_certificate(certificate)  # nothing is parsed: that would take most of the time
            context.use_privatekey(key)
            node.attach(context, vip="shop")

    come_and_go(500)
    before, objects = resident_bytes(), len(gc.get_objects())
    come_and_go(10_000)
    assert resident_bytes() - before < 4 * 2**20
    assert len(gc.get_objects()) - objects < 5_000


def resident_bytes() -> int:
    """What this process has in memory (proc(5), statm)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class TestWhatPeersAreToldOfWaiting:
    """For how long handshakes here wait for what is on its way: so long it may be collected elsewhere."""

    @pytest.mark.parametrize(
        ("vip", "told_ms"),
        [({}, 15), ({"fetch": "off"}, 5), ({"fetch_ms": 30.5}, 35), ({"await_ms": 0}, 0), ({"await_ms": 0.5}, 10)],
    )
    def test_what_its_settings_say_once_all_contexts_pause(
        self, folder: Path, vip: dict[str, Any], told_ms: int
    ) -> None:
        with MeshNode(settings(folder, vip=[{"name": "shop", **vip}])) as node:
            core = node.internals.pump.core
            told = lambda: core.local_vips()[0].note.awaits_ms  # noqa: E731
            assert told() == 0, "no context is here yet"
            node.attach(server_context("pyopenssl"), vip="shop", pauses=True)
            assert told() == told_ms
            node.attach(server_context("pyopenssl"), vip="shop", pauses=True)
            assert told() == told_ms
            node.attach(server_context("stdlib"), vip="shop")
            assert told() == 0, "a client may meet that one"
            node.attach(server_context("pyopenssl"), vip="shop", pauses=True)
            assert told() == 0

    @pytest.mark.parametrize(
        ("vip", "fetches"),
        [
            ({}, True),
            ({"fetch": "off"}, False),
            ({"fetch_ms": 4.9}, False),
            ({"fetch_ms": 5}, True),
            ({"await_ms": 0}, False),
        ],
    )
    def test_and_whether_they_ask_the_maker_meanwhile(self, folder: Path, vip: dict[str, Any], fetches: bool) -> None:
        with MeshNode(settings(folder, vip=[{"name": "shop", **vip}])) as node:
            core = node.internals.pump.core
            node.attach(server_context("pyopenssl"), vip="shop", pauses=True)
            assert core.local_vips()[0].note.fetches is fetches
            node.attach(server_context("stdlib"), vip="shop")
            assert core.local_vips()[0].note.fetches is False

    def test_a_reload_tells_the_new_times(self, folder: Path) -> None:
        with MeshNode(settings(folder, vip=[{"name": "shop"}])) as node:
            node.attach(server_context("pyopenssl"), vip="shop", pauses=True)
            node.reload(settings(folder, vip=[{"name": "shop", "await_ms": 50}]))
            assert node.internals.pump.core.local_vips()[0].note.awaits_ms == 60


def test_what_is_held_back_is_let_go_when_its_vip_gets_another_group(node: MeshNode, folder: Path) -> None:
    node.attach(server_context("stdlib"), vip="pay")
    port = node.internals.vips.port("pay")
    port.withhold(on=True)
    port.created(b"\x01" * 32, b"\x30" * 100, 0, False, 0x0303)
    port.withhold(on=False)
    node.reload(settings(folder, vip=[{"name": "pay", "sharing": {"lifetime_s": 60}}]))
    assert len(port.withheld) == 1
    node.reload(settings(folder, vip=[{"name": "pay", "sharing": {"group": "new"}}]))
    assert len(port.withheld) == 0
