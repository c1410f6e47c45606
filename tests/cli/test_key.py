"""`key` makes keys that a node can load, changes them in three steps, and never shows one where it isn't asked to."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest

from meshcache.edges.keyfile import create_keyring, load_keyring
from meshcache.edges.keyring import KEYS_MAX, Keyring, encode_secret
from tests.cli.conftest import Meshcache


@pytest.fixture
def key(meshcache: Meshcache, tmp_path: Path) -> Path:
    meshcache("key", "new", "mesh.key")
    return tmp_path / "mesh.key"


def copy(key: Path, name: str) -> Path:
    """The key file of another node."""
    other = key.with_name(name)
    other.touch(mode=0o600)
    other.write_bytes(key.read_bytes())
    return other


def states(key: Path) -> list[tuple[str, str]]:
    return [(each.fingerprint, each.state.value) for each in load_keyring(key).keys]


class TestNew:
    def test_a_new_key_file_is_loaded_by_a_node_and_not_shown(self, meshcache: Meshcache, tmp_path: Path) -> None:
        ended = meshcache("key", "new", "mesh.key")
        assert ended.code == 0
        assert stat.S_IMODE((tmp_path / "mesh.key").stat().st_mode) == 0o600
        keyring = load_keyring(tmp_path / "mesh.key")
        assert keyring.current.fingerprint in ended.out
        assert encode_secret(keyring.current) not in ended.out

    def test_without_a_file_the_key_is_printed(self, meshcache: Meshcache) -> None:
        one, other = meshcache("key", "new").out, meshcache("key", "new").out
        assert Keyring.from_toml(one) != Keyring.from_toml(other)

    def test_a_key_file_is_never_overwritten(self, meshcache: Meshcache, key: Path) -> None:
        before = key.read_bytes()
        ended = meshcache("key", "new", "mesh.key")
        assert ended.code == 2
        assert "is there already" in ended.err
        assert key.read_bytes() == before


class TestThreeSteps:
    def test_on_two_nodes_they_end_with_one_new_key_on_both(self, meshcache: Meshcache, key: Path) -> None:
        other = copy(key, "other.key")
        (old,) = load_keyring(key).fingerprints
        assert meshcache("key", "add", "mesh.key").code == 0
        assert meshcache("key", "add", "other.key", "mesh.key").code == 0
        assert states(other) == states(key)
        fresh = states(key)[0][0]
        assert states(key) == [(fresh, "accepted"), (old, "current")]
        for name in ("mesh.key", "other.key"):
            assert meshcache("key", "promote", name, fresh).code == 0
        assert states(other) == states(key) == [(fresh, "current"), (old, "accepted")]
        for name in ("mesh.key", "other.key"):
            assert meshcache("key", "retire", name, old).code == 0
        assert states(other) == states(key) == [(fresh, "current")]
        assert stat.S_IMODE(key.stat().st_mode) == 0o600

    def test_each_step_shows_fingerprints_and_what_comes_next_and_no_key(self, meshcache: Meshcache, key: Path) -> None:
        shown = ""
        for step, next_step in (("add", "key promote"), ("promote", "key retire"), ("retire", "on every node")):
            ended = meshcache("key", step, "mesh.key")
            assert (ended.code, ended.err) == (0, "")
            for fingerprint, state in states(key):
                assert f"{fingerprint}  {state}" in ended.out
            assert next_step in ended.out
            shown += ended.out
            for each in load_keyring(key).keys:
                assert encode_secret(each) not in shown

    def test_the_keys_of_another_node_come_through_a_pipe_too(
        self, meshcache: Meshcache, key: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = copy(key, "other.key")
        meshcache("key", "add", "mesh.key")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(key.read_bytes())))
        assert meshcache("key", "add", "other.key", "-").code == 0
        assert states(other) == states(key)

    def test_done_again_they_change_nothing(self, meshcache: Meshcache, key: Path) -> None:
        other = copy(key, "other.key")
        meshcache("key", "add", "mesh.key")
        meshcache("key", "add", "other.key", "mesh.key")
        before = other.read_bytes()
        again = meshcache("key", "add", "other.key", "mesh.key")
        assert again.code == 0
        assert "has every key of mesh.key already" in again.out
        current = load_keyring(other).current.fingerprint
        assert "is the current key already" in meshcache("key", "promote", "other.key", current).out
        assert other.read_bytes() == before

    @pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
    def test_each_step_done_again_changes_nothing_and_says_so(
        self, meshcache: Meshcache, key: Path, named: bool
    ) -> None:
        old = states(key)[0][0]
        meshcache("key", "add", "mesh.key")
        again = meshcache("key", "add", "mesh.key")
        fresh = states(key)[0][0]
        assert f"nothing changed: {fresh} was added already and waits for `key promote`" in again.out
        assert states(key) == [(fresh, "accepted"), (old, "current")]
        for step, which, after in (
            ("promote", fresh, [(fresh, "current"), (old, "accepted")]),
            ("retire", old, [(fresh, "current")]),
        ):
            arguments = ("key", step, "mesh.key", *([which] if named else []))
            assert meshcache(*arguments).code == 0
            assert states(key) == after
            again = meshcache(*arguments)
            assert (again.code, "nothing changed" in again.out, states(key)) == (0, True, after)

    def test_a_link_to_the_file_stays_a_link(self, meshcache: Meshcache, key: Path) -> None:
        link = key.with_name("link.key")
        link.symlink_to(key)
        assert meshcache("key", "add", "link.key").code == 0
        assert link.is_symlink()
        assert len(states(key)) == 2


class TestRefusals:
    """Each leaves the file as it was, exits with 2, and says what would be right."""

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (("promote", "mesh.key"), "there is no key beside the current one; add one first"),
            (("promote", "mesh.key", "0123456789abcdef"), "there is no key 0123456789abcdef; there are"),
            (("retire", "mesh.key", "{current}"), "is the current one; promote another first"),
            (("add", "missing.key"), "key file missing.key: there is no such file; `meshcache key new FILE` makes one"),
            (("add", "mesh.key", "missing.key"), "key file missing.key: there is no such file"),
            (("add",), "Missing argument 'FILE'"),
            (("rotate",), "No such command 'rotate'"),
        ],
    )
    def test_of_what_can_not_be_done(
        self, meshcache: Meshcache, key: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        before = key.read_bytes()
        current = load_keyring(key).current.fingerprint
        ended = meshcache("key", *(argument.format(current=current) for argument in arguments))
        assert ended.code == 2
        assert message in ended.err
        assert "Traceback" not in ended.err
        assert key.read_bytes() == before

    def test_of_a_file_that_others_can_read(self, meshcache: Meshcache, key: Path) -> None:
        key.chmod(0o640)
        ended = meshcache("key", "add", "mesh.key")
        assert ended.code == 2
        assert "its mode is 0640, so others can reach it; it must be 0600" in ended.err

    def test_of_more_keys_than_a_keyring_holds(self, meshcache: Meshcache, key: Path) -> None:
        for _ in range(KEYS_MAX):
            create_keyring(key.with_name("next.key"), Keyring.new())
            ended = meshcache("key", "add", "mesh.key", "next.key")
            key.with_name("next.key").unlink()
        assert ended.code == 2
        assert f"at most {KEYS_MAX} keys; retire one first" in ended.err

    def test_of_nonsense_on_standard_input_which_is_not_repeated(
        self, meshcache: Meshcache, key: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'secret = "hunter2')))
        ended = meshcache("key", "add", "mesh.key", "-")
        assert ended.code == 2
        assert "standard input: it is not TOML" in ended.err
        assert "hunter2" not in ended.err

    @pytest.mark.parametrize("step", ["new", "add", "promote", "retire"])
    def test_help_tells_what_a_step_does(self, meshcache: Meshcache, step: str) -> None:
        ended = meshcache("key", step, "--help")
        assert ended.code == 0
        assert len(ended.out.splitlines()) > 5
