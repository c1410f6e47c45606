"""Tickets on both hot paths: real handshakes at a real node, each case once in C and once in Python."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache import hot
from meshcache.core import mesh
from meshcache.core.tickets import ticket_duty
from meshcache.core.values.limits import Limits
from meshcache.tls.contexts import session_id
from meshcache.tls.ticket_keys import LINEAGE_BYTES, EdgeKey, read_note, write_note
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import (
    VERSIONS,
    ask_clients,
    client_certificate,
    client_context,
    server_context,
    set_ciphers,
    visit,
)

VIP = {"name": "shop", "resumption": "tickets", "tickets": 1, "sharing": {"live": "any"}}


@pytest.fixture
def place(folder: Path, hot_path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Nodes that have their first key, and one after a withdraw, at once: there is one clock, and nobody to join."""
    monkeypatch.setattr(mesh, "Limits", partial(Limits, ticket_first_s=0.0, ticket_quiet_s=0.3, snapshot_wait_s=0.1))
    monkeypatch.setattr(ticket_duty, "_DRIFT", 0.0)
    monkeypatch.setattr(ticket_duty, "_ROTATE_PAUSE_S", 0.0)
    yield from places(folder)


class Shop:
    """One node's VIP, a client of it, and how often Python was asked about a ticket."""

    def __init__(self, place: Place, version: str, **vip: Any) -> None:
        self.node = place.node("edge-1", vip=[VIP | vip])
        self.context = server_context("stdlib", version)
        self.client = client_context(version)
        self.asked = 0

    def attach(self) -> Shop:
        self.node.attach(self.context, vip="shop")
        wait_until(lambda: self.keys() is not None and self.keys().current, what="there is a key")
        may_resume = self.port.ticket_may_resume

        def watched(*facts: Any) -> bool:
            self.asked += 1
            return bool(may_resume(*facts))

        self.port.ticket_may_resume = watched
        return self

    @property
    def port(self) -> Any:
        return self.node.internals.vips.port("shop")

    def keys(self) -> Any:
        return self.port.ticket_keys

    def come(self, session: Any = None, name: str = "a.test") -> Any:
        return visit(self.context, self.client, session=session, name=name)

    def counts(self) -> dict[str, Any]:
        return dict(self.node.stats()["vips"]["shop"])


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_that_return_resume_and_are_counted_and_python_is_asked_once(
    place: Place, version: str, hot_path: str
) -> None:
    shop = Shop(place, version).attach()
    first = shop.come()
    lineage = first.session
    for _ in range(4):
        seen = shop.come(lineage)
        assert seen.resumed
        told = shop.node.resumption(seen.server.tls)
        assert (told.origin, told.outcome.value, told.server_name) == ("edge-1", "local", "a.test")
        assert told.lineage == shop.node.resumption(first.server.tls).lineage
        lineage = seen.session
    counts = shop.counts()
    assert counts["tickets"]["issued"] == (1 if version == "1.2" else 5)
    assert counts["tickets"]["opened"] == {"1h": 4, "6h": 0, "24h": 0, "older": 0}
    assert (counts["tickets"]["refused"], counts["tickets"]["unknown_key"]) == ({}, 0)
    assert (counts["lookups"]["local"], counts["handshakes"]["full"], counts["entries"]) == (4, 1, 0)
    assert shop.asked == (1 if hot_path == "c" else 4)


