from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from meshcache import MeshSettings
from meshcache.edges import seeds
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


def test_workers_that_could_not_say_where_they_listen_meet_once_the_disk_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshcache.mesh")
    refused: list[int] = []
    written: Callable[[int, bytes, int], int] = os.pwrite

    def full_at_first(descriptor: int, content: bytes, offset: int) -> int:
        if len(refused) < 2:
            refused.append(descriptor)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", full_at_first)
    monkeypatch.setattr(seeds, "AGAIN_S", 0.05)
    slots, keyring = [Slot.take(tmp_path), Slot.take(tmp_path)], Keyring.new()
    found: list[dict[str, str]] = [{}, {}]
    finders = [
        Finders(mesh(), f"127.0.0.1:{port}", keyring, of.__setitem__, slot)
        for port, of, slot in zip((1111, 2222), found, slots, strict=True)
    ]
    assert len(set(refused)) == 2, "each was refused once"
    for each in finders:
        each.start()
    wait_until(lambda: found == [{"127.0.0.1:2222": "host"}, {"127.0.0.1:1111": "host"}], what="they meet")
    for each, slot in zip(finders, slots, strict=True):
        each.close()
        slot.release()
    assert caplog.text.count("aren't told in") == caplog.text.count("are told in") == 2
