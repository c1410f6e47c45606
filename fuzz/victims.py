"""The borders that take bytes from other machines, each with a check of what must hold whatever came.

`CoreVictim` is the mesh's: `MeshCore.receive`. `TlsVictim` is OpenSSL's: a cached DER on its way into a handshake.
`HelloVictim` is the callbacks': a client's first bytes.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import meshcache.hot as hot
from meshcache.core.mesh import MeshCore
from meshcache.core.values.topology import Identity, LocalVip
from meshcache.core.wire.codec import Decoder, encode
from meshcache.tls import libssl
from meshcache.tls.callbacks import Callbacks
from meshcache.tls.install import TICKETS, install
from meshcache.tls.names import NameMap
from meshcache.tls.state import Mode
from meshcache.tls.ticket_keys import EdgeKey, EdgeKeys
from tests.core.samples import SAMPLES, SHOP
from tests.tls.world import (
    LOCAL,
    TLS_ERRORS,
    VERSIONS,
    DictPort,
    StdlibEnd,
    ask_clients,
    attach,
    client_certificate,
    client_context,
    server_context,
    server_end,
    shake_hands,
)

VECTORS = Path(__file__).parent.parent / "tests" / "vectors" / "messages.txt"

QUOTA_SESSIONS = 64

_PEER = "edge-1"


def seeds() -> dict[str, bytes]:
    """A message of each kind, as it is on the wire."""
    return {name: encode(_PEER, 7, message) for name, message in SAMPLES.items()}


class CoreVictim:
    """A node with one peer, which turns hostile. Begins anew when the peer has talked itself out of the mesh."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self.now = 1000.0
        self.taken = 0
        self._begin()

    def take(self, payload: bytes) -> None:
        """One message from the peer. Raises AssertionError for whatever must not come of it."""
        if not self._knows_its_peer():
            self._begin()
        self.taken += 1
        self.now += 0.01
        self._core.receive(b"c", payload, self.now)
        if self._core.next_deadline() <= self.now:
            self._core.handle_timer(self.now)
        for message in self._core.messages_to_send(self.now):
            self._decoder.decode(message.payload)
        self._core.events()
        if self.taken % 64 == 0:
            self._check()

    def entries(self) -> int:
        return int(self._core.stats(self.now)["cache"]["entries"])

    def _check(self) -> None:
        stats = self._core.stats(self.now)
        assert stats["cache"]["entries"] <= QUOTA_SESSIONS
        assert stats["cache"]["bytes"] <= stats["cache"]["max_bytes"]
        assert len(self._core.links()) <= 64, "one peer makes us dial no more than it may name"

    def _begin(self) -> None:
        identity = Identity("prod", "victim", 1, "ams1", "10.0.0.1:7946", "0")
        self._core = MeshCore(identity, rng=Random(1), now=self.now)  # noqa: S311
        terms = SHOP.__class__("victim", "ams1", "shop", SHOP.group, SHOP.digest, SHOP.reach)
        self._core.set_vip(LocalVip(terms, 3600, 86_400, QUOTA_SESSIONS * 1024, QUOTA_SESSIONS), self.now)
        self._core.receive(b"c", seeds()["hello"], self.now)
        assert self._knows_its_peer()

    def _knows_its_peer(self) -> bool:
        return any(peer["name"] == _PEER for peer in self._core.peers(self.now))


class TlsVictim:
    """Servers whose cache says what the fuzzer likes, and a client for each that offers the session it is about."""

    def __init__(self) -> None:
        self._scenes = [_Scene("1.2"), _Scene("1.3"), _Scene("1.2", certified=True), _Scene("1.3", certified=True)]

    @property
    def ders(self) -> Sequence[bytes]:
        """The DER of each scene's session, as it was made."""
        return [scene.der for scene in self._scenes]

    def offer(self, number: int, der: bytes) -> str:
        """File `der` under a scene's session and let its client come: "resumed", "full" or "failed".

        Raises AssertionError when anything but a miss came of it at the edge.
        """
        return self._scenes[number % len(self._scenes)].offer(der)


class HelloVictim:
    """Servers of both versions with a session each, in a cache and in a ticket, on each hot path there is, which hear
    what the fuzzer likes."""

    def __init__(self) -> None:
        self._listeners: list[list[_Listener]] = [
            [kind(version, path) for path in _paths()] for kind in (_Listener, _TicketListener) for version in VERSIONS
        ]

    @property
    def hellos(self) -> Sequence[bytes]:
        """A ClientHello that resumes, for each version, by session and then by ticket."""
        return [listeners[0].hello for listeners in self._listeners]

    def say(self, number: int, hello: bytes) -> None:
        """Each path's server hears these first bytes. Raises AssertionError when they don't agree."""
        verdicts = [listener.hear(hello) for listener in self._listeners[number % len(self._listeners)]]
        assert all(verdict == verdicts[0] for verdict in verdicts), verdicts


def _paths() -> list[str]:
    return ["python"] if hot.compiled is None else ["python", "c"]


