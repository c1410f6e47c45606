#!/usr/bin/env bash
# libzmq 4.3.5 (pyzmq 27.3.0): ZMQ_RECONNECT_IVL_MAX never slows a link whose CURVE handshake the other side refuses.
#
# The pause between tries doubles only while TCP itself can't connect; each TCP connect starts it again at
# ZMQ_RECONNECT_IVL, before the handshake of the security mechanism has said whether the link is worth anything. Seen:
# with IVL 50 ms and IVL_MAX 5000 ms a client whose server's key is another dials more than 30 times in 6 s, where
# doubling pauses would give 7. One client left with an old key costs its server a handshake every 50 to 100 ms for ever.
#
# Exits 1 if that changes. Needs python3.11 or later and the network for pip; talks to 127.0.0.1 only, for 6 s.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -qq install pyzmq==27.3.0
"$folder/venv/bin/python" - <<'PROGRAM'
import time
import zmq
from zmq.utils.monitor import recv_monitor_message

context = zmq.Context()
public, secret = zmq.curve_keypair()
other_public, _ = zmq.curve_keypair()
server = context.socket(zmq.ROUTER)
server.curve_server, server.curve_secretkey, server.curve_publickey = 1, secret, public
port = server.bind_to_random_port("tcp://127.0.0.1")
client = context.socket(zmq.DEALER)
client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()
client.curve_serverkey = other_public
client.reconnect_ivl, client.reconnect_ivl_max, client.linger = 50, 5000, 0
monitor = client.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
client.connect(f"tcp://127.0.0.1:{port}")
ends, dials, joined = time.monotonic() + 6, 0, 0
while (left := ends - time.monotonic()) > 0:
    if monitor.poll(left * 1000):
        event = recv_monitor_message(monitor)["event"]
        dials += event == zmq.EVENT_CONNECTED
        joined += event == zmq.EVENT_HANDSHAKE_SUCCEEDED
print(f"libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}: {dials} dials in 6 s, {joined} handshakes; doubling pauses would give 7")
client.disable_monitor()
context.destroy(linger=0)
raise SystemExit(not (dials > 20 and joined == 0))
PROGRAM
