"""Makes the mesh's ZeroMQ sockets with every option that keeps them private and bounded; uses none of them.

The options are those of zmq_setsockopt(3); each number has its reason.
"""

from __future__ import annotations

from random import Random

import zmq

from meshcache.edges import zap
from meshcache.edges.keyring import CurveKeys, MeshKey
from meshcache.errors import TransportError

LIBZMQ_MIN = (4, 3, 3)
"""Before it, a raw TCP client could starve a CURVE server (CVE-2020-15166)."""

MESSAGE_BYTES_MAX = 1024 * 1024
"""A batch is 64 KiB; a peer that sends more than 1 MiB in one frame is cut off by libzmq."""

SEND_QUEUE_MAX = 256
"""Messages waiting for one peer: half a second of batches at 2 ms. Then the core is told, and repairs later."""

RECEIVE_QUEUE_MAX = 256
"""Messages of one peer waiting for us; then TCP makes that peer wait, and nobody else."""

BACKLOG = 512
"""Joiners whose connections wait to be accepted: all nodes of a colo that starts at once."""

HANDSHAKE_MS = 5000
CONNECT_MS = 5000
HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS = 2000, 6000
"""libzmq's own, which end dead connections; that a node's Python is alive only the core's heartbeats show."""

RECONNECT_MS, RECONNECT_MS_MAX = 100, 5000
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 30, 10, 3

_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)  # plain numbers: as enums they take as long again


def make_router(context: zmq.Context[zmq.Socket[bytes]], key: MeshKey, listen: str) -> zmq.Socket[bytes]:
    """Return the socket that receives from everybody the authenticator lets in; not bound yet."""
    router = context.socket(zmq.ROUTER)
    _set_common(router)
    set_keys(router, key.listener)
    router.setsockopt(zmq.CURVE_SERVER, 1)
    router.setsockopt(zmq.ZAP_DOMAIN, zap.DOMAIN)
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without it, an authenticator that is gone lets everybody in
    router.setsockopt(zmq.ROUTER_HANDOVER, 0)  # a second connection never takes over the id of the first
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an answer to a connection that is gone is refused, not swallowed
    router.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE_MAX)
    router.setsockopt(zmq.SNDHWM, SEND_QUEUE_MAX)
    router.setsockopt(zmq.BACKLOG, BACKLOG)
    router.setsockopt(zmq.IPV6, int(listen.startswith("[")))
    return router


def make_dealer(context: zmq.Context[zmq.Socket[bytes]], key: MeshKey, address: str, rng: Random) -> zmq.Socket[bytes]:
    """Return the socket that sends to one address, whose listener is expected to use this key; not connected yet.

    Where nobody listens libzmq tries again after pauses that double. With a maximum they have no random part of their
    own (zmq_setsockopt(3), ZMQ_RECONNECT_IVL_MAX), so each socket gets its own first and last one.
    """
    dealer = context.socket(zmq.DEALER)
    _set_common(dealer)
    set_keys(dealer, key.dialler)
    dealer.setsockopt(zmq.CURVE_SERVERKEY, key.listener.public)
    dealer.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a peer whose handshake isn't done
    dealer.setsockopt(zmq.SNDHWM, SEND_QUEUE_MAX)
    dealer.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE_MAX)
    dealer.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
    dealer.setsockopt(zmq.RECONNECT_IVL, rng.randint(RECONNECT_MS // 2, RECONNECT_MS))
    dealer.setsockopt(zmq.RECONNECT_IVL_MAX, rng.randint(RECONNECT_MS_MAX // 2, RECONNECT_MS_MAX))
    dealer.setsockopt(zmq.IPV6, int(address.startswith("[")))
    return dealer


def _set_common(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT)


def set_keys(socket: zmq.Socket[bytes], keys: CurveKeys) -> None:
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)


def has_message(socket: zmq.Socket[bytes]) -> bool:
    """Return whether a message can be received now. Where none can, the socket's descriptor tells of the next one."""
    return bool(int(socket.get(_EVENTS)) & _POLLIN)


def monitor_socket(
    context: zmq.Context[zmq.Socket[bytes]], watched: zmq.Socket[bytes], events: int, endpoint: str
) -> zmq.Socket[bytes]:
    """Have libzmq say what becomes of a socket's connections. Return the socket where it says so, which may be closed
    only once the other has stopped its monitor.

    libzmq's I/O thread, which carries all messages of the mesh, waits for ever where there is no reader or its queue is
    full, and whoever stops the monitor waits for that thread, with the interpreter's lock, which the reader needs. So
    the reader is made first, since no descriptor may be left for it, and its queue has no maximum of messages: see
    `handshakes.BEHIND_S_MAX`. pyzmq's own `get_monitor_socket` does neither.

    Raises ZMQError where nothing can be made; then there is no monitor.
    """
    reader = context.socket(zmq.PAIR)
    try:
        reader.setsockopt(zmq.LINGER, 0)
        reader.setsockopt(zmq.RCVHWM, 0)
        watched.monitor(endpoint, events)
    except zmq.ZMQError:
        reader.close(0)
        raise
    # After `monitor`: who connects to what isn't there yet, and never is, keeps its descriptor until the context ends.
    # It takes no descriptor more, and an event meanwhile waits for it.
    reader.connect(endpoint)
    return reader


def close_socket(socket: zmq.Socket[bytes], linger_ms: int) -> None:
    socket.disable_monitor()
    socket.close(linger_ms)


def check_library() -> None:
    if not zmq.has("curve"):
        raise TransportError("this libzmq has no CURVE, so the mesh can't be private; install pyzmq's wheel from PyPI")
    if zmq.zmq_version_info() < LIBZMQ_MIN:
        raise TransportError(f"libzmq {zmq.zmq_version()} can be starved by anyone (CVE-2020-15166); 4.3.3 or later")
