from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from meshcache import MeshSettings
from meshcache.edges.keyring import Keyring
from meshcache.runtime.finders import Finders
from meshcache.workers.slots import Slot
from tests.support.waiting import wait_until


def mesh(**changes: object) -> MeshSettings:
    return MeshSettings.model_validate({"listen": "127.0.0.1:0", "mdns": False, **changes})


def test_seeds_and_mdns_are_looked_at_together_and_told_apart() -> None:
    keyring = Keyring.new()
    found: dict[str, str] = {}
    spoken = {"mdns": True, "interfaces": ["127.0.0.1"]}
    one = Finders(mesh(seeds=["127.0.0.9:7946"], **spoken), "127.0.0.1:1111", keyring, found.__setitem__)
    other = Finders(mesh(**spoken), "127.0.0.1:2222", keyring, lambda *_: None)
    one.start()
    other.start()
    wait_until(lambda: len(found) == 2)
    for finders in (one, other):
        finders.close()
        finders.close()
    assert found == {"127.0.0.9:7946": "seed", "127.0.0.1:2222": "mdns"}


def test_nothing_is_said_on_the_lan_where_mdns_is_off() -> None:
    keyring = Keyring.new()
    found: dict[str, str] = {}
    listener = Finders(mesh(mdns=True, interfaces=["127.0.0.1"]), "127.0.0.1:1111", keyring, found.__setitem__)
    quiet = Finders(mesh(interfaces=["127.0.0.1"]), "127.0.0.1:2222", keyring, lambda *_: None)
    speaking = Finders(mesh(mdns=True, interfaces=["127.0.0.1"]), "127.0.0.1:3333", keyring, lambda *_: None)
    for finders in (listener, quiet, speaking):
        finders.start()
    wait_until(lambda: "127.0.0.1:3333" in found)
    for finders in (listener, quiet, speaking):
        finders.close()
    assert set(found) == {"127.0.0.1:3333"}


def test_a_worker_whose_disk_is_full_looks_for_peers_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_descriptor: int, _content: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    slot, found = Slot.take(tmp_path), dict[str, str]()
    monkeypatch.setattr(os, "pwrite", full)
    seeded = mesh(seeds=["127.0.0.9:7946"])
    finders = Finders(seeded, "127.0.0.1:1111", Keyring.new(), found.__setitem__, slot).start()
    wait_until(lambda: found == {"127.0.0.9:7946": "seed"})
    finders.close()
    slot.release()
    assert "No space left" in caplog.text