def test_a_ticket_that_is_offered_again_after_a_hello_retry_request_is_counted_once(place: Place) -> None:
    shop = Shop(place, "1.3")
    shop.context.set_ecdh_curve("secp384r1")  # which the client sends no key share for
    shop.attach()
    session = shop.come().session
    for _ in range(3):
        seen = shop.come(session)
        assert seen.resumed
        session = seen.session
    counts = shop.counts()
    assert sum(counts["tickets"]["opened"].values()) == counts["lookups"]["local"] == 3
    assert not shop.come(session, name="b.test").resumed
    assert shop.counts()["tickets"]["refused"] == {"name_class": 1}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_may_not_resume_is_refused_with_one_reason(place: Place, version: str) -> None:
    shop = Shop(place, version).attach()
    session = shop.come().session
    assert shop.come(session).resumed
    assert not shop.come(session, name="b.test").resumed
    assert shop.counts()["tickets"]["refused"] == {"name_class": 1}
    set_limits(shop, lifetime12_s=0.0, lifetime13_s=0.0)
    time.sleep(0.01)
    assert not shop.come(session).resumed
    assert shop.counts()["tickets"]["refused"] == {"name_class": 1, "lifetime": 1}
    set_limits(shop, lifetime12_s=3600.0, lifetime13_s=3600.0, lineage_s=0.0)
    assert not shop.come(session).resumed
    assert shop.counts()["tickets"]["refused"]["lineage"] == 1
    shop.port.forget_ticket_keys()
    assert shop.come(session).resumed
    shop.node.policies.rotate_tickets("shop")
    assert shop.come(session).resumed, "the former key opens"
    newer = shop.come().session
    shop.node.policies.withdraw(vip="shop")
    for old in (session, newer):
        assert not shop.come(old).resumed
    assert shop.counts()["tickets"]["unknown_key"] == 2
    wait_until(lambda: shop.keys().current, what="the next key")
    assert shop.come(shop.come().session).resumed


def set_limits(shop: Shop, **limits: float) -> None:
    """Hold tickets to other limits until the keys are asked for anew."""
    keys = replace(shop.keys(), **limits)
    shop.port.use_ticket_keys(keys)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resumption", ["sessions", "tickets"])
def test_a_cipher_that_was_agreed_to_is_not_once_its_context_lists_it_no_more(
    place: Place, version: str, resumption: str
) -> None:
    shop = Shop(place, version, resumption=resumption)
    shop.client.set_ciphers("ALL:@SECLEVEL=0")
    set_ciphers(shop.context, version, ":".join(CIPHERS[version]))
    shop.node.attach(shop.context, vip="shop")
    wait_until(
        lambda: resumption == "sessions" or (shop.keys() and shop.keys().current), what="a key, if one is needed"
    )
    session = shop.come().session
    for _ in range(3):
        seen = shop.come(session)
        assert seen.resumed
        session = seen.session
    listed = [cipher for cipher in CIPHERS[version] if cipher != seen.client.tls.cipher()[0]]
    set_ciphers(shop.context, version, listed[0])
    assert not shop.come(session).resumed
    counts = shop.counts()
    refused = counts["tickets" if resumption == "tickets" else "lookups"]["refused"]
    assert refused == {"protocol": 1}
    assert (counts["lookups"]["local"], counts["handshakes"]["full"]) == (3, 2)


CIPHERS = {
    "1.2": ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "1.3": ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),  # of one hash: OpenSSL would switch
}


@pytest.mark.parametrize("version", VERSIONS)
def test_ids_of_tickets_are_nobodys(place: Place, version: str) -> None:
    """They are looked for nowhere, so that they needn't say who made them."""
    shop = Shop(place, version).attach()
    ids = {session_id(shop.come().server.tls) for _ in range(3)}
    assert all(shop.port.ids is not None and not shop.port.ids.minted(each) for each in ids if each)
    assert len(ids) == 3 if version == "1.3" else ids <= {None, b""} or len(ids) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_stays_pythons_to_judge(place: Place, version: str) -> None:
    shop = Shop(place, version)
    ask_clients(shop.context)
    shop.attach()
    shop.client = client_context(version, client_certificate())
    session = shop.come().session
    for _ in range(2):
        seen = shop.come(session)
        assert seen.resumed
        assert seen.server.peer is not None
        session = seen.session
    assert shop.asked == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_a_live_reach_and_a_closed_node_hold_at_once(place: Place, version: str) -> None:
    shop = Shop(place, version).attach()
    session = shop.come().session
    assert shop.come(session).resumed
    shop.node.policies.set_policy("shop", {"reach": "server"})
    assert not shop.come(session).resumed, "it is another border, with other keys"
    wait_until(lambda: shop.keys() is not None and shop.keys().current)
    session = shop.come().session
    assert shop.come(session).resumed
    shop.port.close()
    assert not shop.come(session).resumed
    assert shop.come().session is None or not shop.come(shop.come().session).resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_threads_lose_no_count_and_meet_no_half_a_key_while_keys_change(place: Place, version: str) -> None:
    shop = Shop(place, version).attach()
    done = threading.Event()
    failed: list[BaseException] = []
    resumed = [0] * 4

    def work(number: int) -> None:
        client = client_context(version)
        session = visit(shop.context, client).session
        try:
            while not done.is_set():
                seen = visit(shop.context, client, session=session)
                resumed[number] += seen.resumed
                session = seen.session
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        shop.node.policies.rotate_tickets("shop")
        shop.port.forget_ticket_keys()
    wait_until(lambda: sum(resumed) > 40 or failed)
    done.set()
    for thread in threads:
        thread.join(60)
    assert not failed
    counts = shop.counts()
    assert sum(counts["tickets"]["opened"].values()) == sum(resumed) == counts["lookups"]["local"]
    assert counts["handshakes"]["full"] == 4, "each key opens until its last ticket is over"
    assert shop.node.stats()["faults"] == {}


