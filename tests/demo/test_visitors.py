"""Visitors come back with the session that they got, and end with the block."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshcache.demo.files import SERVERS, VIPS, DemoFiles, Endpoint, build
from meshcache.demo.visitors import visitors
from tests.support.waiting import wait_until

SHOP = VIPS[0]


@contextmanager
def server(files: DemoFiles, reused: list[bool]) -> Iterator[None]:
    """Python's own TLS server at the place of the first one, which resumes by its tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.folder / f"{SHOP.certificate}.pem", files.folder / f"{SHOP.certificate}.key")
    with socket.create_server(files.address(Endpoint(SHOP, SERVERS[0]))) as listener:
        thread = threading.Thread(target=serve, args=(listener, context, reused))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def serve(listener: socket.socket, context: ssl.SSLContext, reused: list[bool]) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                if secure.recv(4096).startswith(b"GET / HTTP/1.1\r\nHost: shop.example\r\n"):
                    reused.append(bool(secure.session_reused))
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                secure.unwrap()


def test_visitors_come_back_and_end_with_the_block(tmp_path: Path) -> None:
    files = build(tmp_path, mdns=False)
    reused: list[bool] = []
    before = threading.active_count()
    with server(files, reused):
        with visitors(files, lambda: SERVERS[:1], {"shop": 2}, pause_s=0.01):
            wait_until(lambda: any(reused))
            assert not reused[0]
        assert threading.active_count() == before + 1
