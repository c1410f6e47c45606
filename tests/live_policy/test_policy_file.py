"""The file with live policies: whole or not there, its owner's alone, and never believed blindly."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshcache.core.control.live_policies import KEYS_MAX
from meshcache.core.values.topology import VIPS_MAX
from meshcache.core.wire.messages import LIVE_NUMBER_MAX, LiveEntry
from meshcache.errors import ConfigError
from meshcache.live_policy.kept import Kept, bounded
from meshcache.live_policy.policy_file import PolicyFile
from meshcache.runtime.state_file import POLICY_FILE

KEPT = Kept([LiveEntry("vip", "shop", "reach", 7, "edge-1", "colo")], {"shop": {"quota": "5%"}})


@pytest.fixture
def store(tmp_path: Path) -> PolicyFile:
    return PolicyFile(tmp_path / "state" / "edge-1", "prod")


def test_what_is_saved_is_loaded(store: PolicyFile) -> None:
    assert store.load() == Kept([], {})
    store.save(KEPT)
    assert store.load() == KEPT
    store.save(Kept([], {}))
    assert store.load() == Kept([], {})


def test_file_and_folder_are_the_owners_whatever_the_umask(store: PolicyFile) -> None:
    before = os.umask(0)
    try:
        store.save(KEPT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in store.path.parent.iterdir()] == [POLICY_FILE]


def test_why_nothing_can_be_kept_is_told_once_for_as_long_as_it_is_so_and_what_is_kept_isnt_written_again(
    store: PolicyFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written: list[int] = []
    fails = [True]

    def replace(_path: Path, _text: str) -> None:
        written.append(1)
        if fails:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("meshcache.live_policy.policy_file.state_file.replace", replace)
    assert [store.keep(KEPT), store.keep(KEPT)] == [False, False]
    assert caplog.text.count("No space left") == 1
    fails.clear()
    assert [store.keep(KEPT), store.keep(KEPT)] == [True, True]
    assert len(written) == 3
    fails.append(True)
    assert not store.keep(Kept([], {}))
    assert caplog.text.count("No space left") == 2, "it is news"


def test_another_meshs_policies_are_left_alone(store: PolicyFile) -> None:
    store.save(KEPT)
    assert PolicyFile(store.path.parent, "test").load() == Kept([], {})
    assert store.load() == KEPT


def test_a_fifo_in_its_place_is_named_and_hangs_nobody(store: PolicyFile) -> None:
    store.path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(store.path)
    with pytest.raises(ConfigError, match="is not a regular file"):
        store.load()
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(ConfigError, match="is not a regular file"):
        store.load()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused_with_what_to_do(store: PolicyFile, mode: int) -> None:
    store.save(KEPT)
    store.path.chmod(mode)
    with pytest.raises(ConfigError, match=r"others can write .* chmod 600"):
        store.load()


def good() -> dict[str, Any]:
    return {"format": 1, "mesh": "prod", "live": [list(KEPT.live[0])], "node": {}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        json.dumps(good() | {"format": 2}).encode(),
        json.dumps(good() | {"live": 5}).encode(),
        json.dumps(good() | {"live": [["vip", "shop", "reach", 0, "a", "colo"]]}).encode(),
        json.dumps(good() | {"live": [["vip", "shop", "reach", True, "a", "colo"]]}).encode(),
        json.dumps(good() | {"live": [["vip", "shop", "reach", 1, "a"]]}).encode(),
        json.dumps(good() | {"live": [["vip", "", "reach", 1, "a", "colo"]]}).encode(),
        json.dumps(good() | {"live": [["vip", "shop", "reach", 1, "a", "x" * 1025]]}).encode(),
        json.dumps(good() | {"live": [["vip", "shop\n", "reach", 1, "a", "x"]]}).encode(),
        json.dumps(good() | {"live": good()["live"] * 1025}).encode(),
        json.dumps(good() | {"node": {"shop": "colo"}}).encode(),
        json.dumps(good() | {"node": {"shop": {"reach": 5}}}).encode(),
        json.dumps(good() | {"node_numbers": {"shop": {"reach": 0}}}).encode(),
        json.dumps(good() | {"node_numbers": {"shop": 1}}).encode(),
        json.dumps(good() | {"node_numbers": []}).encode(),
        b" " * (4 * 2**20 + 1),
    ],
)
def test_what_is_broken_is_set_aside_and_told(
    store: PolicyFile, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(KEPT)
    store.path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert store.load() == Kept([], {})
    assert "set aside" in caplog.text
    assert store.path.with_suffix(".broken").read_bytes() == content
    store.save(KEPT)
    assert store.load() == KEPT


def test_a_folder_in_its_place_is_a_fault_of_the_configuration(store: PolicyFile) -> None:
    store.path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="is not a regular file; move it away"):
        store.load()


def test_a_save_that_fails_leaves_what_was_there(store: PolicyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(KEPT)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(Kept([], {}))
    assert store.load() == KEPT
    assert [path.name for path in store.path.parent.iterdir()] == [POLICY_FILE]


def test_without_a_folder_nothing_is_kept() -> None:
    store = PolicyFile(None, "prod")
    store.save(KEPT)
    assert store.load() == Kept([], {})


_names = st.text(st.sampled_from('abé"\\n '), min_size=1, max_size=3) | st.integers(0, 99).map("vip-{}".format)
_numbers = st.integers(1, 9) | st.sampled_from([0, LIVE_NUMBER_MAX, LIVE_NUMBER_MAX + 1])
_texts = st.sampled_from(["", "server", "x" * 1024, "x" * 1025, "\ud800", '"'])
_entries = st.builds(LiveEntry, st.sampled_from(["vip", "group"]), _names, _names, _numbers, _names, _texts)
_any_kept = st.builds(
    Kept,
    st.lists(_entries, max_size=3),
    st.dictionaries(_names, st.dictionaries(_names, _texts, max_size=18), max_size=5),
    st.dictionaries(_names, st.dictionaries(_names, _numbers, max_size=18), max_size=70),
    st.just(False),
)


TAKEN_BACK = {f"vip-{vip}": {"reach": 1} for vip in range(VIPS_MAX + 1)}


class TestNothingIsSavedThatIsNotLoaded:
    def test_what_would_not_be_loaded_is_refused_with_the_reason(self, store: PolicyFile) -> None:
        with pytest.raises(OSError, match=r"a node could not read it again \(numbers\)"):
            store.save(Kept([], {}, TAKEN_BACK))

    @given(kept=_any_kept)
    @example(kept=Kept([], {}, TAKEN_BACK))
    def test_whatever_it_is_it_is_loaded_again_or_the_file_stays(self, kept: Kept) -> None:
        with TemporaryDirectory() as folder:
            store = PolicyFile(Path(folder), "prod")
            store.save(KEPT)
            holds = KEPT
            with suppress(OSError):
                store.save(kept)
                holds = kept
            assert PolicyFile(Path(folder), "prod").load() == holds
            assert list(Path(folder).iterdir()) == [store.path]

    @given(vips=st.integers(0, 2 * VIPS_MAX), values=st.integers(0, 2 * VIPS_MAX), keys=st.integers(1, KEYS_MAX + 2))
    def test_what_is_bounded_is_always_saved(self, vips: int, values: int, keys: int) -> None:
        numbers = {f"vip-{vip}": {f"key-{key}": vip + 1 for key in range(keys)} for vip in range(vips)}
        node = {f"vip-{vip}": {f"key-{key}": "1" for key in range(keys)} for vip in range(values)}
        live = [LiveEntry("vip", f"vip-{vip}", f"key-{key}", 1, "a", "1") for vip in range(vips) for key in range(keys)]
        kept = bounded(Kept(live, node, numbers), {("vip", "vip-0")})
        with TemporaryDirectory() as folder:
            PolicyFile(Path(folder), "prod").save(kept)
            assert PolicyFile(Path(folder), "prod").load() == kept


class TestWorkers:
    """Files of one server's workers, and of the one process that it was before."""

    @pytest.fixture
    def one(self, tmp_path: Path) -> PolicyFile:
        return PolicyFile(tmp_path / "web", "prod", "ams1")

    def worker(self, one: PolicyFile, number: int) -> PolicyFile:
        assert one.path is not None
        return PolicyFile(one.path.parent / f"worker-{number}", "prod", "ams1", of_worker=True)

    def test_a_worker_takes_over_what_one_process_kept_and_says_so(
        self, one: PolicyFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        one.save(KEPT)
        worker = self.worker(one, 0)
        assert worker.load() == KEPT
        assert caplog.messages == [
            f"live policies: taken over from {one.path}: reach of vip shop: colo",
            f"live policies: taken over from {one.path}: quota of vip shop, set for this server alone: 5%",
        ]
        worker.save(KEPT)
        caplog.clear()
        assert self.worker(one, 0).load() == KEPT
        assert caplog.messages == [], "it is its own by now"

    def test_one_process_takes_over_what_workers_kept(self, one: PolicyFile) -> None:
        one.save(Kept([], {"shop": {"quota": "9%"}}, {"shop": {"quota": 1}}))
        self.worker(one, 1).save(Kept(KEPT.live, KEPT.node, {"shop": {"quota": 2}}))
        assert one.load() == Kept(KEPT.live, KEPT.node, {"shop": {"quota": 2}})

    def test_a_worker_more_takes_over_what_the_others_kept(self, one: PolicyFile) -> None:
        self.worker(one, 0).save(KEPT)
        assert self.worker(one, 10).load() == KEPT
        assert self.worker(one, 10).highest_number() == 0
        self.worker(one, 2).save(Kept([], {}, {"shop": {"quota": 7}}))
        assert self.worker(one, 10).highest_number() == 7

    def test_another_servers_folder_beside_it_is_none_of_it(self, one: PolicyFile) -> None:
        assert one.path is not None
        PolicyFile(one.path.parent.parent / "worker-1", "prod").save(KEPT)
        PolicyFile(one.path.parent / "worker-x", "prod").save(KEPT)
        assert one.load() == Kept([], {})
        assert PolicyFile(one.path.parent.parent / "worker-2", "prod").load() == Kept([], {})

    def test_what_cant_be_trusted_stops_the_start_and_what_is_broken_is_left(
        self, one: PolicyFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        one.save(KEPT)
        assert one.path is not None
        one.path.chmod(0o666)
        with pytest.raises(ConfigError, match=r"others can write .* chmod 600"):
            self.worker(one, 0).load()
        one.path.chmod(0o600)
        one.path.write_text("{")
        assert self.worker(one, 0).load() == Kept([], {})
        assert "nothing is taken over from it" in caplog.text
        assert one.path.read_text() == "{"

    def test_a_folder_that_cant_be_listed_stops_the_start_and_no_change(
        self, one: PolicyFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.worker(one, 0).save(Kept([], {"shop": {"reach": "server"}}, {"shop": {"reach": 3}}))
        worker = self.worker(one, 1)

        def refused(_folder: Path) -> Iterator[Path]:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", refused)
        with pytest.raises(ConfigError, match=r"node\.state_dir: .*web can't be listed: permission denied"):
            worker.load()
        assert worker.highest_number() == 0

    def of_01(self, file: PolicyFile, kept: Kept, written: int) -> None:
        """Save as version 0.1 does, without numbers, at a time."""
        file.save(kept)
        assert file.path is not None
        plain = json.loads(file.path.read_text())
        del plain["node_numbers"]
        file.path.write_text(json.dumps(plain))
        os.utime(file.path, (written, written))

    def saved(self, file: PolicyFile, kept: Kept, written: int) -> None:
        file.save(kept)
        assert file.path is not None
        os.utime(file.path, (written, written))

    def test_what_version_01_narrowed_since_is_not_undone_by_an_older_file_of_another(self, one: PolicyFile) -> None:
        narrow = Kept([], {"shop": {"reach": "server"}})
        self.saved(self.worker(one, 0), Kept([], {}, {"shop": {"reach": 3}}), 1000)
        self.saved(self.worker(one, 1), Kept([], {"shop": {"reach": "everywhere"}}, {"shop": {"reach": 4}}), 1001)
        self.of_01(one, narrow, 1002)
        for file in (one, self.worker(one, 0), self.worker(one, 1), self.worker(one, 2)):
            assert file.load() == Kept([], narrow.node, {"shop": {"reach": 4}})

    def test_a_file_that_version_01_left_undoes_no_change_since(self, one: PolicyFile) -> None:
        self.of_01(one, Kept([], {"shop": {"reach": "server"}}), 1000)
        self.saved(self.worker(one, 0), Kept([], {}, {"shop": {"reach": 1}}), 1001)
        for file in (one, self.worker(one, 0), self.worker(one, 1)):
            assert file.load() == Kept([], {}, {"shop": {"reach": 1}})

    def test_its_own_file_of_version_01_is_written_anew_with_numbers(self, one: PolicyFile) -> None:
        narrow = Kept([], {"shop": {"reach": "server"}})
        self.of_01(one, narrow, 1000)
        again = PolicyFile(one.path.parent if one.path else None, "prod", "ams1")
        again.save(again.load())
        assert again.path is not None
        assert "node_numbers" in again.path.read_text()
