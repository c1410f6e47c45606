import logging
import select
import threading
import time

import pytest
import zmq
from zmq.utils import z85

from meshcache.core.values.topology import OWN_LINK
from meshcache.edges import zap
from meshcache.edges.handshakes import AnswerWaits, LinkDown, LinkUp, Refusal, Refused
from meshcache.edges.keyring import Keyring
from meshcache.edges.sockets import SEND_QUEUE_MAX
from meshcache.errors import TransportError
from tests.support.transports import KEYRING, Make, Node, here, member_client, raw_client, until
from tests.support.waiting import wait_until


def test_a_message_arrives_as_it_was_sent_and_names_its_connection(make: Make) -> None:
    one, other = make(), make()
    one.send(other, b"first")
    other.receives(b"first")
    one.send(other, b"second")
    connections: set[bytes] = set()

    def arrived() -> bool:
        connections.update(connection for connection, _ in other.transport.receive(10))
        return bool(connections)

    until(arrived)
    assert len(connections) == 1
    until(lambda: LinkUp(other.transport.address) in one.seen)  # the authenticator's thread may tell of it later


def test_who_names_its_own_connection_is_not_heard(make: Make) -> None:
    """Else a member could take the names of our own links, and nobody who is on one of them would be heard there."""
    node, other = make(), make()
    node.send(other, b"hello")
    other.transport.way_back("127.0.0.1:1", here(other)[0])
    assert other.transport.send("127.0.0.1:1", b"back")
    link = here(node)[0]
    assert link.startswith(OWN_LINK)
    with zmq.Context() as context:
        client = member_client(context, node, link)
        assert client.poll(60_000, zmq.POLLOUT)
        client.send(b"as if it came on the link")
        assert here(node) == (b"", b"")
        client.close()
    assert other.transport.send("127.0.0.1:1", b"again")
    assert here(node) == (link, b"again")


def test_both_ways_are_connections_of_their_own(make: Make) -> None:
    one, other = make(), make()
    one.send(other, b"there")
    other.send(one, b"back")
    other.receives(b"there")
    one.receives(b"back")


def test_a_full_queue_is_said_at_once_and_costs_the_others_nothing(make: Make) -> None:
    one, slow, other = make(), make(), make()
    one.send(slow, b"x")
    one.send(other, b"x")
    sent = 0
    began = time.monotonic()
    while one.transport.send(slow.transport.address, bytes(64 * 1024)):
        sent += 1
        assert sent < 20_000, "a peer that never reads must be noticed"
    assert time.monotonic() - began < 10
    assert sent >= SEND_QUEUE_MAX // 2
    one.send(other, b"prompt")
    other.receives(b"prompt")


