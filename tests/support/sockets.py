"""Connections of a test's clients to servers on this host."""

from __future__ import annotations

import socket


def connect(address: tuple[str, int], timeout_s: float) -> socket.socket:
    """Connect, and send what is small at once.

    Where the client's is the last flight of a handshake, as in a resumed one, Linux would hold the request back until
    the server's kernel acknowledges that flight, which it delays by 40 ms: hundreds of visits took most of their time
    for that.
    """
    connection = socket.create_connection(address, timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
