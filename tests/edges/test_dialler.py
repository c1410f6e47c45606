import socket
import time

import pytest
import zmq

from meshcache.edges import dialler as dialler_module
from meshcache.edges.handshakes import LinkDown, Refused
from meshcache.edges.keyring import Keyring
from tests.support.transports import KEYRING, Make, Node, in_a_process, no_descriptor_for, open_descriptors, until


def test_nothing_is_sent_where_nobody_was_dialled(make: Make) -> None:
    assert make().transport.send("127.0.0.1:1", b"hello") is False


def test_nothing_is_queued_for_an_address_that_does_not_answer(make: Make) -> None:
    node = make()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert node.transport.dial(address)
        assert node.transport.send(address, b"hello") is False


@pytest.mark.parametrize("address", ["host.example:1", "ipc:///tmp/x", "127.0.0.1:0", "127.0.0.1:1;127.0.0.1:2"])
def test_only_ip_addresses_are_dialled(make: Make, address: str) -> None:
    node = make()
    assert node.transport.dial(address) is False
    assert node.transport.links == frozenset()


def test_no_more_links_than_the_maximum(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialler_module, "LINKS_MAX", 2)
    node = make()
    assert [node.transport.dial(f"127.0.0.1:{port}") for port in (1, 2, 3, 2)] == [True, True, False, True]
    node.transport.hangup("127.0.0.1:1")
    assert node.transport.dial("127.0.0.1:3")


def test_a_link_that_is_refused_rests_ever_longer_and_comes_up_at_once_with_the_right_key(make: Make) -> None:
    ours, theirs = make(), make(Keyring.new())
    theirs.transport.dial(ours.transport.address)
    began = time.monotonic()
    while time.monotonic() - began < 3:
        theirs.transport.tend()
        time.sleep(0.02)
    refused = sum(isinstance(event, Refused) for event in theirs.seen)
    assert 2 <= refused <= 7  # libzmq by itself: about thirty, and so for ever
    theirs.transport.use(KEYRING)
    theirs.send(ours, b"in")
    ours.receives(b"in")


def test_who_listens_there_without_curve_is_tried_again_until_a_node_does(make: Make) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.ROUTER)
    port = plain.bind_to_random_port("tcp://127.0.0.1")
    one = make()
    one.transport.dial(f"127.0.0.1:{port}")
    until(lambda: any(isinstance(event, Refused) for event in one.seen))
    context.destroy(0)
    node = make(listen=f"127.0.0.1:{port}")
    one.send(node, b"at last")
    node.receives(b"at last")


def test_a_peer_that_comes_back_at_the_same_address_is_connected_again(make: Make) -> None:
    one = make()
    first = Node()
    first.transport.bind()
    address = first.transport.address
    one.send(first, b"before")
    first.receives(b"before")
    first.transport.close()
    until(lambda: LinkDown(address) in one.seen)
    second = make(listen=address)
    one.send(second, b"after")
    second.receives(b"after")


def test_a_message_to_several_reaches_all_and_those_that_cannot_be_reached_are_told(make: Make) -> None:
    one, *others = make(), make(), make()
    for number, other in enumerate(others):
        one.send(other, b"link %d" % number)
        other.receives(b"link %d" % number)
    addresses = [other.transport.address for other in others]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        waiting = f"127.0.0.1:{silent.getsockname()[1]}"
        assert one.transport.dial(waiting)
        assert one.transport.send_each([waiting, *addresses, "127.0.0.1:1"], b"to all") == [waiting, "127.0.0.1:1"]
    for other in others:
        other.receives(b"to all")
    assert one.transport.send_each([], b"to nobody") == []
    assert one.transport.sent_to >= set(addresses)


def test_a_full_queue_is_told_and_holds_up_nobody_else(make: Make) -> None:
    one, other, slow = make(), make(), make()
    for each in (other, slow):
        one.send(each, b"link")
        each.receives(b"link")
    stuck = slow.transport.address
    until(lambda: one.transport.send_each([stuck], bytes(100_000)) == [stuck])
    assert one.transport.send_each([stuck, other.transport.address], b"through") == [stuck]
    other.receives(b"through")


def test_where_no_descriptor_is_left_the_link_rests_and_is_made_later(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dialler_module, "SHORTAGE_S", 0.01)
    one, *others = make(), make(), make()
    addresses = [other.transport.address for other in others]
    began = time.monotonic()
    with no_descriptor_for(zmq.DEALER):
        assert [one.transport.dial(address) for address in addresses] == [True, True]
        until(lambda: one.transport.tend() or time.monotonic() > began + 0.1)
    assert one.transport.links == set(addresses)
    for other in others:
        one.send(other, b"at last")
        other.receives(b"at last")
    assert caplog.text.count("no connection can be made") == 1, "said once"


def test_a_shortage_when_the_next_key_is_tried_costs_no_link(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialler_module, "SHORTAGE_S", 0.01)
    added = Keyring.new().add()
    node, behind = make(added.promote()), make(added)
    behind.transport.dial(node.transport.address)
    until(behind.refused)
    with no_descriptor_for(zmq.DEALER):
        behind.transport.tend()
    behind.send(node, b"in")
    node.receives(b"in")


def test_nor_does_one_at_the_end_of_its_rest(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dialler_module, "SHORTAGE_S", 0.01)
    keyring = Keyring.new()
    ours, theirs = make(), make(keyring)
    theirs.transport.dial(ours.transport.address)
    until(theirs.refused)
    theirs.transport.tend()
    with no_descriptor_for(zmq.DEALER):
        until(lambda: theirs.transport.tend() or "no connection can be made" in caplog.text)
    ours.transport.use(keyring)
    theirs.send(ours, b"in")
    ours.receives(b"in")


def test_where_the_last_descriptor_went_to_the_connection_itself_it_is_given_back() -> None:
    in_a_process(dialling_without_a_descriptor_for_the_monitor)


def dialling_without_a_descriptor_for_the_monitor() -> None:
    node, other = Node(), Node()
    for each in (node, other):
        each.transport.bind()
    address = other.transport.address

    def dial_and_hang_up() -> None:
        assert node.transport.dial(address)
        until(lambda: node.transport.is_up(address))
        node.transport.hangup(address)

    before = open_descriptors()
    with no_descriptor_for(zmq.PAIR):
        assert node.transport.dial(address)
    node.transport.hangup(address)
    for _ in range(10):
        dial_and_hang_up()
    until(lambda: open_descriptors() <= before)
    for each in (node, other):
        each.transport.close()