def test_another_mesh_key_is_refused_counted_and_logged_once_on_both_sides(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = make(), make(Keyring.new())
    with caplog.at_level(logging.WARNING, "meshcache"):
        theirs.transport.dial(ours.transport.address)
        until(lambda: sum(isinstance(event, Refused) for event in ours.seen) >= 3)
        until(theirs.refused)

        # A connection that is over before this thread comes to look at it has no address any more.
        def named() -> bool:
            theirs.transport.tend()
            return any("a connection from 127.0.0.1" in record.getMessage() for record in caplog.records)

        until(named, 30)
    assert ours.refused() == {Refusal.OTHER_KEY}
    assert ours.transport.stats()["refused"]["another mesh key"] >= 3  # type: ignore[index]
    assert theirs.refused() == {Refusal.CLOSED}
    lines = [record.getMessage() for record in caplog.records]
    assert sum("a connection from 127.0.0.1: another mesh key" in line for line in lines) == 1
    assert sum(f"the connection to {ours.transport.address}" in line for line in lines) == 1
    assert theirs.transport.send(ours.transport.address, b"hello") is False


def test_knowing_the_listeners_key_is_not_enough(make: Make) -> None:
    """The public key of the listener is no secret on the wire; the client's own key is what lets it in."""
    node = make()
    with zmq.Context() as context:
        public, secret = zmq.curve_keypair()
        client = raw_client(context, node.transport.address)
        client.setsockopt(zmq.CURVE_SERVERKEY, KEYRING.current.listener.public)
        client.setsockopt(zmq.CURVE_PUBLICKEY, public)
        client.setsockopt(zmq.CURVE_SECRETKEY, secret)
        client.connect(f"tcp://{node.transport.address}")
        until(lambda: node.refused() == {Refusal.OTHER_KEY})
        with pytest.raises(zmq.Again):
            client.send(b"hello", zmq.NOBLOCK)
        client.close()


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN"])
def test_clients_without_curve_are_refused(make: Make, mechanism: str) -> None:
    node = make()
    with zmq.Context() as context:
        client = raw_client(context, node.transport.address)
        if mechanism == "PLAIN":
            client.setsockopt(zmq.PLAIN_USERNAME, b"admin")
            client.setsockopt(zmq.PLAIN_PASSWORD, b"admin")
        client.connect(f"tcp://{node.transport.address}")
        until(node.refused)
        assert node.refused() <= {Refusal.NOT_CURVE, Refusal.CLOSED}  # whichever end notices first hangs up
        with pytest.raises(zmq.Again):
            client.send(b"hello", zmq.NOBLOCK)
        client.close()
    assert node.transport.receive(10) == []


def test_nobody_gets_in_while_nobody_says_who_may_come_in(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZAP_ENFORCE_DOMAIN: without a handler even a member's key opens nothing."""
    member = make()
    monkeypatch.setattr(zap, "ENDPOINT", "inproc://where-libzmq-does-not-look")
    node = make()
    member.transport.dial(node.transport.address)
    until(lambda: member.refused() or node.transport.stats()["succeeded"])
    assert node.transport.stats()["succeeded"] == 0
    assert member.transport.send(node.transport.address, b"hello") is False


def test_the_key_that_is_shown_is_the_derived_one_and_never_the_mesh_key() -> None:
    assert z85.decode(KEYRING.current.dialler.secret) != KEYRING.current.secret


@pytest.mark.parametrize(
    "name, value, message", [("has", lambda _: False, "no CURVE"), ("zmq_version_info", lambda: (4, 3, 2), "CVE-2020")]
)
def test_a_libzmq_that_can_not_be_trusted_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    monkeypatch.setattr(zmq, name, value)
    with pytest.raises(TransportError, match=message):
        Node()


def test_closing_lets_the_last_message_leave_and_leaves_no_thread(make: Make) -> None:
    before = threading.active_count()
    other = make()
    one = Node()
    one.transport.bind()
    one.send(other, b"first")
    other.receives(b"first")
    assert one.transport.send(other.transport.address, b"leaving")
    one.transport.close()
    other.receives(b"leaving")
    one.transport.close()
    assert one.transport.receive(1) == []
    assert not one.transport.send(other.transport.address, b"too late")
    assert not one.transport.dial("127.0.0.1:1")
    assert threading.active_count() == before + 1


def test_closing_is_bounded_when_a_peer_never_reads(make: Make) -> None:
    slow = make()
    one = Node()
    one.transport.bind()
    one.send(slow, b"x")
    while one.transport.send(slow.transport.address, bytes(64 * 1024)):
        pass
    began = time.monotonic()
    one.transport.close()
    assert time.monotonic() - began < 5


def test_the_descriptor_wakes_a_poller_for_every_message_it_has_to_see(make: Make) -> None:
    import select

    one, other = make(), make()
    one.send(other, b"first")
    other.receives(b"first")
    poller = select.poll()
    poller.register(other.transport.fileno(), select.POLLIN)
    for number in range(20):
        assert other.transport.receive(10) == []
        one.send(other, b"%d" % number)
        assert poller.poll(5000)
        other.receives(b"%d" % number)


def test_who_can_not_wait_gets_nothing_while_another_thread_uses_the_sockets(make: Make) -> None:
    one, other = make(), make()
    one.send(other, b"first")
    with other.transport.lock:
        assert other.transport.try_receive(1) == []
    got: list[bytes] = []

    def arrived() -> bool:
        got.extend(payload for _, payload in other.transport.try_receive(1))
        return bool(got)

    until(arrived)
    assert got == [b"first"]


class TestRotation:
    """Nodes at neighbouring steps of a key rotation talk in both directions."""

    def test_at_every_pair_of_neighbouring_steps(self, make: Make) -> None:
        old = Keyring.new()
        added = old.add()
        promoted = added.promote()
        retired = promoted.retire()
        for number, (earlier, later) in enumerate([(old, added), (added, promoted), (promoted, retired)]):
            one, other = make(earlier), make(later)
            one.send(other, b"there %d" % number)
            other.send(one, b"back %d" % number)
            other.receives(b"there %d" % number)
            one.receives(b"back %d" % number)

    def test_live_step_by_step_with_the_connections_there_are(self, make: Make) -> None:
        old = Keyring.new()
        added = old.add()
        promoted = added.promote()
        one, other = make(old), make(old)
        address = one.transport.address
        for number, keyring in enumerate((added, promoted, promoted.retire())):
            for node in (one, other):
                node.transport.use(keyring)
                one.gets_through_to(other, b"there %d" % number)
                other.gets_through_to(one, b"back %d" % number)
        assert one.transport.address == address

    def test_who_holds_only_the_retired_key_is_out_and_stays_out(self, make: Make) -> None:
        old = Keyring.new()
        node, behind = make(old), make(old)
        behind.send(node, b"before")
        node.receives(b"before")
        node.transport.use(old.add().promote().retire())

        def out() -> bool:
            assert node.transport.receive(10) == []  # libzmq ends connections when their socket is next looked at
            return LinkDown(node.transport.address) in behind.seen and bool(behind.refused())

        until(out)
        assert behind.transport.send(node.transport.address, b"after") is False
        until(lambda: Refusal.OTHER_KEY in node.refused())  # its authenticator answers first, and says so then

    def test_accepting_one_more_key_disturbs_no_connection(self, make: Make) -> None:
        old = Keyring.new()
        node, peer = make(old), make(old)
        peer.send(node, b"before")
        node.receives(b"before")
        node.transport.use(old.add())
        assert peer.transport.send(node.transport.address, b"after")
        node.receives(b"after")
        assert not [event for event in peer.seen if isinstance(event, LinkDown)]


class TestOneWay:
    """A link that works one way carries both."""

    def test_what_is_for_who_can_not_be_reached_goes_back_on_its_own_connection(self, make: Make) -> None:
        reached, hidden = make(), make()
        nowhere = "127.0.0.1:1"
        reached.transport.dial(nowhere)
        hidden.send(reached, b"hello")
        connection = here(reached)[0]
        assert not reached.transport.send(nowhere, b"lost")
        reached.transport.way_back(nowhere, connection)
        assert reached.transport.send(nowhere, b"back")
        name, payload = here(hidden)
        assert (payload, name.startswith(OWN_LINK)) == (b"back", True)
        assert not reached.transport.is_up(nowhere)
        wait_until(lambda: hidden.transport.is_up(reached.transport.address), what="its monitor was read")

    def test_answers_are_seen_by_a_poller_also_among_messages_that_are_sent(self, make: Make) -> None:
        reached, hidden = make(), make()
        hidden.send(reached, b"hello")
        reached.transport.way_back("127.0.0.1:1", here(reached)[0])
        poller = select.poll()
        poller.register(hidden.transport.fileno(), select.POLLIN)
        for number in range(300):
            answer = b"%d" % number
            hidden.send(reached, b"more")
            assert reached.transport.send("127.0.0.1:1", answer)
            hidden.send(reached, b"more")  # takes in libzmq's signal that an answer came
            got: list[bytes] = []
            deadline = time.monotonic() + 10
            while answer not in got:
                told = AnswerWaits(reached.transport.address) in hidden.seen
                assert told or poller.poll(1000) or hidden.transport.sent_to, "nobody would look"
                hidden.seen.clear()
                got += [payload for _, payload in hidden.transport.receive(100)]
                assert time.monotonic() < deadline
            reached.transport.receive(100)

    def test_what_comes_is_seen_by_a_poller_also_while_messages_go_back(self, make: Make) -> None:
        reached, hidden = make(), make()
        hidden.send(reached, b"hello")
        reached.transport.way_back("127.0.0.1:1", here(reached)[0])
        poller = select.poll()
        poller.register(reached.transport.fileno(), select.POLLIN)
        for number in range(300):
            asked = b"%d" % number
            hidden.send(reached, asked)
            assert reached.transport.send("127.0.0.1:1", b"back")  # takes in libzmq's signal that something came
            got: list[bytes] = []
            deadline = time.monotonic() + 10
            while asked not in got:
                told = AnswerWaits("127.0.0.1:1") in reached.seen
                assert told or poller.poll(1000), "nobody would look"
                reached.seen.clear()
                got += [payload for _, payload in reached.transport.receive(100)]
                assert time.monotonic() < deadline
            hidden.transport.receive(100)

    def test_who_can_be_reached_is_sent_nothing_on_its_own_connection(self, make: Make) -> None:
        one, other = make(), make()
        other.send(one, b"hello")
        one.transport.way_back(other.transport.address, here(one)[0])
        one.transport.dial(other.transport.address)
        until(lambda: one.transport.is_up(other.transport.address))
        assert one.transport.send(other.transport.address, b"direct")
        assert not here(other)[0].startswith(OWN_LINK)

    def test_a_connection_that_ended_takes_nothing_any_more(self, make: Make) -> None:
        reached, hidden = make(), make()
        hidden.send(reached, b"hello")
        reached.transport.way_back("127.0.0.1:1", here(reached)[0])
        hidden.transport.hangup(reached.transport.address)
        until(lambda: not reached.transport.send("127.0.0.1:1", b"gone"))
        hidden.send(reached, b"again")
        name = here(reached, b"again")[0]
        reached.transport.way_back("127.0.0.1:1", name)
        assert reached.transport.send("127.0.0.1:1", b"back")
        assert here(hidden, b"back")[0].startswith(OWN_LINK)
