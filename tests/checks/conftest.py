"""What the checks' tests share: a folder with good files, of which each test spoils one."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring
from tests.checks.pki import Pki, certificate, new_key


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    create_keyring(tmp_path / "mesh.key", Keyring.new())
    key = new_key()
    pki = Pki(tmp_path)
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, "shop.example", "*.shop.example"))
    return pki
