"""Socket files: a dead one is replaced, a live one and anything else is left alone."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from pathlib import Path

import pytest

from meshcache.admin import sockets
from meshcache.admin.sockets import AcceptedConnections, BoundedListener, open_http, open_unix, remove_unix
from meshcache.errors import ConfigError


def test_the_socket_of_a_process_that_is_gone_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    open_unix(path).close()  # as a process that was killed: closed, the file still there
    assert path.exists()
    listener = open_unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    remove_unix(path, listener)
    assert not path.exists()


def test_the_socket_of_a_running_node_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    listener = open_unix(path)
    with pytest.raises(ConfigError, match=r"admin.socket: a node answers at .* already"):
        open_unix(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    remove_unix(path, listener)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        open_unix(path)
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.symlink_to(tmp_path / "elsewhere.sock")
    with pytest.raises(ConfigError, match="is no socket"):
        open_unix(path)


def test_the_socket_that_another_process_put_in_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    ours = open_unix(path)
    path.unlink()
    theirs = open_unix(path)
    remove_unix(path, ours)
    assert path.exists()
    remove_unix(path, theirs)
    assert not path.exists()


def test_a_stranger_who_holds_the_folders_lock_does_not_hang_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LOCK_S", 0.05)
    path = tmp_path / "admin.sock"
    listener = open_unix(path)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="can't be had"):
            open_unix(tmp_path / "other.sock")
        remove_unix(path, listener)
        assert listener.fileno() == -1
    finally:
        os.close(folder)


def test_where_the_socket_has_no_mode_of_its_own_the_file_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _mode: int) -> None:
        raise OSError

    monkeypatch.setattr(os, "fchmod", refuse)
    path = tmp_path / "admin.sock"
    with open_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_closing_after_the_folder_is_gone_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "state/admin.sock"
    listener = open_unix(path)
    path.unlink()
    path.parent.rmdir()
    remove_unix(path, listener)
    assert listener.fileno() == -1


@pytest.mark.parametrize("name", ["x" * 200, "file/admin.sock"])
def test_a_path_that_cannot_be_had_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^admin\.socket: .* can't be had: "):
        open_unix(tmp_path / name)


def test_an_http_address_that_is_not_ours_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^admin\.http: 192\.0\.2\.1:80 can't be had: "):
        open_http("192.0.2.1:80")


def test_whom_there_is_no_room_for_is_closed_until_another_one_is() -> None:
    with open_http("127.0.0.1:0") as opened, BoundedListener(opened, AcceptedConnections(1, 15.0)) as listener:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        address = opened.getsockname()
        with socket.create_connection(address), socket.create_connection(address, 30) as second:
            first = listener.accept()[0]
            assert first.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert second.recv(1) == b""
            first.close()
            with socket.create_connection(address) as third:
                assert listener.accept()[1] == third.getsockname()


def test_one_limit_holds_for_all_copies_of_a_listener(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    opened, connections = open_unix(path), AcceptedConnections(1, 15.0)
    with (
        BoundedListener(opened, connections) as before,
        BoundedListener(opened, connections) as after,
        socket.socket(socket.AF_UNIX) as client,
        socket.socket(socket.AF_UNIX) as another,
    ):
        client.connect(str(path))
        with before.accept()[0]:
            another.connect(str(path))
            with pytest.raises(BlockingIOError):
                after.accept()
    remove_unix(path, opened)
