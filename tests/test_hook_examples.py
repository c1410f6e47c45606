"""Each hook of examples/hooks as its head says: named in a file, found on Python's path, at work in real nodes."""

from __future__ import annotations

import re
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache.hooks import BUDGET_S_MAX, SharingPolicy
from tests.nodes import Place, alive, places
from tests.support.waiting import wait_until
from tests.tls.world import client_context, visit

FOLDER = Path(__file__).parent.parent / "examples" / "hooks"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))
LINES_MAX = 50


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(SharingPolicy, "budget_s", BUDGET_S_MAX)  # a busy machine is no fault of an example's


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def named(example: str, **options: Any) -> dict[str, Any]:
    """The ``[hooks]`` of an example's head, with other options."""
    block = re.search(r"^    \[hooks\]\n(?:    .*\n)+", (FOLDER / f"{example}.py").read_text(), re.MULTILINE)
    assert block is not None
    hooks: dict[str, Any] = tomllib.loads(block[0].replace("\n    ", "\n"))["hooks"]
    for given in hooks["options"].values():
        given.update(options)
    return hooks


def test_one_of_each_kind_and_short() -> None:
    assert {next(iter(named(example))) for example in EXAMPLES} == {
        "policies",
        "discoveries",
        "observers",
        "tiers",
    }
    assert all(len((FOLDER / f"{example}.py").read_text().splitlines()) <= LINES_MAX for example in EXAMPLES)


def test_a_policy_that_keeps_sessions_in_their_region(place: Place) -> None:
    colos = {"edge-1": "eu-fra1", "edge-2": "eu-ams1", "edge-3": "us-nyc1"}
    sharing = {"reach": "everywhere"}
    nodes = {
        name: place.node(name, colo=colo, sharing=sharing, hooks=named("same_region")) for name, colo in colos.items()
    }
    servers = {name: place.server(node) for name, node in nodes.items()}
    place.wait_until_met()
    client = client_context("1.2")
    session = visit(servers["edge-1"], client).session
    wait_until(lambda: nodes["edge-2"].stats()["vips"]["shop"]["entries"], what="it is in its region")
    assert visit(servers["edge-2"], client, session=session).resumed
    assert not visit(servers["edge-3"], client, session=session).resumed
    ways = nodes["edge-1"].stats()["policy"]["crossings"]
    assert {way["to_colo"]: way["verdict"] for way in ways} == {"eu-ams1": "allowed", "us-nyc1": "own_policy"}


def test_a_discovery_that_reads_a_file(place: Place, folder: Path) -> None:
    first, listed = place.node("edge-1"), folder / "peers"
    second = place.node("edge-2", mesh={"seeds": []}, hooks=named("address_file", path=str(listed), every_s=0.05))
    wait_until(
        lambda: second.stats()["hooks"][0]["counts"].get("raised"), what="there is no file yet, which is counted"
    )
    listed.write_text(f"{first.address}\n{second.address}\n")
    wait_until(lambda: alive(second) == {"edge-1"}, what="they meet")


def test_an_observer_that_tells_a_statsd_server(place: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        host, port = server.getsockname()
        node = place.node("edge-1", hooks=named("statsd", host=host, port=port, every_s=1.0))
        visit(place.server(node), client_context())
        assert server.recv(1000) == b"meshcache.shop.handshakes.full:1|c"


def test_a_tier_that_keeps_what_memory_has_no_room_for(place: Place) -> None:
    node = place.node("edge-1", hooks=named("dict_tier", entries_max=5), cache={"max_sessions": 1})
    server = place.server(node)
    for _ in range(4):
        visit(server, client_context("1.2"))
    wait_until(lambda: node.stats()["tiers"][0]["entries"] == 3, what="the others are kept there")
