"""Who gets what: everybody permitted in the colo, one relay in each other colo, judged by both ends' terms."""

from __future__ import annotations

from meshcache.core.holders.audience import Audiences
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach, Terms
from meshcache.core.values.topology import VipNote
from tests.core.net import DIGEST, Host, Net, Puppet, vip


def audiences(host: Host) -> Audiences:
    found: Audiences = host.core.duties.audiences
    return found


def own(host: Host) -> Terms:
    return host.core.duties.vips.terms[0]


def world(reach: Reach) -> tuple[Net, Host]:
    net = Net()
    host = net.add("me", "ams1", vip("me", reach=reach))
    for name, colo, theirs in [
        ("near", "ams1", REACH_COLO),
        ("shy", "ams1", REACH_SERVER),
        ("far-1", "fra1", REACH_EVERYWHERE),
        ("far-2", "fra1", REACH_EVERYWHERE),
        ("far-shy", "fra1", REACH_COLO),
        ("lon-shy", "lon1", REACH_COLO),
    ]:
        Puppet(net, name, colo, vip(name, colo, reach=theirs)).joins(host)
    Puppet(net, "island", "ams1", vip("island", digest=b"\x09" * 32)).joins(host)
    Puppet(net, "other", "ams1", vip("other", name="blog")).joins(host)
    return net, host


def test_each_permitted_peer_of_the_colo_and_one_permitted_relay_of_each_other() -> None:
    _, host = world(REACH_EVERYWHERE)
    audience = audiences(host).of_own(own(host))
    assert [peer.name for peer in audience.inside] == ["near"]
    assert len(audience.relays) == 1
    assert audience.relays[0].name in ("far-1", "far-2")
    assert audience.receivers == 2


def test_a_relay_speaks_for_itself_only_so_that_nobody_is_known_to_wait() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", reach=REACH_EVERYWHERE))
    near = Puppet(net, "near", "ams1", vip("near", reach=REACH_EVERYWHERE))
    far = Puppet(net, "far", "fra1", vip("far", "fra1", reach=REACH_EVERYWHERE))
    for puppet in (near, far):
        puppet.notes = (VipNote(awaits_ms=15),)
    near.joins(host)
    assert audiences(host).of_own(own(host)).awaited_s == 0.015
    far.joins(host)
    assert audiences(host).of_own(own(host)).awaited_s == 0


def test_of_several_vips_that_find_a_session_the_least_patient_counts() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", group="front"))
    shop, cart = vip("near", group="front"), vip("near", name="cart", group="front")
    near = Puppet(net, "near", "ams1", shop, cart, vip("near", name="pay"))
    near.notes = (VipNote(awaits_ms=9), VipNote(awaits_ms=0), VipNote(awaits_ms=15))  # cart, pay, shop
    near.joins(host)
    assert audiences(host).of_own(own(host)).awaited_s == 0.009
    near.notes, near.revision = (), 2
    near.joins(host)
    assert audiences(host).of_own(own(host)).awaited_s == 0, "an older node tells nothing"


def test_a_vip_that_stays_in_its_colo_has_no_relays() -> None:
    _, host = world(REACH_COLO)
    assert audiences(host).of_own(own(host)).relays == []


def test_a_vip_that_stays_on_its_server_has_no_audience() -> None:
    _, host = world(REACH_SERVER)
    assert audiences(host).of_own(own(host)).receivers == 0


def test_what_is_relayed_is_judged_by_the_origins_terms_and_not_by_ours() -> None:
    _, host = world(REACH_EVERYWHERE)
    listed = Terms("x", "fra1", "shop", "shop", DIGEST, Reach.parse(["ams1"]))
    colo_only = Terms("x", "fra1", "shop", "shop", DIGEST, REACH_COLO)
    assert audiences(host).of_relayed(colo_only) == []
    assert audiences(host).of_relayed(listed) == []
    Puppet(Net(), "near-2", "ams1", vip("near-2", reach=Reach.parse(["fra1"]))).joins(host)
    assert [peer.name for peer in audiences(host).of_relayed(listed)] == ["near-2"]


def test_an_audience_follows_what_happens_to_peers() -> None:
    net, host = world(REACH_EVERYWHERE)
    relay = audiences(host).of_own(own(host)).relays[0].name
    other = {"far-1": "far-2", "far-2": "far-1"}[relay]
    members = host.core.duties.members
    peer = members.get(relay)
    assert peer is not None
    members.doubt(peer, net.now)
    assert [found.name for found in audiences(host).of_own(own(host)).relays] == [other]
    members.heard(peer, net.now)
    assert [found.name for found in audiences(host).of_own(own(host)).relays] == [relay]
    members.lose(peer, net.now)
    assert [found.name for found in audiences(host).of_own(own(host)).relays] == [other]


def test_a_suspect_relay_is_better_than_none() -> None:
    net, host = world(REACH_EVERYWHERE)
    members = host.core.duties.members
    for name in ("far-1", "far-2"):
        peer = members.get(name)
        assert peer is not None
        members.doubt(peer, net.now)
    assert len(audiences(host).of_own(own(host)).relays) == 1


def test_who_may_be_at_its_address_no_more_is_known_apart_where_no_other_is_told() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", reach=REACH_EVERYWHERE))
    places = [("near", "ams1", "10.0.0.1:1"), ("far-1", "fra1", "10.1.0.1:1"), ("far-2", "fra1", "10.1.0.2:1")]
    shy = Puppet(net, "shy", "ams1", vip("shy", reach=REACH_SERVER))
    puppets = [Puppet(net, name, colo, vip(name, colo, reach=REACH_EVERYWHERE)) for name, colo, _ in places]
    others = [Puppet(net, f"{name}-too", colo, vip(f"{name}-too", colo, name="blog")) for name, colo, _ in places]
    for (_, _, address), puppet, other in zip(places, puppets, others, strict=True):
        puppet.address = other.address = address
        puppet.joins(host)
    shy.joins(host)
    assert audiences(host).displaced(own(host)).receivers == 0
    for claims, outside in [(others[:2], []), (others[2:], ["far-1", "far-2"])]:
        for other in claims:
            other.joins(host)
        found = audiences(host).displaced(own(host))
        assert [peer.name for peer in found.inside] == ["near"]
        assert [peer.name for peer in found.relays] == outside, "while there is a relay, that one tells its colo"
