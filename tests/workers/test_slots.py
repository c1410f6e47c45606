from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshcache import ConfigError
from meshcache.workers import slots
from meshcache.workers.slots import Slot
from tests.support.waiting import wait_until

HOLD = """
import sys, pathlib
from meshcache.workers.slots import Slot
slot = Slot.take(pathlib.Path(sys.argv[1]))
slot.publish("prod", "k1", f"127.0.0.1:{7000 + slot.number}")
print(slot.number, flush=True)
sys.stdin.read()
"""


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def full(_descriptor: int, _content: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        yield


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.number = int(process.stdout.readline())  # type: ignore[attr-defined]
    return process


def test_the_lowest_free_number_is_taken_and_a_killed_worker_s_is_free_again(folder: Path) -> None:
    process = holder(folder)
    try:
        assert process.number == 0  # type: ignore[attr-defined]
        own, next_one = Slot.take(folder), Slot.take(folder)
        assert (own.number, next_one.number) == (1, 2)
        own.publish("prod", "k1", "127.0.0.1:1")
        assert next_one.others("prod", ("k2", "k1")) == ["127.0.0.1:7000", "127.0.0.1:1"]
    finally:
        process.kill()
        process.communicate()
    assert next_one.others("prod", ("k1",)) == ["127.0.0.1:1"]
    again = Slot.take(folder)
    assert again.number == 0
    assert next_one.others("prod", ("k1",)) == ["127.0.0.1:1"], "what the dead worker wrote is gone"
    own.release()
    own.release()
    assert next_one.others("prod", ("k1",)) == []
    assert sorted(path.name for path in (folder / "workers").iterdir()) == ["0", "1", "2", "id"]


def test_another_mesh_and_another_key_are_nobody(folder: Path) -> None:
    one, other = Slot.take(folder), Slot.take(folder)
    one.publish("prod", "k1", "127.0.0.1:1")
    assert other.others("prod", ("k1",)) == ["127.0.0.1:1"]
    assert other.others("test", ("k1",)) == []
    assert other.others("prod", ("k2",)) == []


def test_what_cannot_be_told_is_a_line_in_the_log_and_the_next_address_takes_the_place_of_a_longer_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = Slot.take(folder), Slot.take(folder)
    with full_disk(monkeypatch):
        one.publish("prod", "k1", "127.0.0.1:65535")
    assert "No space left" in caplog.text
    assert other.others("prod", ("k1",)) == []
    for address in ("127.0.0.1:65535", "127.0.0.1:1"):
        one.publish("prod", "k1", address)
        assert other.others("prod", ("k1",)) == [address]


def test_what_could_not_be_told_is_told_once_and_the_newest_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Slot.take(folder), Slot.take(folder)
    with full_disk(monkeypatch):
        one.publish("prod", "k1", "127.0.0.1:1")
        one.publish_again()
    assert other.others("prod", ("k1",)) == []
    one.publish_again()
    assert other.others("prod", ("k1",)) == ["127.0.0.1:1"]
    with full_disk(monkeypatch):
        one.publish("prod", "k1", "127.0.0.1:2")
    one.publish("prod", "k1", "127.0.0.1:3")
    one.publish_again()
    assert other.others("prod", ("k1",)) == ["127.0.0.1:3"]


def test_a_slot_that_was_released_tells_nothing_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Slot.take(folder), Slot.take(folder)
    with full_disk(monkeypatch):
        one.publish("prod", "k1", "127.0.0.1:1")
    one.release()
    again = Slot.take(folder)
    assert again.number == one.number
    one.publish_again()
    one.publish("prod", "k1", "127.0.0.1:2")
    assert other.others("prod", ("k1",)) == []


class SlowDisk:
    """Writes that wait until they are `let`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.come, self.let = threading.Event(), threading.Event()
        self._write = os.pwrite
        monkeypatch.setattr(os, "pwrite", self.write)

    def write(self, descriptor: int, content: bytes, offset: int) -> int:
        self.come.set()
        assert self.let.wait(60.0)
        return self._write(descriptor, content, offset)


def test_a_slot_is_released_when_nobody_writes_in_it_and_in_a_forked_child_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Slot.take(folder)
    with full_disk(monkeypatch):
        one.publish("prod", "k1", "127.0.0.1:1")
    disk = SlowDisk(monkeypatch)
    writing = threading.Thread(target=one.publish_again)
    writing.start()
    assert disk.come.wait(60.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork, which are what this is about
        child = os.fork()
    if child == 0:
        one.release()
        os._exit(0)
    wait_until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0), what="the child waits for no thread")
    releasing = threading.Thread(target=one.release)
    releasing.start()
    assert Slot.take(folder).number == 1, "its worker has the slot still"
    disk.let.set()
    for each in (writing, releasing):
        each.join()
    assert (folder / "workers" / "0").read_text().endswith(" k1 127.0.0.1:1\n")
    assert Slot.take(folder).number == 0


@pytest.mark.parametrize("garbage", [b"", b"\xff" * 600, b"a b", b"one two three four\n"])
def test_what_somebody_else_wrote_into_a_slot_is_nobody(garbage: bytes, folder: Path) -> None:
    one, other = Slot.take(folder), Slot.take(folder)
    (folder / "workers" / "0").write_bytes(garbage)
    (folder / "workers" / "note").write_text("not a slot")
    assert other.others("prod", ("k1",)) == []
    one.release()


def test_a_state_folder_has_one_tag_and_another_folder_another(folder: Path) -> None:
    tags = [Slot.take(folder / name).tag for name in ("a", "a", "b")]
    assert tags[0] == tags[1] != tags[2]
    assert len(tags[0]) == slots.TAG_CHARS


def test_another_pid_namespace_over_the_same_folder_has_another_tag(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Slot.take(folder).tag
    elsewhere = folder / "namespace"
    elsewhere.touch()
    monkeypatch.setattr(slots, "_PID_NAMESPACE", elsewhere)
    assert Slot.take(folder).tag != here
    monkeypatch.setattr(slots, "_PID_NAMESPACE", folder / "none")
    assert Slot.take(folder).number == 2


def test_slots_can_run_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "SLOTS_MAX", 2)
    kept = [Slot.take(folder), Slot.take(folder)]
    with pytest.raises(ConfigError, match="2 workers"):
        Slot.take(folder)
    assert kept


def test_a_folder_that_cannot_be_had_is_a_fault_of_the_configuration(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(ConfigError, match=r"node\.state_dir"):
        Slot.take(folder / "file")


def test_a_folder_that_stays_locked_is_one_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot.take(folder)
    monkeypatch.setattr(slots, "LOCK_S", 0.01)
    with slots._locked(folder / "workers"), pytest.raises(ConfigError, match="locked"):
        Slot.take(folder)
    with slots._locked(folder / "workers"):
        assert slot.others("prod", ("k1",)) == []


def test_a_forked_child_lets_go_of_the_file_and_the_parent_keeps_the_slot(folder: Path) -> None:
    slot = Slot.take(folder)
    child = os.fork()
    if child == 0:
        slot.release()
        os._exit(Slot.take(folder).number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_child_forked_while_the_folder_is_held_does_not_keep_it(tmp_path: Path) -> None:
    """It has the descriptor too, for as long as it lives."""
    reads, writes = os.pipe()
    with slots._locked(tmp_path):
        child = os.fork()
        if not child:
            os.close(writes)
            os.read(reads, 1)  # until the parent is done
            os._exit(0)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert slots._lock(descriptor)
    finally:
        os.close(descriptor)
        os.close(writes)
        os.close(reads)
        os.waitpid(child, 0)


def test_workers_need_a_state_folder() -> None:
    with pytest.raises(ConfigError, match=r"node\.state_dir: workers .* can't be false"):
        Slot.take(None)
