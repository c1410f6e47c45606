"""Finds peers on the LAN by mDNS and DNS-SD (RFC 6762, RFC 6763), and lets them find this node.

mDNS is open to whoever is on the link, so what it says is only a hint about where a member might listen: names of VIPs
are never in it, an address is worth a connection only if it shows the fingerprint of a key of ours, and a goodbye ends
nothing. All of zeroconf runs on threads of its own; where multicast can't be had, one line in the log says so.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

import zeroconf
from zeroconf._dns import DNSService
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf.asyncio import AsyncServiceInfo

from meshcache.config.values import join_address, split_address
from meshcache.core.values.topology import PROTOCOL_MAJOR
from meshcache.edges import native
from meshcache.edges.address import dialable
from meshcache.edges.own_addresses import OwnAddress, absent, present

SERVICE_TYPE = "_meshcache._tcp.local."

RESOLVING_MAX = 64
"""Instances that are looked into at a time; a LAN on which somebody makes up names costs no more than this."""

RESOLVE_MS = 3000
ADDRESSES_MAX = 4
"""Of one instance: a node advertises one for each network that it is in; further ones are left alone."""

LOOK_S = 5.0
"""Between looks at the interfaces, which take a millisecond."""

AGAIN_S = 30.0
"""After which it is tried again where multicast can't be had, as before an interface is up."""

ASK_S_MIN = 30.0
"""Between the first two questions after a peer was lost; then twice as long each time."""

ASK_S_MAX = 900.0

ASK_FOR_S = 24 * 3600.0
"""For so long after the last loss. An answer that was lost in the cut doesn't come by itself: zeroconf's browser asks
for ten seconds, and then only for what it knows."""

STOP_S = 3.0
"""How long closing waits: zeroconf says goodbye three times, an eighth of a second apart."""

log = logging.getLogger("meshcache.edges")


@dataclass(frozen=True, slots=True)
class Announcement:
    """What this node says of itself on the LAN, and by which it knows members of its own mesh."""

    addresses: Sequence[str]
    mesh: str
    fingerprints: Sequence[str]

    def to_txt(self) -> dict[str, str]:
        """Return the TXT record: protocol versions, fingerprint of the current key, hash of the mesh's name;
        nothing else.
        """
        return {"protocol": _PROTOCOL, "key": self.fingerprints[0], "mesh": mesh_hash(self.mesh)}

    def matches(self, txt: Mapping[bytes, bytes | None]) -> bool:
        """Return whether a TXT record is of a node that this one could talk to."""
        key = (txt.get(b"key") or b"").decode("ascii", "replace")
        return (
            key in self.fingerprints
            and txt.get(b"mesh") == mesh_hash(self.mesh).encode()
            and _majors_meet(txt.get(b"protocol") or b"")
        )


_PROTOCOL = f"{PROTOCOL_MAJOR}-{PROTOCOL_MAJOR}"


def mesh_hash(name: str) -> str:
    """Return 16 hex digits by which nodes of one mesh know one another without naming it to the LAN."""
    return sha256(b"meshcache mesh\0" + name.encode()).hexdigest()[:16]


