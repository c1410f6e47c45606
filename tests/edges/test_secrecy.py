"""Who may read a secret: tried as another user where the tests run as root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache.edges.secrecy import CREDENTIALS, why_exposed

OWN, GROUP = os.geteuid(), 12345


def status(mode: int, uid: int = OWN, gid: int = GROUP) -> os.stat_result:
    return os.stat_result((0o100000 | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.fixture(autouse=True)
def a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 998)
    monkeypatch.setattr(os, "getegid", lambda: 998)
    monkeypatch.setattr(os, "getgroups", lambda: [998, GROUP])
    monkeypatch.delenv(CREDENTIALS, raising=False)


@pytest.mark.parametrize(
    "mode,uid,gid",
    [(0o600, 998, 998), (0o400, 998, 998), (0o600, 0, 0), (0o640, 0, GROUP), (0o440, 0, GROUP), (0o440, 0, 998)],
)
def test_a_secret_as_it_is_handed_out_is_taken(mode: int, uid: int, gid: int) -> None:
    assert why_exposed(Path("/etc/ssl/private/shop.key"), status(mode, uid, gid)) is None


@pytest.mark.parametrize(
    "mode,uid,gid",
    [
        (0o644, 0, GROUP),
        (0o604, 998, 998),
        (0o660, 0, GROUP),
        (0o620, 0, GROUP),
        (0o640, 0, 0),
        (0o640, 0, 54321),
        (0o640, 998, GROUP),
        (0o600, 1000, 1000),
    ],
)
def test_one_that_others_can_reach_or_replace_is_refused(mode: int, uid: int, gid: int) -> None:
    assert why_exposed(Path("/etc/ssl/private/shop.key"), status(mode, uid, gid)) is not None


def test_systemds_credentials_are_let_in_by_an_acl(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("/run/credentials/meshcache.service/mesh.key")
    assert why_exposed(path, status(0o440, 0, 0)) is not None
    monkeypatch.setenv(CREDENTIALS, str(path.parent))
    assert why_exposed(path, status(0o440, 0, 0)) is None
    assert why_exposed(path, status(0o444, 0, 0)) is not None
