"""Colos of which each session is held by a few nodes only, and how many of them have one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from meshcache.core.policy.gates import REACH_COLO, Reach
from tests.core.net import Host, Net, make, mesh

N = 200


def colo(net: Net, count: int = 7, copies: int = 3, reach: Reach = REACH_COLO, **more: Any) -> list[Host]:
    return mesh(net, [f"ams1-{at}" for at in range(count)], "ams1", reach, copies=copies, **more)


def holders(hosts: list[Host], session_id: bytes) -> list[str]:
    return [host.name for host in hosts if host.up and host.core.holds("shop", session_id)]


def made_by(net: Net, host: Host, first: int, count: int = N) -> list[bytes]:
    made = [make(net, host, number) for number in range(first, first + count)]
    net.run(1)
    return made


def copies_of(hosts: list[Host], made: list[bytes]) -> Counter[int]:
    return Counter(len(holders(hosts, each)) for each in made)
