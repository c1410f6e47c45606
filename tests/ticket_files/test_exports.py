"""A node's exports with real keys, files and commands: begun, changed by a reload, withdrawn, and told of by name."""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode, Settings
from meshcache.core.tickets import ticket_duty
from meshcache.errors import PolicyError
from meshcache.ticket_files import exports
from meshcache.ticket_files.exports import keys_for
from tests.nodes import settings
from tests.support.waiting import wait_until

VIP = {"name": "shop", "resumption": "tickets"}


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_duty, "_ROTATE_PAUSE_S", 0.0)


def with_exports(folder: Path, *exports: dict[str, Any], **vip: Any) -> Settings:
    each = [{"vip": "shop", "settle_s": 0.0, **export} for export in exports]
    return settings(folder, vip=[VIP | vip], tickets={"export": each})


@pytest.fixture
def keys(folder: Path) -> Path:
    return folder / "keys"


@pytest.fixture
def node(folder: Path, keys: Path) -> Iterator[MeshNode]:
    export = {"format": "nginx", "path": str(keys), "command": ["sh", "-c", f"echo told >> {folder}/told"]}
    with MeshNode(with_exports(folder, export)) as node:
        wait_until(lambda: state(node) == "ok", what="the keys are written")
        yield node


def state(node: MeshNode) -> str:
    return str(node.stats()["ticket_exports"][0]["state"])


def written(keys: Path) -> set[str]:
    return {path.name for path in keys.glob("*.key")}


def told(folder: Path) -> int:
    return (folder / "told").read_text().count("told")


def texts(node: MeshNode) -> str:
    return "\n".join(event["text"] for event in node.events())