class AskSchedule:
    """When to ask on the LAN who is there: at once when a peer was lost, then ever more rarely for a day."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = -math.inf
        self._asked_at = -math.inf
        self._pause_s = 0.0

    def lost(self, now: float) -> None:
        """Ask again soon, since a peer was lost. A second one within a moment is no reason for a second question."""
        with self._lock:
            self._until = now + ASK_FOR_S
            self._pause_s = ASK_S_MIN / 2

    def due(self, now: float) -> bool:
        """Return whether to ask now; then it counts as asked."""
        with self._lock:
            if now > self._until or now < self._asked_at + self._pause_s:
                return False
            self._asked_at = now
            self._pause_s = min(2 * self._pause_s, ASK_S_MAX)
            return True


class MdnsDiscovery:
    """Speaks mDNS on the given interfaces and calls `on_candidate` with ``host:port``, on a thread of zeroconf's."""

    def __init__(
        self, announcement: Announcement, interfaces: Sequence[str], on_candidate: Callable[[str], None]
    ) -> None:
        self._announcement = announcement
        self.interfaces = list(interfaces)
        """Addresses to speak on; looked at anew whenever it begins to speak."""
        self._on_candidate = on_candidate
        self.instance = f"{secrets.token_hex(8)}.{SERVICE_TYPE}"
        """What this node is called on the LAN: a random name, which says nothing of it."""
        self._resolving: dict[str, Future[None]] = {}
        self._zeroconf: zeroconf.Zeroconf | None = None
        self._closing = threading.Event()
        self._asking = AskSchedule()
        self._thread = native.thread(self._run, "meshcache-mdns")

    @property
    def speaking(self) -> zeroconf.Zeroconf | None:
        """The one that speaks now or spoke last; None before the first has begun."""
        return self._zeroconf

    @property
    def resolving(self) -> int:
        """How many names are being looked for."""
        return len(self._resolving)

    def start(self) -> None:
        """Begin to speak and listen; returns at once."""
        self._thread.start()

    def ask_anew(self) -> None:
        """Ask who is there, within a few seconds and then ever more rarely: a peer was lost. From any thread."""
        self._asking.lost(time.monotonic())

    def close(self) -> None:
        """Say goodbye and stop; may be called again."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        said = ""
        while not self._closing.is_set():
            reason = self._speak()
            if reason and reason != said:
                self._give_up(reason)
            said = reason
            if reason:
                self._closing.wait(AGAIN_S)

    def _speak(self) -> str:
        """Speak and listen, where there is something to speak on; what went wrong, or nothing."""
        try:
            here = present(self.interfaces)
            if not here:
                return f"this machine has no address {', '.join(absent(self.interfaces, here))}"
            self._speak_while(here)
        except Exception as error:  # noqa: BLE001 - whatever is missing or wrong may pass, and nobody else begins anew
            return str(error) or type(error).__name__
        return ""

    def _speak_while(self, here: frozenset[OwnAddress]) -> None:
        """Speak and listen until the node closes or an interface comes or goes. Raises whatever went wrong.

        A socket joined mDNS's group on an interface that was there then. If that one is made anew, with the same
        address too, it hears nothing more, so everything begins anew. What isn't here yet is left out until it is.
        """
        if away := absent(self.interfaces, here):
            log.warning("no mDNS on %s, which this machine hasn't; it begins there when it has", ", ".join(away))
        places = [address.place for address in sorted(here)]
        with ExitStack() as ends:
            speaking = zeroconf.Zeroconf(interfaces=places, ip_version=_ip_version(here))
            ends.callback(speaking.close)
            ends.callback(self._stop_resolving)
            self._zeroconf = speaking
            browsing = ends.enter_context(ExitStack())
            self._browse(speaking, browsing)
            # The instance's name is random, so nobody can have it: probing for it would only delay the first meeting.
            speaking.register_service(self.service(), cooperating_responders=True)
            while not self._closing.wait(LOOK_S):
                if present(self.interfaces) != here:
                    log.info("an interface came or went, so mDNS begins anew on %s", ", ".join(self.interfaces))
                    break
                if self._asking.due(time.monotonic()):
                    self._browse(speaking, browsing)

    def _browse(self, speaking: zeroconf.Zeroconf, browsing: ExitStack) -> None:
        """Begin to ask and to hear, in place of what has begun before; hints at once at all that are remembered."""
        browsing.close()
        browsing.callback(zeroconf.ServiceBrowser(speaking, SERVICE_TYPE, handlers=[self.noticed]).cancel)

    def _give_up(self, reason: str) -> None:
        where = ", ".join(self.interfaces)
        log.warning(
            "no mDNS on %s, so peers are found by seeds alone: %s; tried again every %d s", where, reason, AGAIN_S
        )

    def service(self) -> zeroconf.ServiceInfo:
        """Return what is said of this node on the LAN."""
        places = [split_address(address) for address in self._announcement.addresses[:ADDRESSES_MAX]]
        return zeroconf.ServiceInfo(
            SERVICE_TYPE,
            self.instance,
            port=places[0][1],
            parsed_addresses=[host.partition("%")[0] for host, _ in places],  # who hears it knows on which link
            properties=self._announcement.to_txt(),
            server=self.instance.replace("._meshcache._tcp", ""),
        )

    def noticed(self, zeroconf: zeroconf.Zeroconf, name: str, state_change: Any, **_rest: object) -> None:
        """Look for an instance that came, on the browser's thread. Leave goodbyes: anyone on the link can send one."""
        if state_change.name == "Removed" or name == self.instance or name in self._resolving:
            return
        loop = zeroconf.loop
        if len(self._resolving) < RESOLVING_MAX and loop is not None and not self._closing.is_set():
            future = asyncio.run_coroutine_threadsafe(self._resolve(zeroconf, name), loop)
            self._resolving[name] = future
            future.add_done_callback(lambda _: self._resolving.pop(name, None))

    def _stop_resolving(self) -> None:
        pending = list(self._resolving.values())
        for future in pending:
            future.cancel()
        wait(pending, timeout=STOP_S)

    async def _resolve(self, zc: zeroconf.Zeroconf, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE_TYPE, name)
            if await info.async_request(zc, RESOLVE_MS) and self._announcement.matches(info.properties):
                self._offer(info)
        except zeroconf.Error as error:
            log.debug("an mDNS record was left alone: %s", type(error).__name__)

    def _offer(self, info: zeroconf.ServiceInfo) -> None:
        for host in info.parsed_scoped_addresses()[:ADDRESSES_MAX]:
            address = dialable(join_address(host, info.port or 0))
            if address is not None and not self._closing.is_set():
                self._on_candidate(address)


def ports_in(packet: bytes) -> set[int]:
    """Return the ports of all services that an answer names; none for what isn't DNS."""
    return {record.port for record in DNSIncoming(packet).answers() if isinstance(record, DNSService)}


def _ip_version(here: frozenset[OwnAddress]) -> zeroconf.IPVersion:
    versions = {ip_address(address.bare).version for address in here}
    if versions == {4}:
        return zeroconf.IPVersion.V4Only
    return zeroconf.IPVersion.V6Only if versions == {6} else zeroconf.IPVersion.All


def _majors_meet(offered: bytes) -> bool:
    """Return whether a range such as ``1-2`` has the major version that this node speaks."""
    low, dash, high = offered.partition(b"-")
    if not (dash and low.isdigit() and high.isdigit() and len(offered) <= 16):
        return False
    return int(low) <= PROTOCOL_MAJOR <= int(high)