class _Listener:
    """A server on one hot path, with one session that `hello` offers: the same one on each path of a version."""

    _first: ClassVar[dict[tuple[str, Mode], tuple[bytes, bytes, bytes]]] = {}
    mode = Mode.SESSIONS

    def __init__(self, version: str, path: str) -> None:
        compiled = hot.compiled
        self._context, self._named = server_context("stdlib", version), server_context("stdlib", version)
        library, pointer = libssl.find(self._context)
        hot.compiled = compiled if path == "c" else None
        try:
            self._callbacks = Callbacks(library.functions)
            names = NameMap(self._context, pointer, refuses=False)
        finally:
            hot.compiled = compiled
        names.put("a.test", self._named, libssl.find(self._named).pointer)
        names.put("*.b.test", self._named, libssl.find(self._named).pointer)
        self._named_at = libssl.find(self._named).pointer
        self._port = self._make_port(path)
        for context in (self._context, self._named):
            attachment = attach(context, self._port, mode=self.mode)
            attachment.names = names if context is self._context else None
            self._callbacks.add(attachment)
            pointer = attachment.pointer
            install(self._callbacks, pointer, remove=False, lifetime_s=None, tickets=TICKETS, mode=self.mode)
        if (version, self.mode) not in self._first:
            self._first[version, self.mode] = self._begin(version)
        session_id, der, self.hello = self._first[version, self.mode]
        self._port.store, self._port.own = {session_id: der}, {session_id}

    def _make_port(self, _path: str) -> DictPort:
        return DictPort()

    def hear(self, hello: bytes) -> list[Any]:
        """What the port was asked and told of."""
        self._port.log.clear()
        server = StdlibEnd(self._context, server=True)
        server.feed(hello)
        with suppress(*TLS_ERRORS):
            server.shake()
        assert not [event for event in self._port.log if event[0] == "fault"]
        found = libssl.find_connection(server.tls)
        assert found is not None, "it is open"
        library, pointer = found
        return [*self._port.log, ("moved", library.functions.SSL_get_SSL_CTX(pointer) == self._named_at)]

    def _begin(self, version: str) -> tuple[bytes, bytes, bytes]:
        client = client_context(version)
        ends = StdlibEnd(client, server=False, name="a.test"), server_end(self._context)
        shake_hands(*ends)
        ((session_id, der),) = self._port.store.items() or ((b"", b""),)
        again = StdlibEnd(client, server=False, name="a.test", session=ends[0].tls.session)
        again.shake()
        return session_id, der, again.take()


class _TicketListener(_Listener):
    """The same with a ticket: its key is the same on each path, and the door has a copy where there is one."""

    mode = Mode.TICKETS
    _born_at: ClassVar[float] = time.monotonic()
    _key: ClassVar[EdgeKey] = EdgeKey(
        os.urandom(16), os.urandom(32), os.urandom(32), _born_at, _born_at + 1e6, _born_at + 2e6, 3600.0
    )

    def hear(self, hello: bytes) -> list[Any]:
        """What became of the ticket: in C that is counted, and not told to the port."""
        self._port.clock = time.monotonic()
        log = super().hear(hello)
        opened = sum(event[0] == "opened" for event in log)
        if self._port.door is not None:
            opened += sum(self._port.door.ticket_counts()[1:])
        return [opened, *(event for event in log if event[0] in ("ticket_refused", "unknown"))]

    def _make_port(self, path: str) -> DictPort:
        key = self._key
        keys = EdgeKeys(key, {key.name: key}, "edge-1", 3600.0, 3600.0, 86_400.0)
        port = DictPort(ticket_keys=keys, clock=time.monotonic())
        if path == "c":
            assert hot.compiled is not None
            port.door = hot.compiled.Door()
            row = (key.name, key.aes, key.mac, key.born_at, key.encrypts_until, key.opens_until, key.lifetime_s)
            port.door.set_tickets((row,), 0, b"edge-1", 3600.0, 3600.0, 86_400.0, self._born_at - 1e6)
            port.door.know_maker(b"edge-1", LOCAL)
        return port


class _Scene:
    def __init__(self, version: str, *, certified: bool = False) -> None:
        self._port = DictPort(allows_client_certificates=True)
        self._server: Any = server_context("stdlib", version)
        if certified:
            ask_clients(self._server)
        attach(self._server, self._port)
        self._client: ssl.SSLContext = client_context(version, client_certificate() if certified else None)
        self._session = self._come(None).tls.session
        ((self._id, self.der),) = self._port.store.items()

    def offer(self, der: bytes) -> str:
        self._port.store.clear()
        self._port.log.clear()
        self._port.made.clear()
        self._port.store[self._id] = der
        try:
            resumed = self._come(self._session).resumed
        except TLS_ERRORS:
            return "failed"
        finally:
            assert not [event for event in self._port.log if event[0] == "fault"]
        return "resumed" if resumed else "full"

    def _come(self, session: Any) -> StdlibEnd:
        server = server_end(self._server)
        client = StdlibEnd(self._client, server=False, name="a.test", session=session)
        shake_hands(client, server)
        server.close()
        return client
