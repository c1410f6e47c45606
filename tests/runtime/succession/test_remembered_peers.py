"""Where peers listen is kept in the state folder: a node that starts anew finds its mesh without a seed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshNode
from meshcache.core.membership.remembered_addresses import ADDRESSES_MAX
from meshcache.runtime.succession.remembered_peers import FILE, KEPT_S, PeerFile
from tests.nodes import Place, alive, places, settings
from tests.support.waiting import wait_until

NOW = 1_800_000_000.0


def test_the_latest_heard_are_kept_with_the_time_since(tmp_path: Path) -> None:
    file = PeerFile(tmp_path / "state", "shop")
    file.save({f"10.0.0.1:{port}": float(port) for port in range(1, ADDRESSES_MAX + 9)}, NOW)
    kept = file.load(NOW + 100)
    assert len(kept) == ADDRESSES_MAX
    assert list(kept.items())[-1] == ("10.0.0.1:1", 101.0), "the latest last"
    assert (file.path.stat().st_mode & 0o777) == 0o600


def test_who_was_silent_for_longer_than_a_week_is_not_tried(tmp_path: Path) -> None:
    file = PeerFile(tmp_path, "shop")
    file.save({"a:1": 0.0, "b:1": KEPT_S - 5, "c:1": KEPT_S + 5}, NOW)
    assert set(file.load(NOW)) == {"a:1", "b:1"}
    assert set(file.load(NOW + 60)) == {"a:1"}


def test_a_clock_that_was_set_back_makes_nobody_too_old_or_too_young(tmp_path: Path) -> None:
    file = PeerFile(tmp_path, "shop")
    file.save({"a:1": 60.0}, NOW)
    assert file.load(NOW - 5 * 3600) == {"a:1": 0.0}


def test_another_meshs_peers_are_none_of_ours(tmp_path: Path) -> None:
    PeerFile(tmp_path, "shop").save({"a:1": 0.0}, NOW)
    assert PeerFile(tmp_path, "blog").load(NOW) == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 2, "mesh": "shop", "peers": []}',
        '{"format": 1, "mesh": "shop", "peers": [["a:1", "x"]]}',
        '{"format": 1, "mesh": "shop", "peers": [[1, 1]]}',
        json.dumps({"format": 1, "mesh": "shop", "peers": [["a:1", 1]] * (ADDRESSES_MAX + 1)}),
        "[" * 100_000,
    ],
)
def test_a_broken_file_is_one_line_in_the_log(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_text(content)
    with caplog.at_level(logging.WARNING, "meshcache"):
        assert PeerFile(tmp_path, "shop").load(NOW) == {}
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / FILE} can't be understood, so peers of an earlier start aren't tried"
    ]


def test_one_that_others_can_write_is_not_tried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = PeerFile(tmp_path, "shop")
    file.save({"a:1": 0.0}, NOW)
    file.path.chmod(0o666)
    with caplog.at_level(logging.WARNING, "meshcache"):
        assert file.load(NOW) == {}
    assert "others can write" in caplog.text


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def test_a_node_that_leaves_and_comes_back_without_a_seed_finds_its_mesh(place: Place) -> None:
    one, other = place.node("edge-1"), place.node("edge-2")
    file = place.folder / "edge-2" / FILE
    wait_until(lambda: one.address in file.read_text(), what="kept while it runs, for a kill -9")
    other.close()
    with MeshNode(settings(place.folder, "edge-2")) as anew:
        wait_until(lambda: alive(anew) == {"edge-1"} and alive(one) == {"edge-2"}, within_s=60)


def test_a_folder_that_cannot_be_written_is_said_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    node = place.node("edge-1")
    (place.folder / "edge-1" / FILE).unlink(missing_ok=True)
    (place.folder / "edge-1" / FILE).mkdir()  # root, as whom tests may run, can write to any folder
    with caplog.at_level(logging.WARNING, "meshcache"):
        node.internals.remembered.save()
        node.internals.remembered.save()
    lines = [record.getMessage() for record in caplog.records if "can't be kept" in record.getMessage()]
    assert len(lines) == 1
    assert "without a seed" in lines[0]
    assert not list((place.folder / "edge-1").glob(".*"))


def test_without_a_folder_nothing_is_kept() -> None:
    file = PeerFile(None, "test")
    file.save({"127.0.0.1:7946": 1.0}, 100.0)
    assert file.load(100.0) == {}
