"""Every fault in the files that the settings name is found, with its place, in one go."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache.checks import file_faults, file_notes
from tests.checks.pki import Pki, faults, settings


def test_good_files_have_no_faults_and_nothing_to_note(pki: Pki) -> None:
    names = {"names": ["shop.example", "www.shop.example"], "ciphers": "ECDHE+AESGCM"}
    assert faults(pki, names) == []
    assert file_notes(settings(pki, names)) == []


def test_nothing_is_made_by_looking(pki: Pki) -> None:
    before = sorted(pki.folder.iterdir())
    file_faults(settings(pki))
    assert sorted(pki.folder.iterdir()) == before


def test_missing_files_are_named_all_at_once(pki: Pki) -> None:
    auth = {"mode": "required", "ca_file": "ca.pem", "crl_file": "crl.pem"}
    gone = {"certificate": "a.pem", "private_key": "a.key", "client_auth": auth}
    assert faults(pki, gone, mesh={"key_file": "b.key"}) == [
        "mesh.key_file: key file b.key: there is no such file; `meshcache key new FILE` makes one",
        "vip[0].certificate: there is no file a.pem",
        "vip[0].private_key: there is no file a.key",
        "vip[0].client_auth.ca_file: there is no file ca.pem",
        "vip[0].client_auth.crl_file: there is no file crl.pem",
    ]


def test_a_state_folder_must_be_one(pki: Pki) -> None:
    pki.write("state", b"")
    assert faults(pki) == ["node.state_dir: state is not a folder"]


def test_kept_policies_that_serve_would_refuse_are_named(pki: Pki) -> None:
    (pki.folder / "state").mkdir()
    named = {"node": {"state_dir": "state"}}
    assert faults(pki, **named) == []
    os.mkfifo(pki.folder / "state/policy.json", 0o600)
    assert faults(pki, **named) == ["node.state_dir: state/policy.json is not a regular file; move it away"]
    (pki.folder / "state/policy.json").unlink()
    pki.write("state/policy.json", b"", mode=0o666)
    assert faults(pki, **named) == ["node.state_dir: others can write state/policy.json: chmod 600 state/policy.json"]


def test_what_workers_kept_and_serve_would_refuse_is_named_too(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"node": {"state_dir": "state"}}
    for worker in ("worker-0", "worker-10", "worker-x"):
        (pki.folder / "state" / worker).mkdir(parents=True)
        pki.write(f"state/{worker}/policy.json", b"", mode=0o666)
    pki.write("state/worker-7", b"")
    assert faults(pki, **named) == [
        f"node.state_dir: others can write state/worker-{number}/policy.json: chmod 600 "
        f"state/worker-{number}/policy.json"
        for number in (0, 10)
    ]

    def refused(_folder: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    (fault,) = faults(pki, **named)
    assert fault.startswith("node.state_dir: state can't be listed: permission denied; what its workers kept")


def test_a_reach_without_the_own_colo_is_a_note(pki: Pki) -> None:
    listed = {"sharing": {"reach": ["ams1", "fra1"]}}
    assert "vip[0].sharing.reach" in file_notes(settings(pki, listed, node={"colo": "lon1"}))[0]
    assert file_notes(settings(pki, listed, node={"colo": "ams1"})) == []
