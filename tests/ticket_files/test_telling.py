"""Servers are told by a command or by HAProxy's socket; what goes wrong is said in words that hold no key."""

from __future__ import annotations

import base64
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshcache.config import ExportSettings
from meshcache.ticket_files import telling
from meshcache.ticket_files.layouts import Rendered, Wanted, nobodys_key, render
from meshcache.ticket_files.telling import TellingError, may_have_keys, run, tell, tell_haproxy


def rendered(path: Path) -> Rendered:
    key = nobodys_key()
    return render("haproxy", Wanted(key, (key,)), str(path))


def test_a_command_is_told_which_vip_and_which_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export = ExportSettings.model_validate(
        {
            "vip": "shop",
            "format": "nginx",
            "path": str(tmp_path),
            "command": ["sh", "-c", f'echo "$MESHCACHE_VIP $MESHCACHE_PATH" > {out}'],
        }
    )
    tell(export, tmp_path / "tickets.conf", rendered(tmp_path))
    assert out.read_text() == f"shop {tmp_path}/tickets.conf\n"


def test_without_a_command_nobody_is_told(tmp_path: Path) -> None:
    export = ExportSettings.model_validate({"vip": "shop", "format": "nginx", "path": str(tmp_path)})
    tell(export, tmp_path, rendered(tmp_path))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo one; echo bad config >&2; exit 3"], "exit status 3: bad config"),
        (["sh", "-c", "kill -9 $$"], "signal 9"),
        (["/no/such/program"], "no such file or directory"),
        (["/etc"], "permission denied"),
    ],
)
def test_a_command_that_fails_says_how(command: list[str], words: str) -> None:
    with pytest.raises(TellingError) as raised:
        run(command)
    assert words in str(raised.value)


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(TellingError, match="was killed"):
        run(["sh", "-c", f"sleep 300 & echo $! > {pid}; wait"], within_s=1.0)
    child, until = int(pid.read_text()), time.monotonic() + 60
    while _lives(child):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_a_command_left_in_a_session_of_its_own_is_not_waited_for(tmp_path: Path) -> None:
    """It holds the pipe that the command was to speak by, and nobody kills it."""
    pid = tmp_path / "pid"
    began = time.monotonic()
    try:
        with pytest.raises(TellingError, match="was killed"):
            run(["sh", "-c", f"setsid sh -c 'echo $$ > {pid}; exec sleep 30' & sleep 300"], within_s=1.0)
        assert time.monotonic() - began < 20
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


@contextmanager
def haproxy(path: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """What answers as HAProxy's socket does: one command a connection."""
    asked: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            link, _ = listener.accept()
            with link:
                asked.append(link.recv(65536))
                link.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked


def test_haproxy_gets_each_key_in_the_order_of_its_file(tmp_path: Path) -> None:
    made, runtime = rendered(tmp_path / "keys"), tmp_path / "sock"
    with haproxy(runtime, *[b"TLS ticket key updated!\n\n"] * 3) as asked:
        tell_haproxy(runtime, tmp_path / "keys", made)
    lines = made.files["keys"].decode().splitlines()
    assert asked == [f"set ssl tls-key {tmp_path}/keys {line}\n".encode() for line in lines]


def test_what_haproxy_says_is_passed_on_and_never_a_key(tmp_path: Path) -> None:
    made, runtime = rendered(tmp_path / "keys"), tmp_path / "sock"
    key = base64.b64encode(made.keys[0].name_aes_mac).decode()
    for number, (answer, words) in enumerate(
        (
            (b"'set ssl tls-key' unable to locate referenced filename\n", "unable to locate referenced filename"),
            (f"Unknown command: set ssl tls-key x {key}\n".encode(), "repeats what it was sent"),
            (b"", "no answer"),
        )
    ):
        with haproxy(runtime.with_name(str(number)), answer), pytest.raises(TellingError) as raised:
            tell_haproxy(runtime.with_name(str(number)), tmp_path / "keys", made)
        assert words in str(raised.value)
        assert key[:16] not in str(raised.value)


def test_a_haproxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TellingError, match="does it run"):
        tell_haproxy(tmp_path / "none", tmp_path, rendered(tmp_path))
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left"))
    left.close()
    with pytest.raises(TellingError, match="connection refused"):
        tell_haproxy(tmp_path / "left", tmp_path, rendered(tmp_path))


def test_a_stranger_who_listens_in_haproxys_place_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, runtime = rendered(tmp_path / "keys"), tmp_path / "sock"
    monkeypatch.setattr(telling, "may_have_keys", lambda uid, path: (uid, path) != (os.geteuid(), runtime))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime))
        listener.listen()
        with pytest.raises(TellingError, match="may be anybody"):
            tell_haproxy(runtime, tmp_path / "keys", made)
        link, _ = listener.accept()
        with link:
            assert link.recv(1) == b""


def test_keys_are_for_root_for_this_user_and_for_the_owner_of_a_closed_folder(folder: Path) -> None:
    own, other = os.geteuid(), os.geteuid() + 1
    assert may_have_keys(0, folder / "sock")
    assert may_have_keys(own, folder / "sock")
    assert not may_have_keys(other, folder / "sock")
    usr = Path("/usr/sock")  # root's, where nobody else can write
    assert may_have_keys(0, usr)
    assert not may_have_keys(other, usr)
    assert not may_have_keys(12345, Path("/tmp/sock"))