def test_each_change_is_written_and_told_and_a_withdraw_at_once(
    node: MeshNode, folder: Path, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (first,) = written(keys)
    secret = (keys / first).read_bytes()
    node.policies.rotate_tickets("shop")
    wait_until(lambda: len(written(keys)) == 2 and told(folder) >= 2, what="both keys are there")
    assert first in written(keys), "its tickets are good for an hour yet"
    with caplog.at_level(logging.INFO, "meshcache"):
        node.policies.withdraw(vip="shop")
        wait_until(lambda: first not in (now := written(keys)) and len(now) == 1, what="what was withdrawn is gone")
    (left,) = written(keys)
    assert (keys / left).read_bytes() != secret, "it is a key that nobody else has"
    wait_until(lambda: "given to nginx" in texts(node))
    shown = texts(node) + caplog.text + str(node.stats())
    for part in (secret[16:48], secret[48:]):
        assert part.hex() not in shown
        assert base64.b64encode(part).decode() not in shown
        assert repr(part) not in shown


def test_a_reload_begins_changes_and_ends_exports(
    node: MeshNode, folder: Path, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = written(keys)
    now = with_exports(folder, {"format": "openssl", "path": str(folder / "one")})
    with caplog.at_level(logging.WARNING, "meshcache"):
        node.reload(now)
    wait_until(lambda: (folder / "one").exists(), what="the new place has its key")
    assert f"nobody changes the ticket keys in {keys} any more" in caplog.text
    assert [each["format"] for each in node.stats()["ticket_exports"]] == ["openssl"]
    node.policies.rotate_tickets("shop")
    wait_until(lambda: node.stats()["ticket_exports"][0]["written"] > 1)
    assert written(keys) == before


def exporting() -> int:
    return sum(each.name == "meshcache-tickets" for each in threading.enumerate())


def test_a_changed_export_waits_for_the_command_of_the_former_one(
    folder: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CLOSE_S", 0.05)
    os.mkfifo(folder / "gate")
    vips = [VIP, VIP | {"name": "pay"}]

    def of(vip: str, command: str) -> Settings:
        export = {"vip": vip, "settle_s": 0.0, "format": "nginx", "path": str(keys)}
        export["command"] = ["sh", "-c", f"{command} && echo {vip} >> {folder}/told"]
        always = {"vip": "pay", "format": "openssl", "path": str(folder / "pay")}
        return settings(folder, vip=vips, tickets={"export": [export, always]})

    with MeshNode(of("shop", f"cat {folder}/gate")) as node:
        wait_until(lambda: (keys / "tickets.conf").exists() and (folder / "pay").exists(), what="the command runs")
        former = written(keys)
        for command in ("true", "sleep 0"):  # twice: the second waits for the very first
            node.reload(of("pay", command))
        with pytest.raises(AssertionError):
            wait_until(lambda: written(keys) != former, within_s=0.3)
        assert node.ticket_exports.without == [f"VIP pay (nginx, {keys})"]
        (folder / "gate").write_text("go on")
        wait_until(lambda: not node.ticket_exports.without and exporting() == 2, what="the new one has told its keys")
        assert (folder / "told").read_text().split() == ["shop", "pay"]
        conf = (keys / "tickets.conf").read_text()
        assert written(keys), "what the server is told of is there"
        assert all(name in conf for name in written(keys))
        assert conf.count(".key") == len(written(keys))
        assert not written(keys) & former


def test_a_node_that_ended_deletes_no_key_files(folder: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CLOSE_S", 0.05)
    os.mkfifo(folder / "gate")
    export = {"format": "nginx", "path": str(keys), "command": ["cat", str(folder / "gate")]}
    with MeshNode(with_exports(folder, export)):
        wait_until(lambda: (keys / "tickets.conf").exists(), what="the command runs")
    other = keys / f"{'ab' * 16}.key"
    other.write_bytes(b"of its next life")
    (folder / "gate").write_text("go on")
    wait_until(lambda: not exporting())
    assert other.exists()


def test_a_live_policy_that_keeps_sessions_on_their_server_takes_the_keys_back(node: MeshNode, keys: Path) -> None:
    before = written(keys)
    node.policies.set_policy("shop", {"reach": "server"})
    wait_until(lambda: state(node) == "refused", what="the export is refused")
    wait_until(lambda: not written(keys) & before, what="the server has other keys")
    with pytest.raises(PolicyError, match="never leave this node"):
        node.ticket_exports.give("shop", "nginx", str(keys), "a test")


def test_who_asks_gets_what_the_server_has_and_is_told_of(node: MeshNode, keys: Path) -> None:
    given = node.ticket_exports.give("shop", "nginx", str(keys), "user 0 (process 7)")
    assert {name: (keys / name).read_bytes() for name in given.files} == given.files
    wait_until(lambda: "ticket keys of VIP shop given to user 0 (process 7), for nginx: " in texts(node))


def test_what_may_not_leave_is_refused_in_words(folder: Path) -> None:
    with MeshNode(with_exports(folder, sharing={"reach": "server"})) as node:
        for vip, server, words in (
            ("shop", "nginx", "never leave this process"),
            ("pay", "nginx", 'no VIP "pay"; there is shop'),
        ):
            with pytest.raises(PolicyError, match=words):
                node.ticket_exports.give(vip, server, "/x", "a test")
    (folder / "2").mkdir()
    with MeshNode(with_exports(folder / "2")) as node:
        with pytest.raises(PolicyError, match="there is no format"):
            node.ticket_exports.give("shop", "apache", "/x", "a test")
        with pytest.raises(PolicyError, match="no key yet"):
            node.ticket_exports.give("shop", "nginx", "/x", "a test")
        assert keys_for(node.internals.pump, "pay", "nginx") is None


def test_a_node_whose_command_fails_says_so_and_goes_on(folder: Path, keys: Path) -> None:
    export = {"format": "nginx", "path": str(keys), "command": ["false"]}
    with MeshNode(with_exports(folder, export)) as node:
        wait_until(lambda: node.stats()["ticket_exports"][0]["failed"] > 1, what="it is tried again")
        assert state(node) == "failing"
        wait_until(lambda: f"are not with nginx ({keys}): false: exit status 1" in texts(node))
        assert len(written(keys)) == 1


def test_files_outlive_their_node_and_its_next_life_brings_them_up_to_date(folder: Path, keys: Path) -> None:
    export = {"format": "nginx", "path": str(keys), "command": ["true"]}
    other = with_exports(folder)
    with MeshNode(other.model_copy(update={"node": other.node.model_copy(update={"name": "edge-2"})})) as peer:
        peer.serve("shop")
        wait_until(lambda: ring_keys(peer), what="the peer has a key")
        settings = with_exports(folder, export)
        settings = settings.model_copy(update={"mesh": settings.mesh.model_copy(update={"seeds": (peer.address,)})})
        with MeshNode(settings) as node:
            wait_until(lambda: state(node) == "ok")
            assert ring_keys(node) == ring_keys(peer)
        before = written(keys)
        assert len(before) == 1, "the server goes on with it"
        peer.policies.rotate_tickets("shop")
        with MeshNode(settings) as node:
            wait_until(lambda: len(written(keys)) == 2, what="both keys of the ring are there")
            assert before < written(keys)
            assert ring_keys(node) == ring_keys(peer)


def ring_keys(node: MeshNode) -> list[str]:
    return [key["name"] for ring in node.policies.ticket_rings() for key in ring["keys"]]
