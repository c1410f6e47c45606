"""Tests of `server.renewal`: each change once, when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from meshcache_server import app as app_module
from meshcache_server.app import ServerApp
from meshcache_server.renewal import AGAIN_LOOKS, Renewal

from meshcache import ConfigError, Settings


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


def test_what_could_not_be_read_is_due_again_after_a_while_and_what_could_is_not(
    settings: Settings, tmp_path: Path
) -> None:
    renewal = Renewal(settings)
    (tmp_path / "one" / "tls.crt").write_text("another")
    again = [False] * (AGAIN_LOOKS - 1) + [True]
    assert [renewal.due() for _ in range(2 + 2 * AGAIN_LOOKS)] == [False, True, *again, *again]
    renewal.read(renewal.look(settings))
    assert not any(renewal.due() for _ in range(2 * AGAIN_LOOKS))
    (tmp_path / "one" / "tls.key").write_text("its key")
    assert [renewal.due() for _ in range(3)] == [False, True, False]


def test_files_that_were_put_back_are_due_when_they_come_again(settings: Settings, tmp_path: Path) -> None:
    renewal = Renewal(settings)
    folder(tmp_path, "two")
    for target, due in (("two", True), ("one", False), ("two", True)):
        (tmp_path / "..new").symlink_to(target)
        (tmp_path / "..new").rename(tmp_path / "..data")
        assert [renewal.due() for _ in range(3)] == [False, due, False]


def test_what_is_wrong_is_told_once_for_each_change(settings: Settings, tmp_path: Path) -> None:
    renewal = Renewal(settings)
    for content in ("another", "one more"):
        (tmp_path / "one" / "tls.crt").write_text(content)
        assert [renewal.due() for _ in range(2)] == [False, True]
        assert renewal.news(["no descriptor"]) == ["no descriptor"]
        assert [renewal.due() for _ in range(AGAIN_LOOKS)][-1]
        assert renewal.news(["no descriptor", "no memory"]) == ["no memory"]


@pytest.mark.parametrize("is_readable", [False, True])
async def test_a_server_tries_again_what_it_could_not_read_and_nothing_else(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_readable: bool
) -> None:
    def contexts(_settings: Settings) -> dict[str, Any]:
        if is_readable:
            return {}
        raise ConfigError(["vip[0].certificate: too many open files"])

    class Node:
        def reload(self, *_: object, **__: object) -> None:
            raise ConfigError(["it isn't the files"])

    monkeypatch.setattr(app_module, "make_contexts", contexts)
    app = ServerApp(settings, cast(Any, Node()), lambda: settings)
    (tmp_path / "one" / "tls.crt").write_text("another")
    assert [app.renewal.due() for _ in range(2)] == [False, True]
    assert not await app.reload()  # of a refused one nothing follows
    assert any(app.renewal.due() for _ in range(2 * AGAIN_LOOKS))
    await app.renew()
    assert any(app.renewal.due() for _ in range(2 * AGAIN_LOOKS)) is not is_readable
