"""The tier on disk: what it finds again, what it gives up, and what it does with a disk that doesn't do its part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import lmdb
import pytest

from meshcache import hot
from meshcache.hooks import TIER_BATCH_MAX, BeginsEmptyError, TierEntry, TierError
from meshcache.tiers.disk import BYTES_MIN, FULL, DiskTier
from meshcache.tiers.disk_check import NAMES
from tests.support.waiting import PATIENCE_S, wait_until

START = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disk(tmp_path: Path, clock: Clock, hot_path: str) -> Iterator[DiskTier]:
    """On each path: the compiled writer, and py-lmdb's."""
    tier = DiskTier(tmp_path / "t", BYTES_MIN, "prod", clock=clock)
    tier.open()
    assert tier.writes_by == hot_path
    yield tier
    tier.close()


def key(number: int) -> bytes:
    """Random as hashes are, and the same each time."""
    return sha256(b"%d" % number).digest()[:16]


def entry(number: int, lasts_s: float = 3600.0, size: int = 270) -> TierEntry:
    return TierEntry(key(number), b"%d:" % number + bytes(size), lasts_s)


def fill(tier: DiskTier, numbers: range, **facts: float) -> None:
    for start in range(numbers.start, numbers.stop, TIER_BATCH_MAX):
        tier.put([entry(n, **facts) for n in range(start, min(start + TIER_BATCH_MAX, numbers.stop))])


def opened(path: Path, **settings: object) -> tuple[DiskTier, str]:
    """A tier that was opened, and why it began empty, if it did."""
    tier = DiskTier(path, BYTES_MIN, str(settings.pop("mesh", "prod")), **settings)
    try:
        tier.open()
    except BeginsEmptyError as error:
        return tier, str(error)
    return tier, ""


def test_what_was_put_is_found_until_it_ends(disk: DiskTier, clock: Clock) -> None:
    disk.put([entry(1, 10), entry(2, 20)])
    assert set(disk.get([key(1), key(2), key(3)])) == {key(1), key(2)}
    assert disk.get([key(1)])[key(1)] == entry(1).value
    clock.now += 10
    assert set(disk.get([key(1), key(2)])) == {key(2)}


def test_what_is_removed_is_gone_and_removing_nothing_is_fine(disk: DiskTier) -> None:
    disk.put([entry(1), entry(2)])
    disk.remove([key(1), key(9)])
    assert set(disk.get([key(1), key(2)])) == {key(2)}
    assert disk.figures()["entries"] == 1


def test_a_value_that_comes_again_takes_the_place_of_the_first(disk: DiskTier) -> None:
    disk.put([entry(1)])
    disk.put([TierEntry(key(1), b"new", 60.0), TierEntry(key(1), b"newest", 60.0)])
    assert disk.get([key(1)]) == {key(1): b"newest"} or disk.get([key(1)]) == {key(1): b"new"}
    assert disk.figures()["entries"] == 1
    assert len(list(disk.newest(10))) == 1


def test_of_two_in_one_batch_the_later_holds(disk: DiskTier) -> None:
    first, *others = [entry(number) for number in range(20)]
    later = [TierEntry(first.key, value, 3600.0) for value in (b"z", b"a")]
    disk.put([first, *others, *later])
    assert disk.get([first.key]) == {first.key: b"a"}
    assert disk.figures()["entries"] == 20


def test_what_ends_beyond_all_clocks_is_kept(disk: DiskTier) -> None:
    disk.put([entry(1, -5.0), entry(2, 2e9)])
    assert set(disk.get([key(1), key(2)])) == {key(2)}


