"""Tests of `core.repair.pulling`: who is asked for one session, and what is made of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE, Verdict
from meshcache.core.repair.pulling import PullLimits
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import LIFETIME_S_MAX_TLS13
from meshcache.core.values.session_id import Claim, life_of, node_of
from meshcache.core.wire.messages import Ping, Pong, Pull, PullReply, Push
from tests.core.net import Host, Net, Puppet, dropped, has, make, mesh, sid, vip

COLO = PullLimits(0.01)
FAR = PullLimits(0.01, far=True, far_s=0.1)


def claim(number: int, node: str, born_at: float = 0.0, incarnation: int = 0) -> Claim:
    """An id that a node made long ago, in a life that nobody can compare clocks with."""
    return Claim(sid(number), node_of(node), life_of(node, incarnation), born_at)


def asked(host: Host, net: Net) -> dict[str, int]:
    counts: dict[str, int] = host.core.stats(net.now)["vips"]["shop"]["lookups"]["asked"].get("fetch", {})
    return counts


def begin(host: Host, net: Net, wanted: Claim, limits: PullLimits = COLO) -> float | None:
    """As a handshake begins it: somebody waits for it."""
    until = host.core.pulling.begin("shop", wanted, limits, net.now)
    if until is not None:
        host.core.awaiting.want(wanted.id)
    return until


def end(host: Host, net: Net, wanted: Claim) -> None:
    host.core.awaiting.unwant(wanted.id)
    host.core.pulling.end(wanted.id, net.now)


def pulls(net: Net, sender: str) -> list[str]:
    """To whom a host has sent a pull."""
    return [address for name, address, payload, _ in net.sent if name == sender and payload[:2] == b"\x84\x16"]


def three(evicted_on: str = "b") -> tuple[Net, dict[str, Host], bytes]:
    """Three hosts of a colo that all had a session of a's, which is gone from one of them."""
    net = Net()
    mesh(net, ["a", "b", "c"])
    net.run(3)
    made = make(net, net.hosts["a"], 1)
    net.run(1)
    net.hosts[evicted_on].core.session_removed("shop", made)
    return net, net.hosts, made


def test_what_was_evicted_here_comes_back_from_who_made_it() -> None:
    net, hosts, made = three()
    wanted = claim(1, "a")
    until = begin(hosts["b"], net, wanted)
    assert until == net.now + 0.01
    assert not has(net, hosts["b"], made)
    net.run(0.005)
    assert hosts["b"].core.awaiting.take() == [made]
    assert has(net, hosts["b"], made)
    end(hosts["b"], net, wanted)
    assert pulls(net, "b") == ["a:7946"]
    assert asked(hosts["b"], net) == {"asked": 1}
    assert len(hosts["b"].core.pulling) == 0


def test_if_its_maker_is_gone_another_holder_is_asked() -> None:
    net, hosts, made = three()
    net.stop("a")
    net.run(9)
    begin(hosts["b"], net, claim(1, "a"))
    net.run(0.005)
    assert has(net, hosts["b"], made)
    assert pulls(net, "b") == ["c:7946"]


def test_if_its_maker_has_it_no_more_another_holder_is_asked_in_the_same_time() -> None:
    net, hosts, made = three()
    hosts["a"].core.session_removed("shop", made)
    begin(hosts["b"], net, claim(1, "a"))
    net.run(0.009)
    assert has(net, hosts["b"], made)
    assert pulls(net, "b") == ["a:7946", "c:7946"]


def test_what_nobody_has_is_asked_for_once_and_then_rests() -> None:
    net, hosts, made = three()
    for host in hosts.values():
        host.core.session_removed("shop", made)
    wanted = claim(1, "a")
    begin(hosts["b"], net, wanted)
    net.run(0.009)
    assert hosts["b"].core.awaiting.take() == [made]
    end(hosts["b"], net, wanted)
    assert begin(hosts["b"], net, wanted) is None
    net.run(Limits().pull_again_s)
    assert begin(hosts["b"], net, wanted) is not None
    assert asked(hosts["b"], net) == {"asked": 2, "again": 1}


def test_two_that_wait_for_one_session_ask_once() -> None:
    net, hosts, made = three()
    wanted = claim(1, "a")
    assert begin(hosts["b"], net, wanted) == begin(hosts["b"], net, wanted)
    net.run(0.005)
    assert has(net, hosts["b"], made)
    assert pulls(net, "b") == ["a:7946"]
    assert asked(hosts["b"], net) == {"asked": 1, "joined": 1}
    end(hosts["b"], net, wanted)
    end(hosts["b"], net, wanted)


