"""What a node gives to its next life, and what that takes: everything but what policy forbids today."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from meshcache.core.policy.gates import REACH_COLO, REACH_SERVER, Reach
from meshcache.core.policy.own_policy import NoOwnPolicy
from meshcache.core.values.session import Outcome
from meshcache.core.values.topology import VipNote
from meshcache.core.wire.codec import Decoder, encode
from meshcache.core.wire.messages import BATCH_BYTES_MAX, Message
from meshcache.core.wire.ticket_messages import TicketKeys
from tests.core.net import DER, Host, Net, Puppet, has, make, mesh, sid, vip


def give(net: Net, old: Host, new: Host, pieces: object = None) -> int:
    """All that there is, or these pieces, as the wire has it."""
    giving, taking = old.core.hand_over, new.core.hand_over
    wanted = giving.pieces({}) if pieces is None else pieces
    messages = [message for piece in wanted for message in giving.messages(piece, net.now)]
    taking.succeed(giving.lives(), giving.lifetimes())
    frames = [encode("before", 0, message) for message in (*messages, *giving.rest(net.now))]
    return sum(taking.take(Decoder().decode(frame).message, net.now) for frame in frames)


def tell(net: Net, new: Host, messages: Iterable[Message]) -> None:
    """As the wire has it."""
    for message in messages:
        new.core.hand_over.take(Decoder().decode(encode("before", 0, message)).message, net.now)


@pytest.mark.parametrize("reach", [REACH_COLO, REACH_SERVER])
def test_the_next_life_has_all_own_sessions_and_says_local(reach: Reach) -> None:
    net = Net()
    (old,) = mesh(net, ["a"], reach=reach)
    for number in range(200):
        make(net, old, number)
    net.run(1)
    (new,) = mesh(net, ["a"], reach=reach)
    assert give(net, old, new) == 200
    found = [new.core.lookup("shop", sid(number), net.now) for number in range(200)]
    assert {each.outcome for each in found} == {Outcome.LOCAL}


@pytest.mark.parametrize("reach", [REACH_COLO, REACH_SERVER])
def test_with_a_shorter_lifetime_no_session_lives_longer_than_if_it_had_been_made_under_it(reach: Reach) -> None:
    net = Net()
    (old,) = mesh(net, ["a"], reach=reach, lifetime_s=3600.0)
    make(net, old, 1)  # too old, made with 3600 s to live
    make(net, old, 2, client_certificate=True)
    net.run(650)
    make(net, old, 3)  # with 500 s of its 600 left
    make(net, old, 4, client_certificate=True)
    net.run(100)
    (new,) = mesh(net, ["a"], reach=reach, lifetime_s=600.0)
    give(net, old, new)
    assert [has(net, new, sid(number)) for number in (1, 2, 3, 4)] == [False, False, True, True]
    net.run(490)
    assert has(net, new, sid(3))
    net.run(20)
    assert [has(net, new, sid(number)) for number in (3, 4)] == [False, False]


def test_what_fell_out_of_the_journal_is_missing_in_the_next_life_which_can_ask_others() -> None:
    net = Net()
    (old,) = mesh(net, ["a"])
    origin = Puppet(net, "x", "ams1", vip("x"))
    for first, count in ((1, 3), (10**6, 1)):
        old.core.duties.intake.take(origin.batch(first, count), net.now)
    (new,) = mesh(net, ["a"])
    assert give(net, old, new) == 1
    stream = new.core.duties.streams.get(origin.batch(1).key)
    assert stream is not None
    assert list(stream.seen) == [(10**6, 10**6)]


def test_a_longer_lifetime_prolongs_nothing() -> None:
    net = Net()
    (old,) = mesh(net, ["a"], lifetime_s=600.0)
    make(net, old, 1)
    net.run(100)
    (new,) = mesh(net, ["a"], lifetime_s=3600.0)
    give(net, old, new)
    assert has(net, new, sid(1))
    net.run(510)
    assert not has(net, new, sid(1))


def test_what_stays_on_its_node_is_withdrawn_for_its_next_life_too() -> None:
    net = Net()
    (old,) = mesh(net, ["a"], reach=REACH_SERVER)
    make(net, old, 1)
    net.run(10)
    (new,) = mesh(net, ["a"], reach=REACH_SERVER)
    new.core.withdraw(net.now)
    give(net, old, new)
    assert not has(net, new, sid(1))


@pytest.mark.parametrize("reach", [REACH_COLO, REACH_SERVER])
def test_what_was_taken_over_stays_this_nodes_own_when_policies_change(reach: Reach) -> None:
    net = Net()
    (old,) = mesh(net, ["a"], reach=reach, certified=True)
    make(net, old, 1)
    make(net, old, 2, client_certificate=True)
    net.run(1)
    (new,) = mesh(net, ["a"], reach=reach, certified=True)
    give(net, old, new)

    def found() -> list[Outcome | None]:
        return [new.core.lookup("shop", sid(number), net.now).outcome for number in (1, 2)]

    served = vip("a", reach=reach, certified=True)
    new.core.set_vip(replace(served, note=VipNote(version=2)), net.now)
    assert found() == [Outcome.LOCAL] * 2
    for lifetime_s in (600.0, 1200.0):
        new.core.set_vip(vip("a", name="blog", lifetime_s=lifetime_s, reach=REACH_SERVER), net.now)
    new.core.set_vip(vip("a", name="blog"), net.now)
    assert found() == [Outcome.LOCAL] * 2
    new.core.follow(NoOwnPolicy(), net.now)
    assert found() == [Outcome.LOCAL] * 2
    new.core.set_vip(vip("a", reach=reach), net.now)
    assert found() == [Outcome.LOCAL] * 2, "what was made under a client certificate, where that was allowed"
    new.core.set_vip(vip("a", reach=reach, digest=b"\x02" * 32), net.now)
    assert found() == [None, None]


def test_another_node_of_that_name_gets_no_session_that_stays_on_its_server() -> None:
    """A push from a node of the same name is no inheritance."""
    net = Net()
    (old,) = mesh(net, ["a"], reach=REACH_SERVER)
    make(net, old, 1)
    net.run(1)
    (new,) = mesh(net, ["a"], reach=REACH_SERVER)
    (piece,) = old.core.hand_over.pieces({})
    (reply,) = old.core.hand_over.messages(piece, net.now)
    assert new.core.duties.intake.take(reply.batch, net.now) is None
    assert not has(net, new, sid(1))


def test_sessions_under_client_certificates_go_along_and_stay() -> None:
    net = Net()
    (old, peer) = mesh(net, ["a", "b"])
    net.run(3)
    make(net, old, 1, client_certificate=True)
    net.run(3)
    old.up = False
    (new,) = mesh(net, ["a"])
    assert give(net, old, new) == 1
    net.run(10)
    assert new.core.lookup("shop", sid(1), net.now).outcome is Outcome.LOCAL
    assert not has(net, peer, sid(1))


def test_what_came_from_peers_goes_along_and_isnt_fetched_again() -> None:
    net = Net()
    (old, peer) = mesh(net, ["a", "b"])
    net.run(3)
    for number in range(50):
        make(net, peer, number)
    net.run(3)
    old.up = False
    (new,) = mesh(net, ["a"])
    give(net, old, new)
    net.run(10)
    assert new.core.lookup("shop", sid(7), net.now).outcome is Outcome.REMOTE
    assert new.core.stats(net.now)["gossip"]["repaired"] == 0


def test_only_what_has_come_since_is_given_the_second_time() -> None:
    net = Net()
    (old,) = mesh(net, ["a"])
    for number in range(100):
        make(net, old, number)
    net.run(1)
    marks = old.core.hand_over.marks()
    assert [len(piece.ids) for piece in old.core.hand_over.pieces({})] == [64, 36]
    make(net, old, 100)
    net.run(1)
    (piece,) = old.core.hand_over.pieces(marks)
    assert (piece.first, piece.last, piece.ids) == (101, 101, [sid(100)])
    assert sid(100).hex() not in repr(piece)


def test_what_was_withdrawn_stays_withdrawn() -> None:
    net = Net()
    (old, late) = mesh(net, ["a", "z"])
    net.run(3)
    make(net, late, 1)
    net.run(3)
    late.stalled_until = net.now + 1e6
    old.core.withdraw(net.now, vip="shop")
    net.run(10)
    (new,) = mesh(net, ["a"])
    give(net, old, new)
    (piece,) = late.core.hand_over.pieces({})
    (reply,) = late.core.hand_over.messages(piece, net.now)
    new.core.duties.intake.take(reply.batch, net.now)
    assert not has(net, new, sid(1))


def a_vip_is_withdrawn(net: Net, host: Host) -> None:
    host.core.withdraw(net.now, vip="shop")


def one_is_withdrawn(net: Net, host: Host) -> None:
    host.core.withdraw_session("shop", sid(1), net.now)


def one_is_used_up(net: Net, host: Host) -> None:
    host.core.consuming.consumed("shop", sid(1), net.now)


def one_is_dropped(_: Net, host: Host) -> None:
    host.core.session_removed("shop", sid(1))


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("reach", [REACH_COLO, REACH_SERVER])
@pytest.mark.parametrize("end", [a_vip_is_withdrawn, one_is_withdrawn, one_is_used_up, one_is_dropped])
def test_what_goes_after_it_was_given_doesnt_come_back_with_the_next_life(
    end: Callable[[Net, Host], None], reach: Reach, newest_first: bool
) -> None:
    net = Net()
    (old,) = mesh(net, ["a"], reach=reach)
    for number in range(100):
        make(net, old, number)
    net.run(1)
    giving = old.core.hand_over
    early = [message for piece in giving.pieces({}) for message in giving.messages(piece, net.now)]
    given = [(each.batch.terms.group, each.batch.entries.ids) for each in early if each.batch]
    end(net, old)
    net.run(1)
    messages = [*early, *giving.rest(net.now), *giving.gone(given)]
    (new,) = mesh(net, ["a"], reach=reach)
    new.core.hand_over.succeed(giving.lives(), giving.lifetimes())
    tell(net, new, reversed(messages) if newest_first else messages)
    left = {number for number in range(100) if has(net, new, sid(number))}
    assert left == {number for number in range(100) if has(net, old, sid(number))}
    assert 1 not in left
    assert len(left) == (0 if end is a_vip_is_withdrawn else 99)


def test_a_withdraw_ends_what_was_given_before_it_came() -> None:
    net = Net()
    (old,) = mesh(net, ["a"])
    make(net, old, 1)
    net.run(1)
    (piece,) = old.core.hand_over.pieces({})
    early = old.core.hand_over.messages(piece, net.now)
    old.core.withdraw(net.now, vip="shop")
    (new,) = mesh(net, ["a"])
    tell(net, new, early)
    assert has(net, new, sid(1))
    tell(net, new, old.core.hand_over.rest(net.now))
    assert not has(net, new, sid(1))
    assert new.core.withdraws.gone("a", 1, old.core.withdraws.number) == 1


def test_what_was_used_up_is_so_for_the_next_life_when_a_copy_is_fetched() -> None:
    net = Net()
    (old, late) = mesh(net, ["a", "z"])
    net.run(3)
    make(net, late, 1)
    net.run(3)
    late.stalled_until = net.now + 1e6
    old.core.consuming.consumed("shop", sid(1), net.now)
    net.run(10)
    (new,) = mesh(net, ["a"])
    give(net, old, new)
    (piece,) = late.core.hand_over.pieces({})
    (reply,) = late.core.hand_over.messages(piece, net.now)
    assert reply.batch is not None
    assert reply.batch.entries.ids
    new.core.duties.intake.take(reply.batch, net.now, whole=False, pulled=True)
    assert not has(net, new, sid(1))


def test_other_settings_take_nothing() -> None:
    net = Net()
    (old,) = mesh(net, ["a"])
    make(net, old, 1)
    make(net, old, 2, client_certificate=True)
    net.run(1)
    new = net.add("a", "ams1", vip("a", digest=b"\x02" * 32))
    give(net, old, new)
    assert not has(net, new, sid(1))
    assert not has(net, new, sid(2))


def test_large_sessions_go_in_batches_that_the_wire_takes() -> None:
    net = Net()
    (old,) = mesh(net, ["a"])
    large = DER * 16
    for number in range(64):
        old.core.session_created("shop", sid(number), large, net.now)
    net.run(1)
    assert 64 * len(large) > BATCH_BYTES_MAX
    (new,) = mesh(net, ["a"])
    assert give(net, old, new) == 64
    assert has(net, new, sid(0))


def keys(net: Net, host: Host) -> tuple[bytes, list[bytes]]:
    """The name of the key that it encrypts with, and of those that open."""
    found = host.core.tickets.of_vip("shop", net.now)
    assert found is not None
    return found.encrypting.name if found.encrypting else b"", [key.name for key in found.opening]


@pytest.mark.parametrize("reach", [REACH_COLO, REACH_SERVER])
def test_ticket_keys_go_along_with_their_ages_and_the_one_that_encrypts(reach: Reach) -> None:
    net = Net()
    (old,) = mesh(net, ["a"], reach=reach, rotate_s=600.0)
    net.run(700)
    before = keys(net, old)
    assert len(before[1]) == 2
    old.core.leave(net.now, goodbye=False)
    (new,) = mesh(net, ["a"], reach=reach, rotate_s=600.0)
    give(net, old, new)
    assert keys(net, new) == before
    ages = [[key["age_s"] for key in host.core.tickets.show(net.now)[0]["keys"]] for host in (old, new)]
    assert ages[0] == pytest.approx(ages[1], abs=0.2)
    net.run(10)
    assert keys(net, new) == before, "and goes on doing so once it has looked for peers"
    old.core.tickets.forget(net.now)
    assert keys(net, old) == (b"", [])
    net.run(600)
    assert keys(net, new)[1][1:] == before[1], "the next is made in its time"


def test_a_key_that_not_all_have_yet_is_not_used_sooner_by_the_next_life() -> None:
    net = Net()
    (old, peer) = mesh(net, ["a", "b"], rotate_s=600.0)
    net.run(30)
    peer.up = False
    old.core.tickets.rotate("shop", net.now)
    encrypting, opening = keys(net, old)
    assert opening.index(encrypting) == 1
    (new,) = mesh(net, ["a"], rotate_s=600.0)
    give(net, old, new)
    assert keys(net, new) == (encrypting, opening)
    new.core.handle_timer(net.now)
    assert keys(net, new) == (encrypting, opening), "it is looking for its peers"


def test_ticket_keys_of_another_border_are_not_taken() -> None:
    net = Net()
    (old,) = mesh(net, ["a"], rotate_s=600.0)
    net.run(30)
    before = keys(net, old)
    (new,) = mesh(net, ["a"], reach=REACH_SERVER, rotate_s=600.0)
    give(net, old, new)
    assert not set(before[1]) & set(keys(net, new)[1])
    new.core.hand_over.take(TicketKeys(bytes(16), ()), net.now)


def test_a_goodbye_wipes_the_keys() -> None:
    net = Net()
    (old,) = mesh(net, ["a"], rotate_s=600.0)
    net.run(30)
    old.core.leave(net.now)
    assert keys(net, old) == (b"", [])
    assert not old.core.tickets.bequeathed(net.now)
