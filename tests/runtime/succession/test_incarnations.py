"""The number of a node's life: it grows with each start, whatever the clock says and whatever is in the file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from meshcache.core.values.events import IncarnationRaised, PeerLost
from meshcache.runtime.succession.incarnations import FILE, IncarnationFile

NOW_MS = 1_800_000_000_000


def test_it_grows_with_each_start_whatever_the_clock_says(tmp_path: Path) -> None:
    kept = IncarnationFile(tmp_path / "state", "edge-1")
    numbers = [kept.next(unix_ms) for unix_ms in (NOW_MS, NOW_MS - 120_000, 0, NOW_MS + 5)]
    assert numbers == [NOW_MS, NOW_MS + 1, NOW_MS + 2, NOW_MS + 5]


def test_one_that_was_raised_while_the_node_ran_is_kept(tmp_path: Path) -> None:
    kept = IncarnationFile(tmp_path, "edge-1")
    kept.next(NOW_MS)
    kept.take([PeerLost(1.0, "x"), IncarnationRaised(2.0, NOW_MS + 10**9, "")])
    assert kept.next(NOW_MS + 100) == NOW_MS + 10**9 + 1


def test_without_a_folder_the_clock_alone_counts() -> None:
    kept = IncarnationFile(None, "edge-1")
    assert [kept.next(unix_ms) for unix_ms in (NOW_MS, NOW_MS - 5)] == [NOW_MS, NOW_MS - 5]
    assert kept.take([IncarnationRaised(2.0, NOW_MS + 10**9, "")])


def test_another_nodes_number_is_not_ours(tmp_path: Path) -> None:
    IncarnationFile(tmp_path, "edge-1").next(NOW_MS)
    assert IncarnationFile(tmp_path, "edge-2").next(7) == 7


@pytest.mark.parametrize("content", ["", "[]", "{", '{"node": "edge-1", "incarnation": "9"}', '{"node": "edge-1"}'])
def test_a_broken_file_is_no_reason_not_to_start(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert IncarnationFile(tmp_path, "edge-1").next(NOW_MS) == NOW_MS
    assert IncarnationFile(tmp_path, "edge-1").next(5) == NOW_MS + 1


def test_a_folder_that_cannot_be_had_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING, "meshcache"):
        assert IncarnationFile(tmp_path / "file" / "state", "edge-1").next(NOW_MS) == NOW_MS
    assert len([record for record in caplog.records if "can't be kept" in record.getMessage()]) == 1