def test_fetches_are_bounded_by_number_and_by_rate() -> None:
    net = Net(limits=Limits(pulls_max=2, pulls_burst=3, pulls_per_s=1))
    _, b = mesh(net, ["a", "b"])
    net.run(3)
    got = [begin(b, net, claim(number, "a")) is not None for number in range(4)]
    assert got == [True, True, False, False]
    assert asked(b, net) == {"asked": 2, "busy": 2}
    net.run(0.005)
    assert begin(b, net, claim(7, "a")) is not None
    assert begin(b, net, claim(8, "a")) is None
    assert asked(b, net) == {"asked": 3, "busy": 2, "budget": 1}


def tries(net: Net, b: Host, wait: Callable[[float], None]) -> int:
    """How many handshakes in a row wait for a peer that doesn't answer them."""
    for count in range(20):
        wanted = claim(net.rng.randrange(2**40), "a")
        if begin(b, net, wanted) is None:
            return count
        wait(0.01)
        end(b, net, wanted)
    raise AssertionError("it is asked for ever")


def test_a_peer_that_lives_and_does_not_answer_is_left_alone_longer_and_longer() -> None:
    net, limits = Net(), Limits()
    b, a = net.add("b", "ams1", vip("b")), Puppet(net, "a", "ams1", vip("a"))
    a.joins(b)

    def lives(seconds: float) -> None:
        a.lives(b, seconds)

    assert tries(net, b, lives) == limits.pull_silences
    lives(limits.pull_rest_s)
    assert tries(net, b, lives) == 1
    lives(limits.pull_rest_s)
    assert tries(net, b, lives) == 0, "twice as long"
    lives(limits.pull_rest_s)
    assert tries(net, b, lives) == 1


def test_a_peer_that_is_stopped_costs_no_handshake_until_it_is_heard_again() -> None:
    net, limits = Net(), Limits()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    a.stalled_until = net.now + 2 * limits.pull_rest_s
    assert tries(net, b, net.run) == limits.pull_silences
    net.run(limits.pull_rest_s)
    assert b.core.peers(net.now)[0]["state"] == "alive", "or nobody would ask it anyway"
    assert tries(net, b, net.run) == 0
    net.run(3 * limits.pull_rest_s)
    assert begin(b, net, claim(9, "a")) is not None


def test_one_that_answers_again_is_asked_again() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    a.stalled_until = net.now + 0.2
    for number in range(3):
        wanted = claim(number, "a")
        assert begin(b, net, wanted) is not None
        net.run(0.01)
        end(b, net, wanted)
    assert begin(b, net, claim(9, "a")) is None
    net.run(1)
    assert begin(b, net, claim(9, "a")) is not None, "its late answers closed the breaker"


def test_one_that_is_late_each_time_is_left_alone_too_though_it_answers() -> None:
    net, limits = Net(), Limits()
    a, b = mesh(net, ["a", "b"])
    net.run(3)

    def late(number: int) -> bool:
        wanted = claim(number, "a")
        if begin(b, net, wanted) is None:
            return False
        a.stalled_until = net.now + 0.02
        net.run(0.011)
        end(b, net, wanted)
        net.run(0.05)
        return True

    assert [late(number) for number in range(limits.pull_lates + 3)].count(True) == limits.pull_lates
    net.run(limits.pull_rest_s)
    assert late(100)
    assert not late(101)
    net.run(2 * limits.pull_rest_s)
    assert begin(b, net, claim(102, "a")) is not None
    net.run(0.005)
    assert [late(number) for number in range(200, 200 + limits.pull_lates)].count(True) == limits.pull_lates


def test_a_late_answer_is_filed_though_nobody_waits() -> None:
    net, hosts, made = three()
    wanted = claim(1, "a")
    hosts["a"].stalled_until = net.now + 0.1
    begin(hosts["b"], net, wanted)
    net.run(0.02)
    end(hosts["b"], net, wanted)
    net.run(0.2)
    assert has(net, hosts["b"], made)
    assert dropped(hosts["b"], net) == {}


@pytest.mark.parametrize(("limits", "to"), [(COLO, []), (FAR, ["far:7946"])])
def test_other_colos_are_asked_only_where_the_policy_says_so(limits: PullLimits, to: list[str]) -> None:
    net = Net()
    net.add("far", "fra1", vip("far", "fra1", reach=REACH_EVERYWHERE))
    here = net.add("here", "ams1", vip("here", reach=REACH_EVERYWHERE), seeds=("far:7946",))
    net.run(5)
    until = begin(here, net, claim(1, "far"), limits)
    net.run(0)
    assert pulls(net, "here") == to
    assert until == (net.now + 0.1 if to else None)
    assert asked(here, net) == ({"asked": 1} if to else {"no_peer": 1})