@pytest.mark.skipif(hot.compiled is None, reason="the compiled module isn't there")
class TestDoor:
    ROW = (b"n" * 16, b"a" * 32, b"m" * 32, 0.0, 1.0, 2.0, 3.0)
    LIMITS = (3600.0, 3600.0, 86400.0, 0.0)

    def door(self) -> Any:
        assert hot.compiled is not None
        return hot.compiled.Door()

    def test_keys_are_taken_whole_or_not_at_all(self) -> None:
        door = self.door()
        door.set_tickets((self.ROW,) * 48, 47, b"edge-1", *self.LIMITS)
        door.set_tickets((), -1, b"e" * 64, *self.LIMITS)
        for rows, current, node in (
            ((self.ROW,) * 49, 0, b"edge-1"),
            ((self.ROW,), 1, b"edge-1"),
            (((b"n" * 15, *self.ROW[1:]),), 0, b"edge-1"),
            (((self.ROW[0], b"a" * 31, *self.ROW[2:]),), 0, b"edge-1"),
            ((self.ROW,), 0, b""),
            ((self.ROW,), 0, b"e" * 65),
            ((self.ROW,), 0, "knöten".encode()),
        ):
            with pytest.raises(ValueError, match="key"):
                door.set_tickets(rows, current, node, *self.LIMITS)
        with pytest.raises(TypeError):
            door.set_tickets((b"row",), 0, b"edge-1", *self.LIMITS)
        with pytest.raises(TypeError):
            door.set_tickets([self.ROW], 0, b"edge-1", *self.LIMITS)
        door.drop_tickets()
        door.drop_tickets()
        assert door.ticket_counts() == (0, 0, 0, 0, 0)

    def test_more_makers_than_there_is_room_for_do_no_harm(self) -> None:
        door = self.door()
        for number in range(5000):
            door.know_maker(f"edge-{number}".encode(), number % 1000 + 1)
        for node, low in ((b"", 1), (b"e" * 65, 1), (b"edge-1", 0), (b"edge-1", 1 << 18)):
            with pytest.raises(ValueError, match="node"):
                door.know_maker(node, low)

    @given(st.binary(max_size=120))
    def test_a_note_of_any_bytes_is_read_as_python_does_or_left_to_it(self, data: bytes) -> None:
        self.check(data)

    @given(
        st.binary(min_size=LINEAGE_BYTES, max_size=LINEAGE_BYTES),
        st.binary(min_size=21, max_size=21),
        st.text(max_size=70),
    )
    def test_so_is_one_that_looks_like_a_note(self, lineage: bytes, head: bytes, node: str) -> None:
        self.check(lineage + b"\x01" + head[1:] + node.encode(errors="replace"))

    def check(self, data: bytes) -> None:
        assert hot.compiled is not None
        read, note = hot.compiled.ticket_note(data), read_note(data)
        if read is None:
            assert note is None or not (note.node.isascii() and note.node.isprintable() and " " not in note.node)
        else:
            assert note is not None
            assert (read[0], read[3]) == (note.prefix, note.node.encode())
            assert read[1:3] == pytest.approx((note.key_age_s, note.lineage_s), rel=1e-12)

    def test_a_note_that_python_wrote_is_read(self) -> None:
        key = EdgeKey(b"name" * 4, b"a" * 32, b"m" * 32, 100.0, 200.0, 300.0, 3600.0)
        note = write_note(key, 12.5, "edge-1", 150.25)
        assert hot.compiled is not None
        assert hot.compiled.ticket_note(b"l" * LINEAGE_BYTES + note) == (b"name", 50.25, 12.5, b"edge-1")
