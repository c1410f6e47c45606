"""Clients that come and come back while a demo's servers stay up, so that its page has something to show.

Judges nothing: what the policies say is tried by `trials`.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from random import Random
from types import MappingProxyType
from typing import Final

from meshcache.demo.files import VIPS, DemoFiles, Endpoint, Server, Vip

CLIENTS: Final = MappingProxyType({"shop": 4, "checkout": 2, "intranet": 1})
"""Of each VIP: a few visits a second in all, which no machine feels."""

PAUSE_S: Final = 0.7
"""Between two visits of one client, on average."""

FIRST_VISITS: Final = 1 / 8
"""The part of visits after which a client is gone, and another one comes."""

TIMEOUT_S: Final = 10.0

LEAVE_S: Final = 1.0
"""For a visit to end; one that doesn't ends with the process."""


@contextmanager
def visitors(
    files: DemoFiles,
    alive: Callable[[], Sequence[Server]],
    clients: Mapping[str, int] = CLIENTS,
    pause_s: float = PAUSE_S,
) -> Iterator[None]:
    """Let clients of each VIP visit servers that are alive, each time one of its choice, until the block ends."""
    over = threading.Event()
    threads = [
        threading.Thread(target=_visit, args=(files, vip, alive, Random(f"{vip.name} {i}"), pause_s, over), daemon=True)  # noqa: S311 - which server, no secret
        for vip in VIPS
        for i in range(clients.get(vip.name, 0))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(LEAVE_S)


def _visit(
    files: DemoFiles,
    vip: Vip,
    alive: Callable[[], Sequence[Server]],
    rng: Random,
    pause_s: float,
    over: threading.Event,
) -> None:
    context = ssl.create_default_context(cafile=str(files.authority(vip)))
    session = None
    while not over.wait(rng.expovariate(1 / pause_s)):
        with suppress(OSError):
            session = _ask(context, files.address(Endpoint(vip, rng.choice(alive()))), vip.host, session)
        if rng.random() < FIRST_VISITS:
            session = None


def _ask(
    context: ssl.SSLContext, address: tuple[str, int], host: str, session: ssl.SSLSession | None
) -> ssl.SSLSession | None:
    """One request, and the session to come back with; a server that ends meanwhile is an OSError."""
    with (
        socket.create_connection(address, timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as secure,
    ):
        secure.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while secure.recv(4096):
            pass
        session = secure.session
        secure.unwrap()
    return session
