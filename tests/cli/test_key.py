"""`key new` makes a key that a node can load, and never over another."""

from __future__ import annotations

import stat
from pathlib import Path

from meshcache.edges.keyfile import load_keyring
from meshcache.edges.keyring import Keyring
from tests.cli.conftest import Meshcache


def test_a_new_key_file_is_loaded_by_a_node_and_not_shown(meshcache: Meshcache, tmp_path: Path) -> None:
    ended = meshcache("key", "new", "mesh.key")
    assert ended.code == 0
    assert stat.S_IMODE((tmp_path / "mesh.key").stat().st_mode) == 0o600
    keyring = load_keyring(tmp_path / "mesh.key")
    assert keyring.current.fingerprint in ended.out
    secret = next(line for line in (tmp_path / "mesh.key").read_text().splitlines() if line.startswith("secret"))
    assert secret.split('"')[1] not in ended.out


def test_without_a_file_the_key_is_printed(meshcache: Meshcache) -> None:
    one, other = meshcache("key", "new").out, meshcache("key", "new").out
    assert Keyring.from_toml(one) != Keyring.from_toml(other)


def test_a_key_file_is_never_overwritten(meshcache: Meshcache, tmp_path: Path) -> None:
    meshcache("key", "new", "mesh.key")
    before = (tmp_path / "mesh.key").read_bytes()
    ended = meshcache("key", "new", "mesh.key")
    assert ended.code == 2
    assert "is there already" in ended.err
    assert (tmp_path / "mesh.key").read_bytes() == before
