"""Tests of `server.systemd`, with a real datagram socket in systemd's place."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from meshcache_server import systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(60)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return listener


def test_states_are_told(manager: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    systemd.ready()
    systemd.reloading()
    systemd.stopping()
    assert manager.recv(1000) == b"READY=1"
    state, _, usec = manager.recv(1000).partition(b"\nMONOTONIC_USEC=")  # sd_notify(3) wants it with RELOADING=1
    assert state == b"RELOADING=1"
    assert before <= int(usec) <= time.monotonic_ns() // 1000
    assert manager.recv(1000) == b"STOPPING=1"
    manager.close()


def test_a_group_hears_which_of_its_settings_a_worker_has(manager: socket.socket) -> None:
    systemd.taken(7)
    systemd.taken(None)
    assert [manager.recv(1000) for _ in range(2)] == [b"X_MESHCACHE_SETTINGS=7", b"X_MESHCACHE_SETTINGS="]
    manager.close()


def test_a_start_that_waits_is_not_ended_for_it(manager: socket.socket) -> None:
    systemd.starting("looking for peers")
    assert manager.recv(1000) == b"EXTEND_TIMEOUT_USEC=10000000\nSTATUS=looking for peers"
    manager.close()


def test_an_abstract_socket_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"meshcache-test-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        systemd.ready()
        assert listener.recv(1000) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nobody/is/there"])
def test_nobody_to_tell_is_no_fault(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.ready()


def test_a_manager_that_does_not_read_stops_nothing(manager: socket.socket) -> None:
    for _ in range(2000):  # far more than a socket's queue holds
        systemd.ready()
    manager.close()
