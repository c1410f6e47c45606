"""Runs the servers of docs/servers as their pages say: writes a page's files, starts its command twice, comes back.

All processes use one folder, and so one file and one state folder, as workers of one host do. Ports are replaced by
free ones, addresses by loopback's; nothing else. Beside both processes of a page is one of a server on the other TLS
library, from its page; it stays for the next page.
"""

from __future__ import annotations

import re
import shlex
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from meshcache.admin.client import AdminClient
from meshcache.config.vip import TICKETS
from tests.contrib.clients import CLIENTS, HTTP, Protocol
from tests.support.balancer import Balancer
from tests.support.material import HOST, Authority, free_ports, write_key
from tests.support.processes import Process, Processes
from tests.support.sockets import connect
from tests.support.waiting import wait_until

DOCS = Path(__file__).parent.parent.parent / "docs"
START_S_MAX = 90.0
"""A server and its framework load within two seconds, when they have the machine to themselves."""

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
    return connect(("127.0.0.1", port), START_S_MAX)


Opened = Callable[[int], socket.socket]


@dataclass
class Client:
    """Comes back with Python's ``ssl``: `opened` connects up to where TLS begins, `talk` speaks in it.

    At some ports something else than the page's server is, which speaks HTTP.
    """

    context: ssl.SSLContext
    version: str
    talk: Talk = http
    opened: Opened = plain
    http_at: Sequence[int] = ()

    def visit(self, port: int, session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession]:
        """Whether the visit resumed, and the session to come back with."""
        talk, opened = (http, plain) if port in self.http_at else (self.talk, self.opened)
        with (
            opened(port) as connection,
            self.context.wrap_socket(
                connection, server_hostname=HOST, session=session, suppress_ragged_eofs=True
            ) as tls,
        ):
            talk(tls)
            assert tls.session is not None
            return bool(tls.session_reused), tls.session


def prepare(folder: Path, authority: Authority) -> None:
    """What the reader of docs/servers.md has in the folder by then."""
    authority.write(folder)
    write_key(folder)
    (settings,) = blocks("servers.md", "toml")
    (folder / "meshcache.toml").write_text(_here(settings))
    (folder / "state").mkdir()


@dataclass
class Served:
    """The processes of one page, in a folder where others may run as well."""

    page: str
    folder: Path
    processes: Processes
    partners: list[int] = field(default_factory=list)
    """Ports of the others; the first is on the other TLS library than the page's server."""

    ports: list[int] = field(default_factory=lambda: free_ports(2))
    running: list[Process] = field(default_factory=list)
    places: dict[int, Path] = field(default_factory=dict)
    """The folder of each process, by port."""

    met: list[Path] = field(default_factory=list)
    """Admin sockets of those that run."""

    held: int = 0
    """Sessions that each of them holds."""

    def start(
        self, port: int, *more: str, page: str = "", change: Callable[[str], str] = lambda program: program
    ) -> Process:
        """Start one more process: its program in a folder of its own, everything else shared."""
        page = page or self.page
        # The folder is of all tests of a module, and a port may be given a second time.
        place = self.places[port] = Path(tempfile.mkdtemp(prefix=f"on-{port}-", dir=self.folder))
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

    def start_all(self, change: Callable[[str], str] = lambda program: program) -> None:
        for port in self.ports:
            self.start(port, change=change)
        self.wait_until_met()
        self.wait_until_listening()

    # --- what the nodes say

    @property
    def nodes(self) -> int:
        """How many run, where each process is one."""
        return len(self.running) + len(self.partners)

    def sockets(self) -> list[Path]:
        """Where nodes answer, in the order of slots; also where one was killed."""
        return sorted(self.folder.glob("state/*/worker-*/admin.sock"))

    def stats(self) -> list[dict[str, Any]]:
        """Of each node that answers, which are `met` from now on."""
        found = {}
        for path in self.sockets():
            with suppress(Exception):
                found[path] = AdminClient(path).stats()
        self.met = list(found)
        return list(found.values())

    def wait_until_met(self, count: int | None = None) -> None:
        """Wait until so many nodes run, see each other, serve the VIP and hold as many sessions: `held`."""
        count = count or self.nodes

        def met_or_ended() -> bool:
            ended = [process for process in self.running if not process.running]
            assert not ended, ended[0].output
            if len(self.sockets()) < count:
                return False
            nodes = self.stats()
            entries = {vip["entries"] for node in nodes for vip in node["vips"].values()}
            self.held = max(entries, default=0)
            return len(entries) == 1 and know_each_other(nodes, count)

        try:
            wait_until(met_or_ended, START_S_MAX, "the nodes meet and hold the same sessions")
        except AssertionError as error:
            logs = "\n".join(process.output[-3000:] for process in self.running)
            raise AssertionError(f"{error}\n{self.stats()}\n{logs}") from error

    def wait_until_held(self, more: int) -> None:
        """Wait until every node that hasn't left holds so many sessions more."""
        self.held += more

        def held(path: Path) -> bool:
            vips = AdminClient(path).stats()["vips"] if path.exists() else {}
            entries = [vip["entries"] for vip in vips.values()]
            assert all(held == self.held for held in entries), f"{entries} are; all: {self.stats()}"
            return True

        for path in self.met if more else ():
            wait_until(lambda p=path: held(p), what=f"{self.held} sessions are at {path}")

    def wait_until_listening(self) -> None:
        for port in self.ports:
            wait_until(lambda p=port: plain(p).close() or True, START_S_MAX, f"somebody listens on {port}")

    def counted(self) -> tuple[int, int]:
        """Full handshakes and resumed ones, over all nodes."""
        counts = [vip["handshakes"] for node in self.stats() for vip in node["vips"].values()]
        return sum(each["full"] for each in counts), sum(each["local"] + each["remote"] for each in counts)

    # --- coming back; all nodes have met before, and are even again after it

    def client(self, version: str, talk: Talk = http, opened: Opened = plain) -> Client:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.minimum_version = context.maximum_version = VERSIONS[version]
        return Client(context, version, talk, opened, self.partners)

    def visit(self, client: Client, route: Iterable[int]) -> None:
        """Visit one port after the other; each visit but the first must resume, whoever is behind the port."""
        session = None
        for at, port in enumerate(route):
            resumed, session = client.visit(port, session)
            assert resumed == (at > 0), f"visit {at} to {port}: {self.stats()}"
            self.wait_until_held(made(client.version, resumed=resumed))

    def come_back_with(self, name: str, version: str, protocol: Protocol, route: tuple[int, int]) -> None:
        """Let another client program visit one port and then the other."""
        first = made(version, resumed=False)
        with Balancer([("127.0.0.1", port) for port in route], lambda: self.wait_until_held(first)) as vip:
            CLIENTS[name](vip.address, self.folder, version, protocol)
        self.wait_until_held(made(version, resumed=True))

    def stop(self) -> None:
        """End as an operator does; the nodes say goodbye, so nobody is missed."""
        for process in self.running:
            process.popen.terminate()
        while self.running:
            self.running.pop().wait(START_S_MAX)

    def close(self) -> None:
        """Whatever happened, nothing of the page runs on."""
        for process in self.running:
            process.end()


