"""A threaded server on Python's own ssl, as many embedded ones are: socketserver, one thread for each client.

    python examples/threaded_server.py meshcache.toml 127.0.0.1:8443 [node.name=edge-2 …]

The file needs one VIP, named "shop", with certificate and private_key, and no listen: this program listens.
"""

from __future__ import annotations

import socketserver
import ssl
import sys

import meshcache
from meshcache import MeshNode, load, split_address


class Answer(socketserver.StreamRequestHandler):
    """The handshake happens here, on the client's own thread, and not in the loop that accepts."""

    server: Server

    def setup(self) -> None:
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        node = self.server.node
        node.handshake_done("shop", self.request)
        self.rfile.readline()
        resumption = node.resumption(self.request)
        self.wfile.write(f"{resumption.outcome.value} {resumption.origin}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], node: MeshNode, context: ssl.SSLContext) -> None:
        super().__init__(address, Answer)
        self.node = node
        self.context = context


def main(path: str, address: str, overrides: list[str]) -> None:
    settings = load(path, overrides)
    (shop,) = settings.vips
    assert shop.certificate is not None, "the VIP needs a certificate"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shop.certificate, shop.private_key)
    with MeshNode(settings) as node:
        meshcache.attach(context, vip="shop")  # the one node that runs in this process
        with Server(split_address(address), node, context) as server:
            print("ready", flush=True)
            server.serve_forever()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except KeyboardInterrupt:
        print("stopped")
