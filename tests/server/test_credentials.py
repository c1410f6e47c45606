"""Tests of `server.credentials`: what a reload says of keys that are copies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from meshcache_server.credentials import CredentialsNote

from meshcache import Settings, load
from meshcache.admin.client import AdminClient
from tests.server.deployment import READY_S_MAX, deploy
from tests.support.processes import Processes
from tests.support.waiting import wait_until

TEXT = """
[mesh]
key_file = "KEYS/mesh.key"
[[vip]]
name = "shop"
listen = "127.0.0.1:8443"
certificate = "shop.pem"
private_key = "KEYS/shop.key"
[[vip.more_certificates]]
certificate = "ecdsa.pem"
private_key = "KEYS/ecdsa.key"
[[vip]]
name = "elsewhere"
listen = "127.0.0.1:8444"
certificate = "shop.pem"
private_key = "/etc/meshcache/shop.key"
"""

SAID = (
    "mesh.key_file, vip.shop.private_key, vip.shop.more_certificates.private_key: read from $CREDENTIALS_DIRECTORY, "
    "which systemd filled as the service started; a key that changed since then takes a restart"
)


def settings(folder: Path, keys: str) -> Settings:
    file = folder / "meshcache.toml"
    file.write_text(TEXT.replace("KEYS", keys))
    return load(file)


def test_keys_that_systemd_handed_over_are_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    note = CredentialsNote()
    note.tell(settings(tmp_path, str(tmp_path)))
    note.tell(settings(tmp_path, str(tmp_path / "credentials-of-others")))
    assert not caplog.messages
    note.tell(settings(tmp_path, "$CREDENTIALS_DIRECTORY"))
    note.tell(settings(tmp_path, "$CREDENTIALS_DIRECTORY"))
    assert caplog.messages == [SAID]


def test_without_systemd_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    CredentialsNote().tell(settings(tmp_path, str(tmp_path)))
    assert not caplog.messages


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_says_it_in_the_log_of_one_server_once(tmp_path: Path, workers: int) -> None:
    with Processes(tmp_path) as processes:
        shop = deploy(tmp_path, processes)
        shop.write(f"[server]\nworkers = {workers}\n")
        keys = tmp_path / "credentials"
        keys.mkdir()
        for name in ("mesh.key", "shop.key"):
            (tmp_path / name).rename(keys / name)
        handed = shop.file.read_text().replace('"shop.key"', '"$CREDENTIALS_DIRECTORY/shop.key"')
        shop.file.write_text(handed.replace("[mesh]\n", '[mesh]\nkey_file = "$CREDENTIALS_DIRECTORY/mesh.key"\n'))
        process = shop.processes.start(
            [sys.executable, "-m", "meshcache_server", str(shop.file)],
            env=os.environ | {"CREDENTIALS_DIRECTORY": str(keys)},
        )
        wait_until(lambda: process.output.count(" ready: ") == (1 if workers == 1 else 3), READY_S_MAX)
        client = AdminClient(tmp_path / "state/edge-1/admin.sock")
        assert [client.reload()["ok"] for _ in range(2)] == [True, True]
        assert process.output.count("mesh.key_file, vip.shop.private_key: read from $CREDENTIALS_DIRECTORY, ") == 1
