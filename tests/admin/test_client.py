"""The client says where it looked and what it found, whatever answers there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshcache.admin import client as client_module
from meshcache.admin.client import AdminClient, answers
from meshcache.errors import AdminError, NodeAbsentError


@contextmanager
def answering(path: Path, answer: bytes | None) -> Iterator[AdminClient]:
    """A process at `path` that answers one request with these bytes, or never."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                if answer is None:
                    done.wait(60)
                else:
                    connection.sendall(answer)

        done = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        yield AdminClient(path)
        done.set()
        thread.join(60)


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    "answer,told",
    [
        (b"SSH-2.0-x\r\n", "could not be asked"),
        (b"", "could not be asked"),
        (http(b"hello"), "is no meshcache node"),
        (http(b"[1]"), "is no meshcache node"),
        (http(b"\xff"), "is no meshcache node"),
        (http(b'{"error": "no such VIP"}', "404 Not Found"), "answered 404: no such VIP"),
    ],
)
def test_whatever_answers_is_an_error_that_names_the_socket(tmp_path: Path, answer: bytes, told: str) -> None:
    path = tmp_path / "x.sock"
    with answering(path, answer) as client, pytest.raises(AdminError, match=told) as caught:
        client.stats()
    assert str(path) in str(caught.value)


def test_a_node_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT_S", 0.05)
    with answering(tmp_path / "x.sock", None) as client, pytest.raises(AdminError, match="did not answer within"):
        client.stats()


def test_an_answer_without_end_is_not_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_BYTES_MAX", 16)
    answer = http(b'{"a": "' + b"x" * 100 + b'"}')
    with answering(tmp_path / "x.sock", answer) as client, pytest.raises(AdminError, match="is no meshcache node"):
        client.stats()


def test_a_socket_that_is_left_from_a_dead_node_is_told_apart_from_none(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with pytest.raises(AdminError, match="there is no such socket"):
        AdminClient(path).stats()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with pytest.raises(AdminError, match="is left from one that is gone"):
        AdminClient(path).stats()


def test_what_is_no_socket_is_told_from_one_that_is_left(tmp_path: Path) -> None:
    file = tmp_path / "meshcache.toml"
    file.touch()
    for path, what in ((file, "that is no socket"), (tmp_path, "that is no socket"), (file / "x", "no such socket")):
        assert not answers(path)
        with pytest.raises(NodeAbsentError, match=what):
            AdminClient(path).stats()
