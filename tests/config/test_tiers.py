"""The tables of tiers: defaults, limits, and where the disk's folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcache.config import Settings, load
from meshcache.config.tiers import parse_store
from meshcache.errors import ConfigError


def test_there_is_none_by_default() -> None:
    assert Settings().tier.disk is None


def test_a_disk_lies_in_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[node]\nname = "a"\n[tier.disk]\n')
    disk = load(tmp_path / "m.toml").tier.disk
    assert disk is not None
    assert (disk.path, disk.max_bytes, disk.key) == (tmp_path / "state" / "a" / "sessions", 512 * 2**20, "mesh")


def test_a_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[tier.disk]\npath = "here"\nmax_bytes = "16MiB"\n')
    disk = load(tmp_path / "m.toml").tier.disk
    assert disk is not None
    assert disk.path == tmp_path / "here"


@pytest.mark.parametrize("line", ['max_bytes = "15MiB"', 'max_bytes = "2000000GiB"', 'key = "none"', "sync = true"])
def test_what_makes_no_sense_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.toml").write_text(f"[tier.disk]\n{line}\n")
    with pytest.raises(ConfigError, match=r"tier\.disk"):
        load(tmp_path / "m.toml")


def test_it_changes_with_a_restart_only() -> None:
    running, new = Settings(), Settings.model_validate({"tier": {"disk": {}}})
    assert new.without_restart(running).tier.disk is None


def test_without_a_state_folder_the_disk_needs_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("[node]\nstate_dir = false\n[tier.disk]\n")
    with pytest.raises(ConfigError, match=r"tier: disk\.path is missing, and node\.state_dir is false"):
        load(tmp_path / "m.toml")


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("valkey://store:6380/2", ("store", 6380, "", 2, False)),
        ("redis://10.0.0.4", ("10.0.0.4", 6379, "", 0, False)),
        ("valkeys://store.internal:6379/0", ("store.internal", 6379, "", 0, True)),
        ("rediss://[::1]:7000", ("::1", 7000, "", 0, True)),
        ("unix:/run/valkey.sock", ("", 0, "/run/valkey.sock", 0, False)),
    ],
)
def test_where_a_store_may_be(url: str, store: tuple[object, ...]) -> None:
    assert tuple(parse_store(url)) == store


@pytest.mark.parametrize(
    "url", ["", "store:6379", "http://store", "valkey://", "valkey://store:0", "valkey://store/x", "valkey://s?db=3", 5]
)
def test_what_is_no_store(url: object) -> None:
    with pytest.raises(ValueError, match=r"store|address|ports"):
        parse_store(url)


@pytest.mark.parametrize("url", ["valkey://u:s3cret@store", "valkey://:s3cret@store/x", "redis://s3cret@store:99999"])
def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    (tmp_path / "m.toml").write_text(f'[tier.valkey]\nurl = "{url}"\n')
    with pytest.raises(ConfigError, match="password_file") as caught:
        load(tmp_path / "m.toml")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        'certificate = "a.pem"',
        'certificate = "a.pem"\nprivate_key = "a.key"',
        'ca_file = "ca.pem"',
        'username = "me"',
        "wait_ms = 0",
        "wait_ms = 2000",
    ],
)
def test_what_doesnt_go_together_is_refused(tmp_path: Path, lines: str) -> None:
    (tmp_path / "m.toml").write_text(f'[tier.valkey]\nurl = "valkey://store"\n{lines}\n')
    with pytest.raises(ConfigError, match=r"tier\.valkey"):
        load(tmp_path / "m.toml")