def test_what_is_over_by_its_makers_clock_is_not_asked_for() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"], lifetime_s=60.0)
    net.run(3)
    incarnation = a.core.identity.incarnation
    assert begin(b, net, claim(1, "a", net.now - 61, incarnation)) is None
    assert asked(b, net) == {"over": 1}
    assert begin(b, net, claim(2, "a", net.now - 59, incarnation)) is not None


def test_an_id_from_the_future_is_counted_and_asked_for_by_nobody() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    incarnation = a.core.identity.incarnation
    for number in range(3):
        assert begin(b, net, claim(number, "a", net.now + 61, incarnation)) is None
    assert asked(b, net) == {"future": 3}
    net.run(1)
    assert pulls(net, "b") == []
    assert begin(b, net, claim(0, "a", net.now + 59, incarnation)) is not None, "a machine that slept for a minute"
    assert begin(b, net, claim(9, "a", net.now + 1e6, incarnation + 1)) is not None, "another life has another clock"


def test_few_copies_of_one_that_is_gone_are_found_where_all_hold_all_by_now() -> None:
    net = Net()
    hosts = mesh(net, ["a", *(f"b{at}" for at in range(8))], copies=2)
    net.run(3)
    made = [make(net, hosts[0], number) for number in range(1, 9)]
    net.run(1)
    net.stop("a")
    net.run(12)
    for host in hosts[1:]:
        (served,) = host.core.local_vips()
        host.core.set_vip(replace(served, terms=replace(served.terms, copies=0)), net.now)
    net.run(0.5)
    for number, session_id in enumerate(made, 1):
        asks = next(host for host in hosts[1:] if not host.core.holds("shop", session_id))
        assert begin(asks, net, claim(number, "a")) is not None
        net.run(0.01)
        assert has(net, asks, session_id)


def test_nobody_is_asked_where_another_may_be_until_it_has_answered_from_there() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    maker, other, third = (Puppet(net, name, "ams1", vip(name)) for name in ("maker", "other", "third"))
    other.address = maker.address
    for puppet in (maker, other, third):
        puppet.joins(host)
    third.answers(host)
    assert begin(host, net, claim(1, "maker")) is not None
    assert (maker.hears(Pull), len(third.hears(Pull))) == ([], 1)
    maker.answers(host)
    assert begin(host, net, claim(2, "maker")) is not None
    assert (len(maker.hears(Pull)), len(third.hears(Pull))) == (1, 1)


# What is made of answers


class Asked:
    """A host that has asked a puppet, which made the session, for it."""

    def __init__(self) -> None:
        self.net = Net()
        self.host = self.net.add("me", "ams1", vip("me"))
        self.peer = Puppet(self.net, "other", "ams1", vip("other"))
        self.peer.joins(self.host)
        self.peer.answers(self.host)
        self.wanted = claim(1, "other")
        assert begin(self.host, self.net, self.wanted) is not None
        (pull,) = self.peer.hears(Pull)
        assert (pull.vip, pull.id) == ("shop", sid(1))
        self.token = pull.token

    def answer(self, token: int | None = None, **facts: Any) -> None:
        batch = self.peer.batch(1, **facts)
        self.peer.says(self.host, PullReply(self.token if token is None else token, batch))

    def refusals(self) -> list[tuple[str, str]]:
        return [(each["node"], each["reason"]) for each in self.host.core.stats(self.net.now)["refusals"]]


def test_the_session_that_was_asked_for_is_taken() -> None:
    case = Asked()
    case.answer()
    assert has(case.net, case.host, sid(1))
    assert case.host.core.awaiting.take() == [sid(1)]
    assert case.refusals() == []


def test_an_answer_that_nobody_asked_for_changes_nothing_and_is_told_by_name() -> None:
    case = Asked()
    case.answer(token=case.token ^ 1)
    assert not has(case.net, case.host, sid(1))
    assert dropped(case.host, case.net) == {"unasked_pull": 1}
    assert case.refusals() == [("other", "unasked_pull")]
    case.answer()
    case.answer()
    assert dropped(case.host, case.net) == {"unasked_pull": 2}, "an answer counts once"


