"""Tests of `core.repair.pull_serving`: which session is given to whom, how often, and how soon."""

from __future__ import annotations

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.limits import Limits
from meshcache.core.wire.messages import Pull, PullReply
from tests.core.net import Net, Puppet, dropped, make, sid, vip


@pytest.mark.parametrize("case", ["of another VIP", "of a VIP that stays on its server", "over", "unknown"])
def test_what_may_not_go_there_is_not_given(case: str) -> None:
    net = Net()
    reach = REACH_SERVER if case.startswith("of a VIP that stays") else REACH_EVERYWHERE
    host = net.add("me", "ams1", vip("me", reach=reach), vip("me", name="pay", reach=REACH_EVERYWHERE))
    asker = Puppet(net, "asker", "ams1", vip("asker", reach=REACH_EVERYWHERE))
    asker.joins(host)
    lifetime = {"lifetime_s": 0.5} if case == "over" else {}
    make(net, host, 1, "pay" if case == "of another VIP" else "shop", **lifetime)
    asker.says(host, Pull(5, "pay" if case == "of another VIP" else "shop", sid(2 if case == "unknown" else 1)))
    assert asker.hears(PullReply) == [PullReply(5, None)]
    refused = case.startswith("of a")
    assert dropped(host, net).get("pull_refused", 0) == refused


def test_a_session_with_a_client_certificate_stays_unless_the_vip_exports_them() -> None:
    for exports in (False, True):
        net = Net()
        host = net.add("me", "ams1", vip("me", certified=exports))
        asker = Puppet(net, "asker", "ams1", vip("asker", certified=exports))
        asker.joins(host)
        make(net, host, 1, client_certificate=True)
        asker.says(host, Pull(5, "shop", sid(1)))
        (reply,) = asker.hears(PullReply)
        assert (reply.batch is not None) == exports


def test_an_asker_that_asks_too_fast_is_told_that_there_is_nothing() -> None:
    net = Net(limits=Limits(pull_answers_per_s=1, pulls_per_s=1, pulls_burst=2))
    host = net.add("me", "ams1", vip("me"))
    askers = [Puppet(net, name, "ams1", vip(name)) for name in ("one", "other", "third")]
    make(net, host, 1)
    for asker in askers:
        asker.joins(host)
        for token in range(4):
            asker.says(host, Pull(token, "shop", sid(1)))
    given = [[reply.batch is not None for reply in asker.hears(PullReply)] for asker in askers]
    assert given[0] == given[1] == [True, True, False, False], "nobody can use it up for the others"
    assert given[2] == [False] * 4, "and all together have a rate"
    assert dropped(host, net) == {"pull_rate": 8}


def test_while_peers_ask_no_message_lies_unread_for_long() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    asker = Puppet(net, "asker", "ams1", vip("asker"))
    asker.joins(host)
    usual_s = host.core.rest_s(3)
    assert usual_s > Limits().pull_lies_s
    assert not host.core.pull_serving.hurries
    asker.says(host, Pull(5, "shop", sid(1)))
    assert host.core.pull_serving.hurries
    rests = [host.core.rest_s(3) for _ in range(65)]
    assert rests == [Limits().pull_lies_s] * 64 + [usual_s]
    assert not host.core.pull_serving.hurries
    assert host.core.rest_s(0) == 0


def test_a_peer_at_whose_address_another_may_be_is_given_nothing_until_it_has_answered() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    asker, other = (Puppet(net, name, "ams1", vip(name)) for name in ("asker", "other"))
    other.address = asker.address
    make(net, host, 1)
    for puppet in (asker, other):
        puppet.joins(host)
    asker.says(host, Pull(5, "shop", sid(1)))
    asker.answers(host)
    asker.says(host, Pull(6, "shop", sid(1)))
    assert [reply.batch is not None for reply in asker.hears(PullReply)] == [False, True]
