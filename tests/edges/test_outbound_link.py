"""What a link to an address is called, and how long it rests."""

from __future__ import annotations

from meshcache.core.values.topology import OWN_LINK
from meshcache.edges.keyring import Keyring
from meshcache.edges.outbound_link import REST_S_MAX, OutboundLink, link_to, rest_s


def test_the_rests_of_a_fleet_are_not_in_step_and_have_a_maximum() -> None:
    assert [rest_s(rounds, 1.0) for rounds in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, 1.6]
    assert rest_s(1000, 1.0) == REST_S_MAX
    assert rest_s(1000, 0.0) == REST_S_MAX / 2


def test_a_connection_that_was_made_again_has_another_name() -> None:
    link = OutboundLink(None, Keyring.new().current, tries=0, attempt=7)
    first = link.name("10.0.0.4:7946")
    link.ups += 1
    assert first.startswith(OWN_LINK)
    assert link.name("10.0.0.4:7946") != first


def test_which_way_a_link_stands() -> None:
    found = {(up, reaches): link_to(up=up, reaches_us=reaches) for up in (True, False) for reaches in (True, False)}
    assert found == {
        (True, True): "both",
        (True, False): "outbound",
        (False, True): "inbound",
        (False, False): "none",
    }