def test_another_members_answer_in_its_place_changes_nothing() -> None:
    case = Asked()
    liar = Puppet(case.net, "liar", "ams1", vip("liar"))
    liar.joins(case.host)
    liar.says(case.host, PullReply(case.token, liar.batch(1)))
    assert not has(case.net, case.host, sid(1))
    assert case.refusals() == [("liar", "unasked_pull")]
    case.answer()
    assert has(case.net, case.host, sid(1))


@pytest.mark.parametrize("count", [0, 2])
def test_an_answer_for_another_id_or_for_several_changes_nothing(count: int) -> None:
    case = Asked()
    batch = (
        case.peer.batch(5, count)
        if count
        else replace(case.peer.batch(5), entries=case.peer.batch(5).entries.chosen([]))
    )
    case.peer.says(case.host, PullReply(case.token, batch))
    assert not has(case.net, case.host, sid(5))
    assert dropped(case.host, case.net) == {"foreign_pull": 1}
    assert case.refusals() == [("other", "foreign_pull")]
    assert case.host.core.awaiting.take() == [sid(1)], "whoever waits is told that it won't come"


@pytest.mark.parametrize(
    "terms",
    [
        vip("me").terms,
        vip("other", "fra1").terms,
        vip("third", digest=b"\2" * 32).terms,
    ],
)
def test_an_answer_in_a_name_that_its_sender_has_no_right_to_changes_nothing(terms: Any) -> None:
    case = Asked()
    third = Puppet(case.net, "third", "ams1", vip("third"))
    third.joins(case.host)
    case.answer(terms=terms, incarnation=case.host.core.identity.incarnation if terms.node == "me" else 7)
    assert not has(case.net, case.host, sid(1))
    assert case.host.core.awaiting.take() == [sid(1)]
    assert set(dropped(case.host, case.net)) & {"forged_origin", "forged_terms"}


def test_an_answer_that_openssl_cannot_use_is_told_by_the_name_of_who_gave_it() -> None:
    case = Asked()
    case.answer()
    case.host.core.session_unusable("shop", sid(1), Verdict.DER, case.net.now, counted=False)
    assert not has(case.net, case.host, sid(1))
    assert dropped(case.host, case.net) == {"poisoned_pull": 1}
    assert case.refusals() == [("other", "poisoned_pull")]
    case.peer.says(case.host, Push(case.peer.batch(9)))
    case.host.core.session_unusable("shop", sid(9), Verdict.DER, case.net.now, counted=False)
    assert dropped(case.host, case.net) == {"poisoned_pull": 1}, "that one was pushed"
    assert begin(case.host, case.net, case.wanted) is not None
    (*_, pull) = case.peer.hears(Pull)
    case.peer.says(case.host, PullReply(pull.token, case.peer.batch(1)))
    assert not has(case.net, case.host, sid(1)), "it is in quarantine"


def test_what_was_withdrawn_here_does_not_come_back_by_being_asked_for() -> None:
    case = Asked()
    case.net.run(0.005)
    case.host.core.withdraw(case.net.now, vip="shop")
    case.answer()
    assert not has(case.net, case.host, sid(1))


def test_an_answer_ends_no_sooner_and_no_later_than_its_maker_says() -> None:
    case = Asked()
    case.answer()
    found = case.host.core.lookup("shop", sid(1), case.net.now).session
    assert found is not None
    assert 3598 <= found.expires_at - case.net.now <= 3600 < LIFETIME_S_MAX_TLS13


def test_after_a_pull_the_stream_goes_on_as_before() -> None:
    """What was pulled counts as seen, and no more: pushes after it are taken, and gaps before it are filled."""
    net, hosts, made = three()
    begin(hosts["b"], net, claim(1, "a"))
    net.run(0.01)
    assert has(net, hosts["b"], made)
    later = make(net, hosts["a"], 2)
    net.run(1)
    assert has(net, hosts["b"], later)
    assert hosts["b"].core.duties.repair.gaps == 0


def test_a_pull_message_names_no_id() -> None:
    shown = repr(Pull(5, "shop", sid(1)))
    assert sid(1).hex() not in shown
    assert "5e" not in shown
    assert repr(sid(1))[2:-1] not in shown


def test_puppets_clock_is_known_to_nobody() -> None:
    """The fixture's own ground: a puppet that answers pings without a clock is never judged by age."""
    case = Asked()
    (ping, *_) = case.peer.hears(Ping)
    case.peer.says(case.host, Pong(ping.token))
    assert next(iter(case.host.core.duties.members)).ahead_s is None
    case.peer.says(case.host, Push(case.peer.batch(9)))
    assert has(case.net, case.host, sid(9))
