"""What is said of tiers before a start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache import Settings
from meshcache.checks.tiers import tier_faults


def settings(path: Path) -> Settings:
    return Settings.model_validate({"tier": {"disk": {"path": str(path)}}})


def test_without_tiers_and_with_a_good_folder_nothing_is_wrong(tmp_path: Path) -> None:
    assert tier_faults(Settings()) == []
    assert tier_faults(settings(tmp_path / "deep" / "t")) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (fault,) = tier_faults(settings(tmp_path / "file" / "t"))
    assert fault.startswith("tier.disk.path: ")
    assert "is a file" in fault


def test_a_folder_that_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.checks.tiers.os.access", lambda _path, _mode: False)
    (fault,) = tier_faults(settings(tmp_path))
    assert "can't be written" in fault


def test_a_folder_that_others_use_too(tmp_path: Path) -> None:
    (tmp_path / "somebodys").touch()
    (fault,) = tier_faults(settings(tmp_path))
    assert fault.startswith("tier.disk.path: ")
    assert "holds other things (somebodys)" in fault
    assert tier_faults(settings(tmp_path / "t")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_root_may_look_for_the_user_that_the_node_runs_as(tmp_path: Path) -> None:
    """To tell root that the service's own folder is another user's would have it given to root."""
    os.chown(tmp_path, 65_534, 65_534)
    assert tier_faults(settings(tmp_path)) == []
    (tmp_path / "somebodys").touch()
    assert len(tier_faults(settings(tmp_path))) == 1


def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.checks.tiers.find_spec", lambda _name: None)
    (fault,) = tier_faults(settings(tmp_path / "t"))
    assert "meshcache[disk]" in fault


def test_what_a_store_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = {"url": "valkeys://store", "ca_file": str(tmp_path / "ca"), "password_file": str(tmp_path / "password")}
    made = Settings.model_validate({"tier": {"valkey": store}})
    places = [fault.split(": ")[0] for fault in tier_faults(made)]
    assert places == ["tier.valkey.password_file", "tier.valkey.ca_file"]
    (tmp_path / "ca").touch()
    (tmp_path / "password").touch(mode=0o600)
    (tmp_path / "password").write_text("s3cret")
    assert tier_faults(made) == []
    monkeypatch.setattr("meshcache.checks.tiers.find_spec", lambda _name: None)
    assert "meshcache[valkey]" in tier_faults(made)[0]
