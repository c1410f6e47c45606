#!/usr/bin/env bash
# libzmq 4.3.5 (pyzmq 27.3.0): ZMQ_ROUTER_HANDOVER doesn't disconnect the peer that loses its routing id; it goes on talking to nobody.
#
# zmq_setsockopt(3) says that the ROUTER hands the connection over to the new client and disconnects the existing one. What ends
# is the pipe inside the ROUTER. Seen: the old peer's TCP connection stays established, neither side's monitor tells of a
# disconnect, all its sends succeed and none arrives. Once the newcomer has left, the routing id is unreachable though the old
# peer is still there: it never dials again. Only heartbeats on the peer's side (off by default) notice. (libzmq's issue
# 4407 is about the file descriptors that this costs.) It hurts whoever names peers by their host and starts a second one of
# a name for a moment, say during a deployment: the first looks healthy and is deaf and dumb until it is restarted.
#
# Exits 1 if that changes. Needs python3.11 or later, Linux and the network for pip; talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -qq install pyzmq==27.3.0
"$folder/venv/bin/python" - <<'PROGRAM'
import pathlib
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

context = zmq.Context()
context.linger = 0
router = context.socket(zmq.ROUTER)
router.router_handover = router.router_mandatory = 1
port = router.bind_to_random_port("tcp://127.0.0.1")
ends = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
router_ends = router.get_monitor_socket(ends)


def peer():
    dealer = context.socket(zmq.DEALER)
    dealer.routing_id = b"edge-1"
    monitor = dealer.get_monitor_socket(ends)
    dealer.connect(f"tcp://127.0.0.1:{port}")
    dealer.send(b"here")
    assert router.poll(5000) and router.recv_multipart() == [b"edge-1", b"here"]
    return dealer, monitor


def told(monitor):
    count = 0
    while monitor.poll(0):
        recv_monitor_message(monitor)
        count += 1
    return count


def established():
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


old, old_ends = peer()
new, _ = peer()
for _ in range(5):
    old.send(b"hello?", zmq.DONTWAIT)
arrived = bool(router.poll(2000))
router.send_multipart([b"edge-1", b"for you"])
newcomer_hears = bool(new.poll(2000))
while_both = (arrived, newcomer_hears, bool(old.poll(0)), established(), told(old_ends), told(router_ends))
print(f"libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}")
print("both there: old's messages arrive %s; new hears %s, old hears %s; connections at the router %d; ends told to old %d, to router %d" % while_both)
new.disable_monitor()
new.close()
time.sleep(2)
try:
    router.send_multipart([b"edge-1", b"for you"])
    reachable = True
except zmq.ZMQError:
    reachable = False
old.send(b"hello?", zmq.DONTWAIT)
after = (reachable, bool(router.poll(2000)), established(), told(old_ends))
print("new has left: edge-1 is reachable %s; old's messages arrive %s; connections at the router %d; ends told to old %d" % after)
old.disable_monitor()
router.disable_monitor()
context.destroy(linger=0)
raise SystemExit(while_both != (False, True, False, 2, 0, 0) or after != (False, False, 1, 0))
PROGRAM
