"""Where ticket keys for other servers would go is looked at before anything is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from meshcache.checks.exports import export_notes, export_place_faults
from meshcache.config import Settings, read_settings


def settings(folder: Path, vip: dict[str, Any] | None = None, **export: Any) -> Settings:
    plain = {
        "vip": [{"name": "shop", "resumption": "tickets", **(vip or {})}],
        "tickets": {"export": [{"vip": "shop", "format": "nginx", "path": "keys", "command": ["true"], **export}]},
    }
    return read_settings(plain, folder)


def test_a_good_place_has_no_fault_and_nothing_is_made(tmp_path: Path) -> None:
    assert export_place_faults(settings(tmp_path)) == []
    assert not list(tmp_path.iterdir())


def test_a_bad_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    assert export_place_faults(settings(tmp_path)) == [f"tickets.export[0].path: {tmp_path}/keys is not a folder"]
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (fault,) = export_place_faults(settings(tmp_path, path="open"))
    assert "others can write" in fault


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_this_user_may_not_write_to_is_named(tmp_path: Path) -> None:
    assert "can't be written to" in export_place_faults(settings(tmp_path, path="/usr/keys"))[0]


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    (fault,) = export_place_faults(settings(tmp_path, command="nosuchprogram -s reload"))
    assert fault.startswith("tickets.export[0].command: there is no program nosuchprogram")


def test_a_vip_that_only_a_context_could_tell_of_is_named(tmp_path: Path) -> None:
    (fault,) = export_place_faults(settings(tmp_path, {"sharing": {"bind": "certificate"}}))
    assert "name its certificate" in fault


def notes(folder: Path, *words: str, **more: Any) -> bool:
    return any(all(word in note for word in words) for note in export_notes(settings(folder, **more)))


def test_what_is_no_fault_and_worth_knowing_is_a_note(tmp_path: Path) -> None:
    assert notes(tmp_path, "nothing tells the server", command=[])
    assert not notes(tmp_path, "nothing tells the server")
    assert notes(tmp_path, "holds one key", format="openssl")
    long = {"sharing": {"rotate_s": 600, "lifetime_s": 3600}}
    assert notes(tmp_path, "keeps 3 keys", "600 s", vip=long, format="haproxy")
    assert not notes(tmp_path, "keeps 3 keys", format="haproxy")
    runtime = {"format": "haproxy", "command": [], "haproxy_socket": "none.sock"}
    assert notes(tmp_path, "there is no", "none.sock", **runtime)
    assert not notes(tmp_path, "nothing tells the server", **runtime)