def test_both_writers_leave_the_same_file(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row for row, with what was removed, written again and evicted."""
    if hot.compiled is None:
        pytest.skip(hot.why_not)
    rows = []
    for name, module in (("c", hot.compiled), ("python", None)):
        monkeypatch.setattr(hot, "compiled", module)
        tier = DiskTier(tmp_path / name, BYTES_MIN, "prod", clock=clock)
        tier.open()
        assert tier.writes_by == name
        fill(tier, range(4000), size=4000)
        tier.remove([key(number) for number in (3990, 3995, 5000)])
        fill(tier, range(3980, 4010), lasts_s=77.5, size=40)
        figures = tier.figures()
        tier.close()
        with lmdb.open(str(tmp_path / name), max_dbs=2, readonly=True) as env, env.begin() as reading:
            found = [list(reading.cursor(env.open_db(each, create=False, txn=reading))) for each in NAMES]
        rows.append((found, figures["entries"], figures["evicted"], figures["bytes"]))
    assert rows[0] == rows[1]
    assert rows[0][2] > 0, "some were evicted"


def tampered(disk: DiskTier, tmp_path: Path, row: bytes) -> None:
    """Somebody has put a row before all others into the closed file."""
    disk.put([entry(1)])
    disk.close()
    with lmdb.open(str(tmp_path / "t"), max_dbs=2) as env:
        sessions = env.open_db(NAMES[0])
        with env.begin(write=True) as writing:
            writing.put(bytes(8), row, db=sessions)
    disk.open()


def test_a_row_that_no_key_leads_to_goes_when_room_is_made_and_takes_no_other_along(
    disk: DiskTier, tmp_path: Path, clock: Clock
) -> None:
    tampered(disk, tmp_path, int(START + 3600).to_bytes(4, "big") + key(1) + b"older")
    fill(disk, range(10, 3000), size=4000)
    disk.put([entry(1)])
    fill(disk, range(3000, 4000), size=4000)
    assert disk.figures()["evicted"] > 256, "it was among those"
    assert set(disk.get([key(1)])) == {key(1)}


_WRITES_A_SHORT_ROW = """
import sys
import lmdb
with lmdb.open(sys.argv[1], max_dbs=2) as env, env.begin(write=True) as writing:
    writing.put(bytes(8), b"short", db=env.open_db(b"sessions", txn=writing))
"""
"""For another process: LMDB is opened once in each."""


def test_a_row_that_is_none_is_a_fault_and_holds_up_nobody(disk: DiskTier, tmp_path: Path) -> None:
    disk.put([entry(1)])
    subprocess.run([sys.executable, "-c", _WRITES_A_SHORT_ROW, tmp_path / "t"], check=True)
    disk.tend()
    assert [found for found, _ in disk.newest(10)] == [key(1)]
    with pytest.raises(TierError, match="damaged"):
        fill(disk, range(10, 4500), size=4000)
    assert set(disk.get([key(1)])) == {key(1)}
    disk.close()
    with pytest.raises(BeginsEmptyError):
        disk.open()


def test_it_never_grows_beyond_its_bound_and_the_oldest_go(disk: DiskTier, tmp_path: Path) -> None:
    fill(disk, range(20_000), size=1000)
    figures = disk.figures()
    assert figures["bytes"] <= BYTES_MIN * FULL
    assert (tmp_path / "t" / "data.mdb").stat().st_size <= BYTES_MIN
    assert figures["evicted"] == 20_000 - figures["entries"]
    assert figures["entries"] > 10_000
    kept = [n for n in range(20_000) if disk.get([key(n)])]
    assert min(kept) > 19_999 - figures["entries"] - TIER_BATCH_MAX
    fill(disk, range(20_000, 40_000), size=1000)
    assert (tmp_path / "t" / "data.mdb").stat().st_size <= BYTES_MIN


def test_what_is_put_again_counts_as_young(disk: DiskTier) -> None:
    fill(disk, range(8_000), size=1000)
    disk.put([entry(5)])
    fill(disk, range(8_000, 16_000), size=1000)
    assert disk.get([key(5)])
    assert not disk.get([key(6)])


def test_large_values_are_bounded_alike(disk: DiskTier, tmp_path: Path) -> None:
    fill(disk, range(8_000), size=5000)
    assert (tmp_path / "t" / "data.mdb").stat().st_size <= BYTES_MIN
    assert disk.figures()["entries"] > 1_000


def test_what_is_over_is_swept_out(disk: DiskTier, clock: Clock) -> None:
    fill(disk, range(3_000), lasts_s=50)
    fill(disk, range(3_000, 4_000), lasts_s=5000)
    clock.now += 60
    for _ in range(4):
        disk.tend()
    assert disk.figures()["entries"] == 1_000
    assert disk.figures()["expired"] == 3_000


def test_the_newest_come_oldest_first(disk: DiskTier, clock: Clock) -> None:
    for number in range(2000):
        disk.put([entry(number, 50 if number == 1990 else 5000)])
    clock.now += 60
    assert [k for k, _ in disk.newest(20)] == [key(n) for n in range(1980, 2000) if n != 1990]
    assert len(list(disk.newest(1 << 62))) == 1999


def test_an_empty_one_has_no_newest(disk: DiskTier) -> None:
    assert list(disk.newest(10)) == []


def test_a_restart_finds_what_was_there(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "t")
    fill(first, range(1000))
    first.close()
    second, why = opened(tmp_path / "t")
    assert why == ""
    assert len(second.get([key(n) for n in range(500)])) == 500
    second.put([entry(5000)])
    assert [k for k, _ in second.newest(1)] == [key(5000)]
    second.close()


def test_with_a_key_that_nobody_keeps_it_begins_empty(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "t")
    first.put([entry(1)])
    first.close()
    second, why = opened(tmp_path / "t", keeps=False)
    assert (why, second.get([key(1)])) == ("", {})
    second.close()


def test_another_meshs_file_begins_empty(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "t")
    first.put([entry(1)])
    first.close()
    second, why = opened(tmp_path / "t", mesh="test")
    assert "another mesh" in why
    assert second.get([key(1)]) == {}
    assert second.figures()["begun_anew"] == 1
    second.close()


def test_a_file_of_a_newer_version_begins_empty(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "t")
    first.put([entry(1)])
    first.close()
    with lmdb.open(str(tmp_path / "t"), max_dbs=2) as env, env.begin(write=True) as writing:
        writing.put(b"meshcache", b"2 prod")
    second, why = opened(tmp_path / "t")
    assert "newer version" in why
    second.close()


@pytest.mark.parametrize("left", [0.0, 0.001, 0.4, 0.99])
def test_a_file_that_was_cut_begins_empty_and_kills_nobody(tmp_path: Path, left: float) -> None:
    first, _ = opened(tmp_path / "t")
    fill(first, range(5000))
    first.close()
    file = tmp_path / "t" / "data.mdb"
    os.truncate(file, int(file.stat().st_size * left))
    second, _ = opened(tmp_path / "t")
    assert second.get([key(1)]) == {}
    second.put([entry(1)])
    assert second.get([key(1)])
    second.close()


def test_pages_of_noise_kill_nobody(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "t")
    fill(first, range(5000))
    first.close()
    with (tmp_path / "t" / "data.mdb").open("r+b") as file:
        for page in range(2, 200):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    second, why = opened(tmp_path / "t")
    assert why
    second.put([entry(1)])
    assert second.get([key(1)])
    second.close()


def test_a_file_that_was_open_when_the_machine_went_down_begins_empty(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "t")
    first.put([entry(1)])
    first.close()
    (tmp_path / "t" / "state").write_text("another boot")
    second, why = opened(tmp_path / "t")
    assert "went down" in why
    second.close()


_WRITER = """
import os, sys
from pathlib import Path
from meshcache.hooks import TierEntry
from meshcache.tiers.disk import BYTES_MIN, DiskTier
tier = DiskTier(Path(sys.argv[1]), BYTES_MIN, "prod")
tier.open()
number = 0
while True:
    tier.put([TierEntry((number + n).to_bytes(16, "little"), b"%d:" % (number + n) * 20, 3600.0) for n in range(50)])
    number += 50
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_file_with_all_it_had_said(tmp_path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path / "t")], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        said = 0
        while said < 5000:
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        said = int((writer.stdout.read().split() or [said])[-1])
        writer.wait(PATIENCE_S)
        writer.stdout.close()
        tier, why = opened(tmp_path / "t")
        assert why == ""
        rows = dict(tier.newest(1 << 62))
        assert len(rows) >= said
        assert all(value == b"%d:" % int.from_bytes(k, "little") * 20 for k, value in rows.items())
        tier.close()


