"""A node that dies and comes back under its name, again and again: what each life made resumes on its peers."""

from __future__ import annotations

import pytest

from tests.chaos.hosts import Host, Hosts, wait_until_all_have, wait_until_met
from tests.support.waiting import wait_until

LIVES = 4

KNOWN_AGAIN_S_MAX = 20.0


def incarnation(host: Host, name: str) -> int:
    """Of the life of this peer that the host knows."""
    return int(next(peer["incarnation"] for peer in host.ask("peers", host.name) if peer["name"] == name))


@pytest.mark.chaos
def test_every_life_of_a_name_is_known_and_what_it_made_outlives_it(hosts: Hosts) -> None:
    stays, other, mortal = hosts.mesh("edge-1", "edge-2", "mortal")
    made: list[str] = []
    seen: list[int] = []
    for life in range(LIVES):
        made += mortal.make(10)
        wait_until_all_have([stays, other], made)
        seen.append(incarnation(stays, "mortal"))
        mortal.kill()
        mortal = hosts.start({"name": "mortal", "mesh": {"seeds": list(stays.addresses.values())}})
        wait_until(lambda: incarnation(stays, "mortal") > seen[-1], KNOWN_AGAIN_S_MAX, what=f"life {life + 2} is known")
        wait_until_met([stays, other, mortal])
        wait_until_all_have([stays, other, mortal], made, KNOWN_AGAIN_S_MAX)

    assert seen == sorted(set(seen)), "each life is newer than the one before"
    late = mortal.make(10)
    assert not set(late) & set(made)
    wait_until_all_have([stays, other], late)
