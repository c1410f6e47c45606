"""Tests of `runtime.vip_ports.session_ids`, and of both hot paths' ids, through real handshakes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import hot
from meshcache.core.values.session_id import life_of, node_of, read_claim
from meshcache.edges.keyfile import load_keyring, save_keyring
from meshcache.edges.keyring import Keyring
from meshcache.runtime.vip_ports.session_ids import SessionIds
from meshcache.tls.contexts import session_id
from tests.nodes import Place, places
from tests.tls.world import KINDS, VERSIONS, client_context, visit


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def ids(keyring: Keyring, mesh: str = "prod", name: str = "edge-1") -> SessionIds:
    return SessionIds(mesh, name, keyring, lambda: 12.25)


def test_all_members_of_one_mesh_read_them_and_no_other_mesh_of_the_same_key() -> None:
    keyring = Keyring.new()
    made = ids(keyring).mint()
    assert ids(keyring, name="edge-2").minted(made)
    assert not ids(keyring, mesh="test").minted(made)
    assert not ids(Keyring.new()).minted(made)


def test_through_a_rotation_everybody_reads_everybodys_until_the_old_key_is_retired() -> None:
    old = Keyring.new()
    added = old.add()
    promoted = added.promote()
    early, late = ids(added), ids(promoted)
    assert early.minted(late.mint())
    assert late.minted(early.mint())
    former = early.mint()
    late.use(promoted.retire())
    assert not late.minted(former), "an id of a retired key is a stranger's"
    assert late.minted(late.mint())


def test_it_says_the_life_that_the_node_lives_now() -> None:
    own = ids(Keyring.new())
    own.live_as(77)
    claim = own.read(own.mint())
    assert claim is not None
    assert (claim.life, claim.node, claim.born_at) == (life_of("edge-1", 77), node_of("edge-1"), 12.25)


# Compiled


@pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)
@pytest.mark.parametrize("keys", [1, 2, 4])
def test_the_compiled_twin_reads_what_python_makes_and_the_reverse(keys: int) -> None:
    keyring = Keyring.new()
    for _ in range(keys - 1):
        keyring = keyring.add()
    own = ids(keyring)
    own.live_as(3)
    assert hot.compiled is not None
    door = hot.compiled.Door()
    assert door.mint() is None
    assert door.minted(bytes(32)), "without keys any may be one of ours"
    door.ids(own.secrets, own.life, 1000.0)
    for key in own.keys:
        assert door.minted(key.mint(own.life, 5.0, os.urandom(8)))
    for _ in range(200):
        claim = read_claim(own.keys[:1], door.mint())
        assert claim is not None
        assert claim.life == own.life
        assert claim.born_at > 1000
        assert not door.minted(os.urandom(32))
        assert not door.minted(claim.id[:31])
    strangers = ids(Keyring.new())
    assert not door.minted(strangers.mint())


@pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)
@pytest.mark.parametrize(("secrets", "life"), [(bytes(63), bytes(7)), (bytes(64 * 5), bytes(7)), (bytes(64), bytes(6))])
def test_the_door_refuses_keys_of_another_size(secrets: bytes, life: bytes) -> None:
    assert hot.compiled is not None
    with pytest.raises(ValueError, match="pairs of 32 bytes"):
        hot.compiled.Door().ids(secrets, life, 0.0)


# In handshakes


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_session_of_a_vip_has_an_id_that_says_who_made_it_and_when(place: Place, kind: str, version: str) -> None:
    node, other = place.node("edge-1"), place.node("edge-2")
    context, client = place.server(node, kind=kind, version=version), client_context(version)
    before = node.internals.pump.clock()
    seen = visit(context, client)
    again = visit(context, client, session=seen.session)
    assert again.resumed
    for each in (seen, again):
        made = session_id(each.server.tls)
        read = other.internals.vips.ids
        assert made is not None
        assert read is not None
        claim = read.read(made)
        assert claim is not None
        assert claim.life == life_of("edge-1", node.internals.pump.core.identity.incarnation)
        assert before - 0.002 <= claim.born_at <= node.internals.pump.clock()


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_an_id_that_no_member_made_is_no_miss(place: Place, version: str) -> None:
    """Of another mesh's server: a client may offer it, and it says nothing about this cache."""
    node, stranger = place.node("edge-1"), place.node("edge-9", mesh={"name": "elsewhere", "seeds": []})
    here, there = place.server(node, version=version), place.server(stranger, version=version)
    client = client_context(version)
    assert not visit(here, client, session=visit(there, client).session).resumed
    session = visit(here, client).session
    node.stats()
    pump = node.internals.pump
    with pump.lock:
        cache = pump.core.duties.cache.vip_cache("shop")
        assert cache is not None
        for each in cache.ids() if hasattr(cache, "ids") else list(dict(cache.items())):
            pump.core.session_removed("shop", each)
    assert not visit(here, client, session=session).resumed
    found = node.stats()["vips"]["shop"]["lookups"]
    assert (found["foreign"], found["miss"]) == (1, 1)


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_rotation_of_the_mesh_key_ends_no_session(place: Place, version: str) -> None:
    node = place.node("edge-1")
    context, client = place.server(node, version=version), client_context(version)
    session = visit(context, client).session
    settings, file = node.internals.settings, node.internals.settings.mesh.key_file
    keyring = load_keyring(file).add().promote()
    save_keyring(file, keyring)
    node.reload(settings)
    seen = visit(context, client, session=session)
    assert seen.resumed
    made = session_id(visit(context, client).server.tls)
    assert made is not None
    assert SessionIds("test", "edge-2", Keyring((keyring.current,)), lambda: 0.0).minted(made)
    save_keyring(file, keyring.retire())
    node.reload(settings)
    assert visit(context, client, session=seen.session).resumed, "what is in memory needs no reading"