def test_two_nodes_cant_have_one_folder(disk: DiskTier, tmp_path: Path, clock: Clock) -> None:
    second = DiskTier(tmp_path / "t", BYTES_MIN, "prod", clock=clock)
    with pytest.raises(Exception, match="another node's"):
        second.open()
    disk.put([entry(1)])
    disk.close()
    second.open()
    assert second.get([key(1)])
    second.close()


def test_a_forked_child_doesnt_hold_the_folder(tmp_path: Path) -> None:
    tier, _ = opened(tmp_path / "t")
    child = os.fork()
    if not child:
        tier.forked()
        signal.pause()
    try:
        tier.close()
        second = DiskTier(tmp_path / "t", BYTES_MIN, "prod")

        def opens() -> bool:
            second.open()
            return True

        wait_until(opens, what="the child lets go")
        second.close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


_READER = """
import lmdb, sys, time
env = lmdb.open(sys.argv[1], readonly=True, max_dbs=2)
reading = env.begin()
reading.get(b"meshcache")
print("reads", flush=True)
time.sleep(600)
"""


def test_a_reader_that_was_killed_doesnt_make_it_grow(disk: DiskTier, tmp_path: Path) -> None:
    fill(disk, range(5_000), size=1000)
    reader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _READER,
            str(tmp_path / "t"),
        ],
        stdout=subprocess.PIPE,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline()
    reader.kill()
    reader.wait(PATIENCE_S)
    reader.stdout.close()
    disk.tend()
    fill(disk, range(5_000, 30_000), size=1000)
    assert (tmp_path / "t" / "data.mdb").stat().st_size <= BYTES_MIN


def test_a_place_that_cant_be_a_folder_is_an_error_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TierError, match=r"Not a directory|File exists"):
        DiskTier(tmp_path / "file" / "t", BYTES_MIN, "prod").open()


def test_closed_it_does_nothing_and_says_so(tmp_path: Path) -> None:
    tier, _ = opened(tmp_path / "t")
    tier.close()
    tier.close()
    with pytest.raises(TierError, match="open"):
        tier.get([key(1)])


def test_the_folder_is_its_owners_only(disk: DiskTier, tmp_path: Path) -> None:
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o700
    assert all((tmp_path / "t" / name).stat().st_mode & 0o077 == 0 for name in ("data.mdb", "lock.mdb", "state"))
