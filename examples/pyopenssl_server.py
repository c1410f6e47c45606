"""A server on pyOpenSSL, blocking, one thread for each client. Handshakes wait for a session that is on its way.

    python examples/pyopenssl_server.py meshcache.toml 127.0.0.1:8443 [node.name=edge-2 …]

The file needs one VIP, named "shop", with certificate and private_key, and no listen: this program listens.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import closing

from OpenSSL import SSL

from meshcache import MeshNode, load, split_address


def shake_hands(node: MeshNode, connection: SSL.Connection) -> None:
    """Do a handshake that may be paused while its session is looked for elsewhere, some milliseconds at most."""
    while True:
        try:
            return connection.do_handshake()
        except SSL.Error:
            lookup = node.paused(connection)
            if lookup is None:
                raise
        news = threading.Event()
        lookup.watch(news.set)  # called on any thread
        while (until := lookup.go_on()) is not None:
            news.wait(max(until - time.monotonic(), 0))
            news.clear()


def answer(node: MeshNode, context: SSL.Context, client: socket.socket) -> None:
    with closing(client):
        client.settimeout(None)
        connection = SSL.Connection(context, client)
        connection.set_accept_state()
        try:
            shake_hands(node, connection)
            node.handshake_done("shop", connection)
            connection.recv(4096)
            resumption = node.resumption(connection)
            connection.sendall(f"{resumption.outcome.value} {resumption.origin}\n".encode())
            connection.shutdown()  # an orderly end; sessions outlive a disorderly one too
        except (SSL.Error, OSError):
            node.handshake_failed("shop")


def main(path: str, address: str, overrides: list[str]) -> None:
    settings = load(path, overrides)
    (shop,) = settings.vips
    assert shop.certificate is not None, "the VIP needs a certificate"
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate_chain_file(str(shop.certificate))
    context.use_privatekey_file(str(shop.private_key))
    with MeshNode(settings) as node, socket.create_server(split_address(address)) as listener:
        node.attach(context, vip="shop", pauses=True)
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=answer, args=(node, context, client), daemon=True).start()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except KeyboardInterrupt:
        print("stopped")
