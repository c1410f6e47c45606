"""Hosts without a default route, with Debian's hosts file, or in two networks: what address peers are told, and that
whatever it is nobody is cut off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.hosts import Host, Hosts, wait_until_all_have, wait_until_met
from tests.chaos.namespaces import Lan, NamespacesError
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
PORT = 7946
ANYWHERE = f"0.0.0.0:{PORT}"


@pytest.fixture
def lan() -> Iterator[Lan]:
    try:
        made = Lan(3)
    except NamespacesError as error:
        if os.environ.get("CI"):
            raise
        warnings.warn(f"no network namespaces here: {error}", stacklevel=1)
        pytest.skip("no network namespaces")
    with made:
        yield made


def told(host: Host) -> str:
    """Where a node says that it listens."""
    return host.addresses[host.name]


def dialled(host: Host) -> dict[str, tuple[str, str]]:
    """Of each living peer its address as this node has it, and which way their link stands."""
    peers = host.ask("peers", host.name)
    return {peer["name"]: (peer["address"], peer["link"]) for peer in peers if peer["state"] == "alive"}


def is_dialled(host: Host, name: str, address: str) -> bool:
    """Whether a node's one living peer is reached at this address, and reaches it."""
    return dialled(host) == {name: (address, "both")}


def shared(started: list[Host]) -> None:
    """Every node's sessions come to every other one."""
    for host in started:
        wait_until_all_have(started, host.make(5))


def test_hosts_without_a_default_route_tell_the_address_of_their_network(
    lan: Lan, hosts: Hosts, tmp_path: Path
) -> None:
    names = tmp_path / "hosts"
    names.write_text(f"127.0.0.1 localhost\n{lan.address(0)} mesh.test\n")
    assert [lan.ways_out(at) for at in range(3)] == ["", "", ""]
    seeds: list[dict[str, Any]] = [{}, *2 * [{"seeds": [f"dns:mesh.test:{PORT}"]}]]
    started = [
        hosts.start({"name": f"edge-{at}", "mesh": {"listen": ANYWHERE, **seeds[at]}}, command=lan.command(at, names))
        for at in range(3)
    ]
    wait_until_met(started)
    assert [told(host) for host in started] == [f"{lan.address(at)}:{PORT}" for at in range(3)]
    shared(started)


@pytest.mark.chaos
def test_a_name_that_is_loopback_in_the_hosts_file_is_said_and_cuts_nobody_off(
    lan: Lan, hosts: Hosts, tmp_path: Path
) -> None:
    names = tmp_path / "hosts"
    names.write_text("127.0.0.1 localhost\n127.0.1.1 edge-0\n")
    wrong = {"listen": ANYWHERE, "advertise": f"edge-0:{PORT}"}
    first = hosts.start({"name": "edge-0", "mesh": wrong}, command=lan.command(0, names))
    seeds = [f"{lan.address(0)}:{PORT}"]
    others = [
        hosts.start({"name": f"edge-{at}", "mesh": {"listen": ANYWHERE, "seeds": seeds}}, command=lan.command(at))
        for at in (1, 2)
    ]
    started = [first, *others]
    wait_until_met(started)
    assert told(first) == f"127.0.1.1:{PORT}"
    assert "(see /etc/hosts), which leads every peer to itself" in first.log.read_text()
    assert f"edge-0:{PORT} is 127.0.1.1 on this machine" in faults(lan.command(0, names), wrong)
    shared(started)


def faults(command: list[str], mesh: dict[str, Any]) -> str:
    """What `check` says of where a node listens and what it tells."""
    python = [sys.executable, "-m", "tests.chaos.neighbour", "addresses", json.dumps(mesh)]
    return subprocess.run([*command, *python], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("found", [pytest.param("by mDNS", marks=pytest.mark.chaos), "by seeds"])
def test_a_host_in_two_networks_is_reached_in_each_and_joins_them(lan: Lan, hosts: Hosts, found: str) -> None:
    """The first is in both networks, the second in the first, the third in the second only."""
    for at in (0, 2):
        lan.also_in_second(at)
    lan.unplug(2)
    reached = [lan.address(2, 1), lan.address(0, 0), lan.address(0, 1)]
    own = [[lan.address(0, 0), lan.address(0, 1)], [lan.address(1)], [lan.address(2, 1)]]
    ways = {
        "by mDNS": [{"mdns": True, "interfaces": each} for each in own],
        "by seeds": [{"seeds": [f"{each}:{PORT}"]} for each in reached],
    }[found]
    started = [
        hosts.start({"name": f"edge-{at}", "mesh": {"listen": ANYWHERE, **ways[at]}}, command=lan.command(at))
        for at in range(3)
    ]
    both = {"edge-1": (f"{lan.address(1)}:{PORT}", "both"), "edge-2": (f"{lan.address(2, 1)}:{PORT}", "both")}
    wait_until(lambda: dialled(started[0]) == both, within_s=60)
    for at in (1, 2):
        wait_until(partial(is_dialled, started[at], "edge-0", f"{reached[at]}:{PORT}"), within_s=60)
    shared(started)
