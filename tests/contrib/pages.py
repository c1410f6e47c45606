"""Runs the servers of docs/servers as their pages say: writes a page's files, starts its command twice, comes back.

Both processes use one folder, and so one file and one state folder, as workers of one host do. Ports are replaced by
free ones, addresses by loopback's; nothing else.
"""

from __future__ import annotations

import re
import shlex
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshcache.admin.client import AdminClient
from tests.support.material import HOST, Authority, free_ports, write_key
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

DOCS = Path(__file__).parent.parent.parent / "docs"
START_S_MAX = 90.0
"""A server and its framework load within two seconds, when they have the machine to themselves."""

RETURNS = 4
"""Visits to the other server, all of which must resume."""

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def _here(text: str, port: int = 8443) -> str:
    return text.replace("0.0.0.0", "127.0.0.1").replace("8443", str(port))


Talk = Callable[[ssl.SSLSocket], None]


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page, in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def http(tls: ssl.SSLSocket) -> None:
    """One request, and its answer to the end of the connection."""
    tls.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    with suppress(ssl.SSLEOFError, ConnectionResetError):  # half of Python's servers send no close_notify
        while more := tls.recv(65_536):
            answer += more
    assert answer.startswith(b"HTTP/1."), answer


def plain(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


@dataclass
class Client:
    """Comes back with Python's ``ssl``: `opened` connects up to where TLS begins, `talk` speaks in it."""

    context: ssl.SSLContext
    talk: Talk = http
    opened: Callable[[int], socket.socket] = plain

    def visit(self, port: int, session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession]:
        """Whether the visit resumed, and the session to come back with."""
        with (
            self.opened(port) as connection,
            self.context.wrap_socket(
                connection, server_hostname=HOST, session=session, suppress_ragged_eofs=True
            ) as tls,
        ):
            self.talk(tls)
            assert tls.session is not None
            return bool(tls.session_reused), tls.session


@dataclass
class Served:
    """The processes of one page."""

    page: str
    folder: Path
    processes: Processes
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    running: list[Process] = field(default_factory=list)

    def write(self) -> None:
        """What the reader of docs/servers.md has in the folder by then."""
        (settings,) = blocks("servers.md", "toml")
        (self.folder / "meshcache.toml").write_text(_here(settings))
        (self.folder / "state").mkdir()

    def start(
        self, port: int, *more: str, page: str = "", change: Callable[[str], str] = lambda program: program
    ) -> Process:
        """Start one more process: its program in a folder of its own, everything else shared."""
        page = page or self.page
        place = self.folder / f"on-{port}"
        place.mkdir()
        for program in blocks(f"servers/{page}.md", "python"):
            name = re.match(r"# (\S+\.py)\n", program)
            if name is not None:
                (place / name[1]).write_text(change(_here(program, port)))
        for path in (*self.folder.glob("*.pem"), *self.folder.glob("*.key")):
            (place / path.name).symlink_to(path)
        for name in ("meshcache.toml", "state"):
            (place / name).symlink_to(self.folder / name)
        (line,) = blocks(f"servers/{page}.md", "sh")
        words = shlex.split(_here(line, port).replace("\\\n", " "))
        program = sys.executable if words[0] == "python" else str(Path(sys.executable).with_name(words[0]))
        process = self.processes.start([program, *words[1:], *more], cwd=place)
        self.running.append(process)
        return process

    def start_all(self) -> None:
        for port in self.ports:
            self.start(port)

    # --- what the nodes say

    def stats(self) -> list[dict[str, Any]]:
        """Of each node that answers, in the order of slots."""
        found = []
        for path in sorted(self.folder.glob("state/*/worker-*/admin.sock")):
            with suppress(Exception):
                found.append(AdminClient(path).stats())
        return found

    def met(self, count: int = 2) -> bool:
        """Whether so many nodes run, see each other and serve the VIP."""
        nodes = self.stats()
        everyone = {node["node"]["name"] for node in nodes}
        return len(nodes) == count and all(
            node["vips"] and {peer["name"] for peer in node["peers"] if peer["state"] == "alive"} >= everyone - {name}
            for node in nodes
            for name in [node["node"]["name"]]
        )

    def wait_until_met(self, count: int = 2) -> None:
        def met_or_ended() -> bool:
            ended = [process for process in self.running if not process.running]
            assert not ended, ended[0].output
            return self.met(count)

        try:
            wait_until(met_or_ended, START_S_MAX, "the nodes meet")
        except AssertionError as error:
            logs = "\n".join(process.output[-3000:] for process in self.running)
            raise AssertionError(f"{error}\n{self.stats()}\n{logs}") from error

    def wait_until_listening(self) -> None:
        for port in self.ports:
            wait_until(lambda p=port: plain(p).close() or True, START_S_MAX, f"somebody listens on {port}")

    # --- coming back

    def count(self, key: str) -> int:
        """A count of handshakes over all nodes."""
        return sum(vip["handshakes"][key] for node in self.stats() for vip in node["vips"].values())

    def received(self) -> int:
        return sum(vip["sessions"]["received"] for node in self.stats() for vip in node["vips"].values())

    def come_back_to_any(self, times: int, version: str = "1.3") -> None:
        """Visit one port, behind which are several workers, again and again; each return must resume."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.minimum_version = context.maximum_version = VERSIONS[version]
        client, session = Client(context), None
        for at in range(times + 1):
            seen, others = self.received(), len(self.stats()) - 1
            resumed, session = client.visit(self.ports[0], session)
            assert resumed == (at > 0), f"return {at}: {self.stats()}"
            if version == "1.3" or not at:
                wait_until(lambda s=seen, o=others: self.received() >= s + o, what="the new session is everywhere")

    def come_back(self, version: str, talk: Talk = http, opened: Callable[[int], socket.socket] = plain) -> None:
        """Visit one server, and then the other and this in turn; each return must resume."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.minimum_version = context.maximum_version = VERSIONS[version]
        client = Client(context, talk, opened)
        before = self.received()
        resumed, session = client.visit(self.ports[0])
        assert not resumed
        wait_until(lambda: self.received() > before, what="the session crosses")
        for at in range(RETURNS):
            seen = self.received()
            resumed, session = client.visit(self.ports[1 - at % 2], session)
            assert resumed, f"return {at + 1}: {self.stats()}"
            if version == "1.3":  # each return gives another ticket
                wait_until(lambda s=seen: self.received() > s, what="the new session crosses")

    def stop(self) -> None:
        """End as an operator does; the nodes say goodbye, so nobody is missed."""
        for process in self.running:
            process.popen.terminate()
        for process in self.running:
            process.wait(20)


def prepared(page: str, folder: Path, authority: Authority, processes: Processes) -> Served:
    """A page's folder, filled, with nothing running yet."""
    authority.write(folder)
    write_key(folder)
    served = Served(page, folder, processes)
    served.write()
    return served


def started(page: str, folder: Path, authority: Authority) -> Iterator[Served]:
    """For a fixture: both processes of a page, met."""
    with Processes(folder) as processes:
        served = prepared(page, folder, authority, processes)
        served.start_all()
        served.wait_until_met()
        served.wait_until_listening()
        yield served


def check(served: Served, talk: Talk = http, opened: Callable[[int], socket.socket] = plain) -> None:
    """Everything that every page is held to."""
    for version in VERSIONS:
        served.come_back(version, talk, opened)
    assert served.count("full") == len(VERSIONS)
    assert served.count("remote") + served.count("local") == RETURNS * len(VERSIONS), served.stats()
    served.stop()
