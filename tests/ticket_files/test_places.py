"""Key files are written whole, for their owner alone, and nowhere where somebody else could read or exchange them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from meshcache.config import ExportSettings
from meshcache.ticket_files import places
from meshcache.ticket_files.layouts import CONF, Rendered, Wanted, nobodys_key, render
from meshcache.ticket_files.places import ExportPlace, PlaceError

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def nginx(folder: Path) -> ExportPlace:
    return ExportPlace("nginx", folder, CONF)


def some(server: str, path: Path) -> Rendered:
    key = nobodys_key()
    return render(server, Wanted(key, (key,)), str(path))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_for_their_owner_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "keys"
    made = some("nginx", folder)
    old = os.umask(0)
    try:
        folder.parent.mkdir(mode=0o755)
        nginx(folder).write(made)
    finally:
        os.umask(old)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == made.files
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert mode(folder) == 0o700


def test_former_keys_go_once_they_are_named_no_more(tmp_path: Path) -> None:
    place, first, second = nginx(tmp_path / "keys"), some("nginx", tmp_path), some("nginx", tmp_path)
    place.write(first)
    (place.folder / "notes.txt").write_text("an operator's")
    place.write(second)
    assert first.files.keys() <= {path.name for path in place.folder.iterdir()}, "a reload may be reading them"
    place.tidy(second)
    assert {path.name for path in place.folder.iterdir()} == {*second.files, "notes.txt"}


def test_what_a_killed_writer_left_is_deleted_and_a_neighbours_is_not(tmp_path: Path) -> None:
    place = ExportPlace("haproxy", tmp_path, "shop")
    ours, theirs = tmp_path / f".shop.{'a' * 16}.new", tmp_path / f".pay.{'a' * 16}.new"
    for path in (ours, theirs):
        path.write_bytes(b"half a key")
    place.write(some("haproxy", tmp_path / "shop"))
    assert not ours.exists()
    assert theirs.exists()


def refusal(place: ExportPlace) -> str:
    with pytest.raises(PlaceError) as looked:
        place.check()
    with pytest.raises(PlaceError) as written:
        place.write(some(place.server, place.folder))
    assert str(looked.value) == str(written.value)
    return str(looked.value)


def test_something_else_is_never_overwritten(tmp_path: Path) -> None:
    for server, name in (("haproxy", "haproxy.cfg"), ("openssl", "shop.pem"), ("nginx", CONF)):
        (tmp_path / name).write_text("global\n  maxconn 2000\n" * 9)
        assert f"{tmp_path / name} holds something else" in refusal(ExportPlace(server, tmp_path, name))
        assert (tmp_path / name).read_text().startswith("global")


def test_links_pipes_and_folders_in_its_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert "is a symbolic link" in refusal(ExportPlace("haproxy", tmp_path, "link"))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(ExportPlace("haproxy", tmp_path, "pipe"))
    (tmp_path / "folder").mkdir()
    assert "not a regular file" in refusal(ExportPlace("haproxy", tmp_path, "folder"))
    assert "is not a folder" in refusal(ExportPlace("haproxy", tmp_path / "real", "x"))


def test_a_folder_that_others_can_write_to_is_refused_also_further_up(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "keys"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o777)
    assert f"others can write to {folder.parent}" in refusal(nginx(folder))
    assert f"others can write to {folder.parent}" in refusal(nginx(folder / "not" / "there"))
    folder.parent.chmod(0o1777)  # as /tmp
    nginx(folder).check()
    assert "others can write to" in refusal(nginx(folder.parent))


def test_a_link_on_the_way_is_followed_to_where_it_leads_now(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "way").symlink_to(tmp_path / "open")
    assert "others can write to" in refusal(nginx(tmp_path / "way"))


@AS_ROOT
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 65534, -1)
    assert f"{folder} belongs to user 65534" in refusal(nginx(folder))


@AS_ROOT
def test_files_can_be_given_to_the_servers_user_or_group(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    place = ExportPlace("haproxy", tmp_path / "keys", "shop", owner="nobody", group="nogroup")
    place.write(some("haproxy", place.file))
    status = place.file.stat()
    assert (status.st_uid, mode(place.file)) == (65534, 0o640)
    assert mode(place.folder) == 0o710
    assert place.folder.stat().st_uid == os.geteuid(), "or its user could exchange the keys"


def test_users_and_groups_that_are_not_there_are_named(tmp_path: Path) -> None:
    assert "no user nosuchuser" in refusal(ExportPlace("haproxy", tmp_path, "x", owner="nosuchuser"))
    assert "no group nosuchgroup" in refusal(ExportPlace("haproxy", tmp_path, "x", group="nosuchgroup"))


def test_looking_makes_nothing(tmp_path: Path) -> None:
    nginx(tmp_path / "a" / "b").check()
    assert not list(tmp_path.iterdir())


def test_a_reader_sees_the_old_keys_or_the_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = ExportPlace("haproxy", tmp_path, "shop")
    place.write(some("haproxy", place.file))
    before = place.file.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(places.os, "replace", fail)
    with pytest.raises(PlaceError, match="no space left on device"):
        place.write(some("haproxy", place.file))
    assert place.file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_an_exports_place_follows_its_format() -> None:
    for server, file in (("nginx", "/run/x/tickets.conf"), ("haproxy", "/run/x")):
        export = ExportSettings.model_validate({"vip": "shop", "format": server, "path": "/run/x"})
        assert str(ExportPlace.of(export).file) == file


def test_memory_and_disk_are_told_apart() -> None:
    assert places.memory_fault(Path("/dev/shm/x")) in (None, "shm")
    assert places.memory_fault(Path("/proc/x")) == "proc"


def test_no_folder_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        place = nginx(tmp_path / str(number) / "keys")
        place.check()
        place.write(some("nginx", place.folder))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
