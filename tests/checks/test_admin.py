"""Faults in what `[admin]` and `[log]` name."""

from __future__ import annotations

import os

import pytest

from tests.checks.pki import DAY, NOW, Pki, certificate, faults, new_key


def admin(pki: Pki) -> dict[str, object]:
    pki.write("token", b"0123456789abcdef0123")
    files = {"certificate": "shop.pem", "private_key": "shop.key", "token_file": "token"}
    return {"http": "127.0.0.1:0", **files}


def test_a_good_port_has_no_fault(pki: Pki) -> None:
    assert faults(pki, admin=admin(pki)) == []


def test_each_file_of_the_port_is_looked_at(pki: Pki) -> None:
    named = admin(pki)
    key = new_key()
    pki.chain("old.pem", certificate(key, "edge-1", start=NOW - 2 * DAY, end=NOW - DAY))
    pki.key("other.key", key, mode=0o644)
    pki.write("token", b"short")
    (one, two, three) = faults(pki, admin={**named, "certificate": "old.pem", "private_key": "other.key"})
    assert one.startswith("admin.private_key: other.key: its mode is 0644")
    assert two.startswith("admin.certificate: old.pem expired on")
    assert three.startswith("admin.token_file: ")


def test_files_that_are_not_there_are_named(pki: Pki) -> None:
    gone = {"http": "127.0.0.1:0", "certificate": "a.pem", "private_key": "a.key", "token_file": "a"}
    told = faults(pki, admin=gone)
    assert [each.partition(":")[0] for each in told] == ["admin.certificate", "admin.private_key", "admin.token_file"]


@pytest.mark.parametrize(
    "access,told",
    [
        ("access.log", []),
        ("logs/access.log", ["log.access: there is no folder logs"]),
        ("folder", ["log.access: folder is a folder; name a file in it"]),
    ],
)
def test_an_access_log_that_cannot_be_opened_is_named(pki: Pki, access: str, told: list[str]) -> None:
    (pki.folder / "folder").mkdir()
    assert faults(pki, log={"access": access}) == told


def test_stdout_and_a_fifo_are_fine(pki: Pki) -> None:
    os.mkfifo(pki.folder / "fifo")
    assert faults(pki, log={"access": "stdout"}) == []
    assert faults(pki, log={"access": "fifo"}) == []
