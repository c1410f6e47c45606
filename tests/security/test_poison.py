"""Entries that a hostile member made up, met by real clients: one handshake at most, and then never again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meshcache.edges.keyfile import load_keyring
from tests.nodes import Place
from tests.security.members import HostileMember
from tests.support.waiting import wait_until
from tests.tls.world import TLS_ERRORS, VERSIONS, client_context, visit

Poison = Callable[[bytes, bytes], bytes]
"""A session's own DER and another session's -> what is filed under the first one's id."""

DETECTED: dict[str, Poison] = {
    "a tail": lambda own, _other: own + b"\0\0\0\0",
    "another session": lambda _own, other: other,
    "half of it": lambda own, _other: own[: len(own) // 2],
    "junk": lambda own, _other: bytes(len(own)),
    "one byte": lambda _own, _other: b"\x30",
}


class Scene:
    """A client with a session of a node that is in no mesh with the victim, which therefore doesn't have it yet."""

    def __init__(self, place: Place, version: str) -> None:
        self.victim = place.node("edge-2")
        self.found = place.server(self.victim)
        home = place.node("edge-1", mesh={"name": "elsewhere", "seeds": []})
        made = place.server(home)
        self.client = client_context(version)
        (self.session, self.id, self.der), (_, _, self.other) = (self._make(home, made) for _ in range(2))
        self.mallory = HostileMember(load_keyring(place.folder / "mesh.key"), self.victim)
        self.mallory.joins(self.victim)
        self._number = 0

    def _make(self, home: Any, made: Any) -> tuple[Any, bytes, bytes]:
        core = home.internals.pump.core
        before = set(core.session_ids("shop"))
        session = visit(made, self.client).session
        (session_id,) = set(core.session_ids("shop")) - before
        found = core.session_origin("shop", session_id)
        assert found is not None
        return session, session_id, found[0].der

    def poison(self, der: bytes) -> None:
        """Mallory files this under the client's id."""
        self._number += 1
        self.mallory.pushes(self._number, [der], [self.id])

    @property
    def shop(self) -> dict[str, Any]:
        shop: dict[str, Any] = self.victim.stats()["vips"]["shop"]
        return shop

    def comes(self) -> bool:
        """The client comes with its session; whether that resumed."""
        return visit(self.found, self.client, session=self.session).resumed


@pytest.fixture(params=VERSIONS)
def scene(place: Place, request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(place, request.param)
    yield made
    made.mallory.close()


@pytest.mark.parametrize("kind", DETECTED)
def test_what_can_be_seen_costs_a_full_handshake_once_and_is_quarantined(scene: Scene, kind: str) -> None:
    scene.poison(DETECTED[kind](scene.der, scene.other))
    wait_until(lambda: scene.shop["entries"] == 1)
    assert not scene.comes()
    assert sum(scene.shop["lookups"]["refused"].values()) == 1
    received = scene.shop["sessions"]["received"]
    for _ in range(3):
        scene.poison(scene.other)
    quarantined = lambda: scene.shop["sessions"]["refused"].get("quarantined", 0)  # noqa: E731
    wait_until(lambda: quarantined() == 3 or scene.shop["sessions"]["received"] > received)
    assert quarantined() == 3
    assert not scene.comes()
    assert sum(scene.shop["lookups"]["refused"].values()) == 1
    assert scene.victim.stats()["faults"] == {}


def test_a_good_session_of_anothers_mesh_would_resume_so_the_rest_is_a_test(scene: Scene) -> None:
    """The scene itself is no reason for a refusal: with the DER as it was made, the client resumes."""
    scene.poison(scene.der)
    wait_until(lambda: scene.shop["entries"] == 1)
    assert scene.comes()


def test_a_wrong_secret_which_nobody_can_see_costs_a_client_the_connections_it_offers_that_session_on(
    scene: Scene,
) -> None:
    """Like a stranger's guess it ends in an alert, and nobody can tell them apart: docs/security.md, "What is left".

    A client that forgets a session with which it failed, as browsers and curl do, loses one connection.
    """
    at = scene.der.index(b"\x04\x30") if b"\x04\x30" in scene.der else scene.der.rindex(b"\x04\x20")
    scene.poison(scene.der[: at + 2] + bytes([scene.der[at + 2] ^ 1]) + scene.der[at + 3 :])
    wait_until(lambda: scene.shop["entries"] == 1)
    with pytest.raises(TLS_ERRORS):
        scene.comes()
    again = visit(scene.found, scene.client)
    assert not again.resumed
    assert visit(scene.found, scene.client, session=again.session).resumed
