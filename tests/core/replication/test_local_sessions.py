"""The TLS side: what resumes, what doesn't and why, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER, Verdict
from meshcache.core.values.session import DER_BYTES_MAX, Outcome
from meshcache.core.wire.messages import Push
from tests.core.net import DER, Host, Net, Puppet, has, make, mesh, sessions, sid, vip


def alone(**settings: Any) -> tuple[Net, Host]:
    net = Net()
    return net, net.add("me", "ams1", vip("me", **settings))


def lookups(host: Host, net: Net, name: str = "shop") -> dict[str, Any]:
    counters: dict[str, Any] = host.core.stats(net.now)["vips"][name]["lookups"]
    return {key: value for key, value in counters.items() if value}


def test_what_was_made_here_is_local_and_what_came_is_remote() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    made = make(net, a, 1)
    net.run(1)
    here, there = a.core.lookup("shop", made, net.now), b.core.lookup("shop", made, net.now)
    assert (here.outcome, there.outcome) == (Outcome.LOCAL, Outcome.REMOTE)
    assert here.session is not None
    assert there.session is not None
    assert there.session.der == here.session.der == DER
    assert there.session.stream.origin == "a"
    assert (lookups(a, net), lookups(b, net)) == ({"local": 1}, {"remote": 1})


def test_what_is_shown_of_a_hit_has_no_secret() -> None:
    net, host = alone()
    found = host.core.lookup("shop", make(net, host, 1), net.now)
    assert found.session is not None
    shown = f"{found!r}{found!s}{found.session!s}"
    assert "Outcome.LOCAL" in shown
    for secret in (sid(1), DER):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_an_unknown_id_is_a_miss_and_makes_no_message() -> None:
    net = Net()
    a, _ = mesh(net, ["a", "b"])
    net.run(3)
    before = len(net.sent)
    for number in range(1000):
        found = a.core.lookup("shop", sid(number), net.now)
        assert (found.session, found.outcome, found.verdict) == (None, None, Verdict.ALLOWED)
    net.run(0)
    assert len(net.sent) == before
    assert lookups(a, net) == {"miss": 1000}


def test_a_session_lives_as_long_as_the_shorter_of_vip_and_openssl_say() -> None:
    net, host = alone(lifetime_s=100)
    long, short = make(net, host, 1, lifetime_s=1000.0), make(net, host, 2, lifetime_s=10.0)
    net.now += 9
    assert has(net, host, short)
    net.now += 2
    assert not has(net, host, short)
    net.now += 88
    assert has(net, host, long)
    net.now += 2
    assert host.core.lookup("shop", long, net.now).verdict is Verdict.LIFETIME
    assert lookups(host, net) == {"local": 2, "expired": 2}
    assert not host.core.holds("shop", long)


def test_a_lineage_ends_however_young_the_renewal() -> None:
    net, host = alone(lineage_s=100)
    made = make(net, host, 1, born_at=net.now - 90)
    net.now += 9
    assert has(net, host, made)
    net.now += 3
    assert host.core.lookup("shop", made, net.now).verdict is Verdict.LINEAGE
    assert lookups(host, net)["refused"] == {"lineage": 1}


def test_vips_of_one_group_resume_each_others_and_others_do_not() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", name="a", group="g"), vip("me", name="b", group="g"), vip("me", name="c"))
    made = make(net, host, 1, "a")
    assert has(net, host, made, "b")
    assert not has(net, host, made, "c")
    assert lookups(host, net, "b") == {"local": 1}
    assert lookups(host, net, "c") == {"miss": 1}


def test_vips_of_one_group_with_other_settings_do_not_resume_each_others() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", name="a", group="g"), vip("me", name="b", group="g", digest=b"\x09" * 32))
    made = make(net, host, 1, "a")
    assert host.core.lookup("b", made, net.now).verdict is Verdict.SETTINGS_DIFFER
    assert has(net, host, made, "a")


def test_filing_says_when_it_wants_to_be_sent() -> None:
    net = Net()
    a, _ = mesh(net, ["a", "b"])
    net.run(3)
    quiet = a.core.session_created("blog", sid(1), DER, net.now)
    assert net.now < quiet == a.core.next_deadline()
    assert a.core.session_created("shop", sid(1), DER, net.now) == a.core.next_deadline() <= net.now


def test_the_gate_is_asked_at_every_lookup() -> None:
    net, host = alone()
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    peer.says(host, Push(peer.batch(1)))
    assert has(net, host, sid(1))
    stream = host.core.duties.streams.get(peer.batch(1).key)
    assert stream is not None
    stream.terms = vip("x", reach=REACH_SERVER).terms
    assert host.core.lookup("shop", sid(1), net.now).verdict is Verdict.SENDER_REACH


def test_a_certified_session_of_another_node_is_refused_where_the_vip_no_longer_takes_them() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"], certified=True)
    net.run(3)
    made = make(net, a, 1, client_certificate=True)
    net.run(1)
    assert has(net, b, made)
    served = b.core.duties.vips.get("shop")
    assert served is not None
    served.vip = vip("b")
    assert b.core.lookup("shop", made, net.now).verdict is Verdict.CLIENT_CERTIFICATE
    assert has(net, a, made)


@pytest.mark.parametrize(("exports", "leaves"), [(False, False), (True, True)])
def test_a_certified_session_leaves_only_where_the_vip_says_so(exports: bool, leaves: bool) -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"], certified=exports)
    net.run(3)
    made = make(net, a, 1, client_certificate=True)
    net.run(12)
    assert has(net, a, made)
    assert b.core.holds("shop", made) is leaves
    assert any(made in payload for _, _, payload, _ in net.sent) is leaves


def test_an_unusable_entry_goes_and_was_no_hit() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    made = make(net, a, 1)
    net.run(1)
    assert has(net, b, made)
    b.core.session_unusable("shop", made, Verdict.DER, net.now)
    assert lookups(b, net) == {"refused": {"der": 1}}
    assert not b.core.holds("shop", made)
    assert has(net, a, made)


def test_a_removal_is_local_and_never_travels() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    made = make(net, a, 1)
    net.run(1)
    net.sent.clear()
    a.core.session_removed("shop", made)
    net.run(0.5)
    assert not has(net, a, made)
    assert has(net, b, made)
    assert not any(made in payload for _, _, payload, _ in net.sent)


def test_what_is_removed_here_does_not_come_back_by_comparing() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    made = make(net, a, 1)
    net.run(1)
    b.core.session_removed("shop", made)
    net.run(20)
    assert not has(net, b, made)


def test_what_does_not_fit_is_counted_and_not_published() -> None:
    net, host = alone(sessions=1)
    host.core.session_created("shop", sid(1), b"d" * (DER_BYTES_MAX + 1), net.now)
    host.core.session_created("shop", b"", DER, net.now)
    host.core.session_created("shop", sid(2), b"d" * 2000, net.now)
    assert sessions(host, net)["refused"] == {"too_large": 2, "no_quota": 1}
    assert sessions(host, net)["made"] == 0


def test_a_vip_that_is_not_served_is_no_error() -> None:
    net, host = alone()
    host.core.session_created("blog", sid(1), DER, net.now)
    assert host.core.lookup("blog", sid(1), net.now).verdict is Verdict.NO_TERMS
    host.core.session_unusable("blog", sid(1), Verdict.DER, net.now)
    host.core.session_removed("blog", sid(1))
    host.core.handshake("blog", "full")
    host.core.hit_not_resumed("blog")
    assert not host.core.holds("blog", sid(1))


def test_a_remembered_verdict_ends_with_either_side_s_terms() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    served = host.core.duties.vips.get("shop")
    assert served is not None
    mine, other = served.vip.terms, vip("b", "fra1", reach=REACH_EVERYWHERE).terms
    assert served.may_resume(other) is Verdict.RECEIVER_REACH
    host.core.set_vip(vip("a", reach=REACH_EVERYWHERE), net.now)
    assert served.may_resume(other) is Verdict.ALLOWED
    assert served.may_resume(replace(other, digest=b"\x02" * 32)) is Verdict.SETTINGS_DIFFER
    host.core.set_vip(vip("a", reach=mine.reach), net.now)
    assert served.may_resume(other) is Verdict.RECEIVER_REACH


def test_a_lookup_that_is_counted_by_its_caller_counts_when_that_knows_how_it_ended() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", lineage_s=3600))
    made = make(net, host, 1)
    old = make(net, host, 2, born_at=net.now - 3601)
    for session_id, verdict in ((sid(9), Verdict.ALLOWED), (made, Verdict.ALLOWED), (old, Verdict.LINEAGE)):
        assert host.core.lookup("shop", session_id, net.now, counts=False).verdict is verdict
    host.core.session_unusable("shop", made, Verdict.DER, net.now, counted=False)
    assert lookups(host, net) == {"refused": {"der": 1}}
    for outcome in (None, Outcome.LOCAL, Outcome.REMOTE, Outcome.PULLED, Outcome.PULLED):
        host.core.lookup_ended("shop", outcome)
    host.core.lookup_refused("shop", Verdict.LINEAGE)
    host.core.lookup_refused("shop", Verdict.LIFETIME)
    told = lookups(host, net)
    refused = {"der": 1, "lineage": 1}
    assert told == {"miss": 1, "local": 1, "remote": 1, "pulled": 2, "expired": 1, "refused": refused}


def test_each_count_is_of_all_that_happened_so_far() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    made = [make(net, a, number) for number in range(3)]
    net.run(1)
    for host in (a, b):
        for session_id in made[:2]:
            host.core.lookup("shop", session_id, net.now)
    assert (lookups(a, net), lookups(b, net)) == ({"local": 2}, {"remote": 2})
    assert sessions(a, net)["made"] == 3
    for session_id in made[:2]:
        for host in (a, b):
            host.core.session_unusable("shop", session_id, Verdict.DER, net.now)
    assert (lookups(a, net), lookups(b, net)) == ({"refused": {"der": 2}}, {"refused": {"der": 2}})
    for _ in range(2):
        a.core.lookup_refused("shop", Verdict.NO_TERMS)
    assert lookups(a, net)["refused"] == {"der": 2, Verdict.NO_TERMS.value: 2}


def test_what_was_found_unusable_is_no_longer_taken_by_its_id() -> None:
    net, host = alone()
    make(net, host, 1)
    host.core.session_unusable("shop", sid(1), Verdict.DER, net.now)
    puppet = Puppet(net, "p", "ams1", vip("p"))
    puppet.joins(host)
    puppet.says(host, Push(puppet.batch(1, 2)))
    assert (has(net, host, sid(1)), has(net, host, sid(2))) == (False, True)


def test_a_withdrawn_lineage_that_is_renewed_is_counted_each_time() -> None:
    net, host = alone()
    born_at = net.now
    net.run(5)
    host.core.withdraw(net.now, vip="shop")
    for number in range(3):
        make(net, host, number, born_at=born_at)
    assert sessions(host, net)["refused"] == {"withdrawn": 3}
    make(net, host, 9)
    assert has(net, host, sid(9))


def test_what_is_filed_is_numbered_without_holes_and_says_whether_the_client_showed_a_certificate() -> None:
    net, host = alone()
    puppet = Puppet(net, "p", "ams1", vip("p"))
    puppet.joins(host)
    plain = make(net, host, 1)
    certified = make(net, host, 2, client_certificate=True)
    make(net, host, 3)
    net.run(1)
    batches = [push.batch for push in puppet.hears(Push)]
    assert (batches[0].first, batches[-1].last) == (1, 2), "one with a certificate stays and takes no number"
    for session_id, shown in ((plain, False), (certified, True)):
        found = host.core.session_origin("shop", session_id)
        assert found is not None
        assert found[0].client_certificate is shown


def test_an_id_that_is_not_here_can_be_found_unusable() -> None:
    net, host = alone()
    host.core.session_unusable("shop", sid(1), Verdict.DER, net.now)
    assert lookups(host, net) == {"refused": {"der": 1}}
