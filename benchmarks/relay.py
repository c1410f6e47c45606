"""How many bytes a second of its CPU a terminator relays: this server beside nginx's stream module and haproxy.

One connection at a time, and many at once; downloads, which is where bytes are. The backend and the clients are
processes of their own, whose CPU doesn't count.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks import fronts
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.material import NAME, VIP
from benchmarks.report import Figure
from benchmarks.servers import folder
from benchmarks.statistic import median

MEGABYTE = 1_000_000
TARGET = 0.6
CLIENT_S_MAX = 300.0
_CHUNK = bytes(1 << 20)


def run(effort: Effort) -> list[Figure]:
    """Megabytes for each CPU second, of each terminator, and this server's as a part of nginx's."""
    one, many, total, rounds = (
        (200, 100, 200, 5) if effort is FULL else (1, 2, 1, 1) if effort is SMOKE else (50, 20, 50, 3)
    )
    figures: list[Figure] = []
    with folder() as place, backend() as port:
        kinds = (("one connection", 1, one), (f"{many} at once", many, total))
        for kind, clients, megabytes in kinds[effort is SMOKE :]:
            rates: dict[str, list[float]] = {name: [] for name in fronts.names()[: 1 if effort is SMOKE else None]}
            for _ in range(rounds):  # in turn, so that whatever else the machine does meets all of them
                for name in rates:
                    with fronts.front(name, place, port) as front:
                        rates[name].append(_rate(front, place, clients, megabytes * MEGABYTE // clients))
            figures += _figures(kind, rates)
    return figures


def _figures(kind: str, rates: dict[str, list[float]]) -> Iterator[Figure]:
    medians = {name: median(each) for name, each in rates.items()}
    for name, measured in medians.items():
        yield Figure("relay", f"{name}, {kind}", measured, "MB/CPU s", detail={"rounds": rates[name]})
    if "nginx" in medians:
        part = medians["meshcache"] / medians["nginx"]
        yield Figure("relay", f"of nginx's, {kind}", part, "x", TARGET, at_least=True)


def _rate(front: fronts.Front, place: object, clients: int, size: int) -> float:
    """Megabytes for each second of CPU while `clients` download `size` bytes each."""
    context = multiprocessing.get_context("spawn")
    before = front.cpu_s()
    download = context.Process(target=_download, args=(front.port, f"{place}/{VIP}.pem", clients, size))
    download.start()
    download.join(CLIENT_S_MAX)
    if download.exitcode != 0:
        download.kill()
        raise RuntimeError(f"{front.name}: the clients ended with {download.exitcode}")
    return clients * size / MEGABYTE / max(front.cpu_s() - before, 1e-6)


def _download(port: int, authority: str, clients: int, size: int) -> None:
    """All connections at once, in one process; each asks for `size` bytes and counts what comes."""
    context = ssl.create_default_context(cafile=authority)
    with selectors.DefaultSelector() as ready:
        for _ in range(clients):
            raw = socket.create_connection((fronts.HOST, port), 60)
            tls = context.wrap_socket(raw, server_hostname=NAME)
            tls.sendall(b"%d\n" % size)
            tls.setblocking(False)
            ready.register(tls, selectors.EVENT_READ, [size])
        buffer = bytearray(1 << 16)
        while ready.get_map():
            for key, _ in ready.select(60):
                _read(key.fileobj, key.data, buffer, ready)  # type: ignore[arg-type]


def _read(tls: ssl.SSLSocket, left: list[int], buffer: bytearray, ready: selectors.BaseSelector) -> None:
    while left[0]:
        try:
            count = tls.recv_into(buffer)
        except ssl.SSLWantReadError:
            return
        if not count:
            raise EOFError(f"{left[0]} bytes are missing")
        left[0] -= count
    ready.unregister(tls)
    tls.close()


@contextmanager
def backend() -> Iterator[int]:
    """A process that sends as many bytes as it is asked for, on each connection."""
    context = multiprocessing.get_context("spawn")
    with socket.create_server((fronts.HOST, 0), backlog=1024) as listener:
        process = context.Process(target=partial(_send_for_ever, listener), daemon=True)
        process.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            process.terminate()
            process.join()


def _send_for_ever(listener: socket.socket) -> None:
    listener.setblocking(False)
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    ready.register(connection, selectors.EVENT_READ)
                else:
                    _serve(key, ready)


def _serve(key: selectors.SelectorKey, ready: selectors.BaseSelector) -> None:
    connection: socket.socket = key.fileobj  # type: ignore[assignment]
    try:
        if key.data is None:
            asked = connection.recv(64)
            if asked:
                ready.modify(connection, selectors.EVENT_WRITE, [int(asked)])
            else:
                ready.unregister(connection)
                connection.close()
            return
        key.data[0] -= connection.send(memoryview(_CHUNK)[: key.data[0]])
        if not key.data[0]:
            ready.modify(connection, selectors.EVENT_READ)
    except BlockingIOError:
        return
    except OSError:
        ready.unregister(connection)
        connection.close()
