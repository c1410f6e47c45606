"""Tests of `server.renewal`: each change once, when it is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from meshcache_server.renewal import Renewal

from meshcache import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Files as Kubernetes mounts a secret: links to a link to a folder."""
    folder(tmp_path, "one")
    (tmp_path / "..data").symlink_to("one")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    vip = {
        "name": "shop",
        "listen": "127.0.0.1:0",
        "certificate": tmp_path / "tls.crt",
        "private_key": tmp_path / "tls.key",
    }
    return Settings.model_validate({"mesh": {"key_file": tmp_path / "mesh.key"}, "vip": [vip]})


def folder(base: Path, name: str) -> None:
    (base / name).mkdir()
    for file in ("tls.crt", "tls.key"):
        (base / name / file).write_text(name)


def test_nothing_is_due_while_nothing_changes(settings: Settings) -> None:
    renewal = Renewal(settings)
    assert not any(renewal.due() for _ in range(5))


def test_a_link_that_is_turned_is_due_once_it_has_settled(settings: Settings, tmp_path: Path) -> None:
    renewal = Renewal(settings)
    folder(tmp_path, "two")
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert [renewal.due() for _ in range(4)] == [False, True, False, False]


def test_each_half_of_a_pair_is_a_change(settings: Settings, tmp_path: Path) -> None:
    renewal = Renewal(settings)
    (tmp_path / "one" / "tls.crt").write_text("another")
    assert [renewal.due() for _ in range(3)] == [False, True, False]
    (tmp_path / "one" / "tls.key").write_text("its key")
    assert [renewal.due() for _ in range(3)] == [False, True, False]


def test_a_file_that_goes_on_changing_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    renewal = Renewal(settings)
    for size in range(5):
        (tmp_path / "one" / "tls.crt").write_text("x" * (100 + size))
        assert not renewal.due()
    (tmp_path / "one" / "tls.crt").unlink()
    assert [renewal.due() for _ in range(3)] == [False, True, False]
    renewal.taken(renewal.look(settings))
    assert not renewal.due()