@dataclass
class Town:
    """A folder where a server on each TLS library stays, and to which the processes of page after page come."""

    folder: Path
    processes: Processes
    stay: dict[str, int]
    """Ports, by page."""

    @classmethod
    def founded(cls, folder: Path, authority: Authority, processes: Processes) -> Self:
        prepare(folder, authority)
        first = Served("", folder, processes)
        stay = dict(zip(("http_server", "twisted"), first.ports, strict=True))
        for page, port in stay.items():
            first.start(port, page=page)
        first.wait_until_met()
        first.wait_until_listening()
        return cls(folder, processes, stay)

    def page(self, page: str, *, beside: str) -> Served:
        """A page whose partner is the server of another one."""
        others = [port for name, port in self.stay.items() if name != beside]
        return Served(page, self.folder, self.processes, [self.stay[beside], *others])


def over_pyopenssl(program: str) -> str:
    """cheroot's page with its other adapter, which it names in a sentence."""
    return program.replace("ssl.builtin", "ssl.pyopenssl").replace("BuiltinSSL", "pyOpenSSL")


def check_reloader(served: Served, change: Callable[[str], str]) -> None:
    """With a reloader a program runs in two processes, of which the one that serves has a node."""
    here, there = served.ports[0], served.partners[0]
    served.start(here, change=change)
    served.wait_until_met()
    wait_until(lambda: plain(here).close() or True, START_S_MAX, "it listens")
    (program,) = [process.popen.pid for process in served.running]
    assert Path(f"/proc/{program}/task/{program}/children").read_text().split(), "somebody watches files"
    served.visit(served.client("1.3"), [there, here, there])
    served.wait_until_met()


def assert_counted(served: Served, full: int, resumed: int) -> None:
    """A server counts a handshake a moment after its client knows that it's over."""
    wait_until(lambda: sum(served.counted()) >= full + resumed, what="all are counted")
    assert served.counted() == (full, resumed), served.stats()


def made(version: str, *, resumed: bool) -> int:
    """The sessions of one handshake: one that resumes renews its session in TLS 1.3 and keeps it in TLS 1.2."""
    if version == "1.2":
        return 0 if resumed else 1
    return 1 if resumed else TICKETS


def know_each_other(nodes: list[dict[str, Any]], count: int) -> bool:
    everyone = {node["node"]["name"] for node in nodes}
    return len(nodes) == count and all(
        node["vips"] and {peer["name"] for peer in node["peers"] if peer["state"] == "alive"} >= everyone - {name}
        for node in nodes
        for name in [node["node"]["name"]]
    )


def check(served: Served, protocol: Protocol = HTTP, talk: Talk = http, opened: Opened = plain) -> None:
    """Everything that every page is held to: each way between two visits is gone, by one client or another."""
    one, two, other = *served.ports, served.partners[0]
    full, resumed = served.counted()
    for version in VERSIONS:
        client = served.client(version, talk, opened)
        for route in ((one, two, other, one), (other, two)):
            served.visit(client, route)
            full, resumed = full + 1, resumed + len(route) - 1
        ways = {"openssl": (one, two), "node": (two, other), "curl": (other, one), "gnutls-cli": (one, other)}
        for name, way in ways.items():
            if name != "curl" or version in protocol.curl_in:
                served.come_back_with(name, version, protocol, way if protocol is HTTP else (one, two))
                full, resumed = full + 1, resumed + 1
    assert_counted(served, full, resumed)
    served.stop()
