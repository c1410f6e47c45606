"""One member of the mesh: owns a core, its edges, the clock and the pump. Start reading here.

    core       decides; `pump` holds its lock and brings it messages, time and sessions
    vips       the contexts that joined, each VIP with a port between OpenSSL's callbacks and the core
    transport  ZeroMQ to the peers
    discovery  mDNS and seeds, which only hint at peers
    admin      where operators read what this node knows

Nothing here runs in a handshake, and nothing here decides what may be shared.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import meshcache.hot as hot
from meshcache.config import Settings, changed_keys, load
from meshcache.core.values.events import Event
from meshcache.edges import native
from meshcache.edges.handshakes import AnswerWaits, LinkEvent
from meshcache.edges.interfaces import advertised_address
from meshcache.edges.keyfile import load_keyring
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport
from meshcache.hooks import Hook
from meshcache.live_policy.controller import PolicyController
from meshcache.live_policy.policy_file import PolicyFile
from meshcache.plugins.plugins import Plugins
from meshcache.runtime import forks
from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.runtime.contexts.tls_side import FORKED, TlsSide
from meshcache.runtime.contexts.withholding import Withholding
from meshcache.runtime.event_log import EventList
from meshcache.runtime.finders import Finders
from meshcache.runtime.front import Front
from meshcache.runtime.internals import Internals
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.succession.bequest import Bequest
from meshcache.runtime.succession.incarnations import IncarnationFile
from meshcache.runtime.succession.new_core import new_core
from meshcache.runtime.succession.remembered_peers import PeerFile, RememberedPeers
from meshcache.runtime.succession.warming import Warming, WarmSide
from meshcache.runtime.tracing import shown
from meshcache.runtime.vip_ports.origin_tokens import Tokens
from meshcache.runtime.vip_ports.ports import Ports
from meshcache.runtime.vip_ports.session_ids import SessionIds
from meshcache.ticket_files.exports import Exports
from meshcache.tiers.configured import configured_tiers
from meshcache.tiers.node_tiers import NodeTiers
from meshcache.workers.ending import close_at_end
from meshcache.workers.naming import host_of, worker_settings
from meshcache.workers.running import nodes, one_of_file
from meshcache.workers.slots import Slot

if TYPE_CHECKING:
    from meshcache.admin.server import AdminServer

log = logging.getLogger("meshcache.mesh")


class MeshNode(TlsSide, WarmSide):
    """A node of the mesh, in this process.

        with MeshNode.from_file("meshcache.toml") as node:
            node.attach(context, vip="shop")

    Its threads are daemons and never touch the program's event loop; all methods may be called on any thread. A node is
    started once, and belongs to the process that started it: a forked child needs one of its own.
    """

    def __init__(self, settings: Settings, slot: Slot | None = None, *, hooks: Sequence[Hook] = ()) -> None:
        """Nothing happens before `start`. `slot` is a worker's, see `for_worker`; `hooks` are objects of classes of
        `meshcache.hooks`, beside those that the settings name.
        """
        self._settings = settings
        self._slot = slot
        self._given_hooks = tuple(hooks)
        super().__init__()
        self._started_at = time.monotonic()
        self._tokens = Tokens(self._started_at)
        self._events = EventList(settings.node.name, settings.node.colo, self._started_at)
        self._lock = native.RLock()
        self.front = Front()
        self._state = "new"
        self._keyring: Keyring
        self._transport: Transport
        self._pump: Pump
        self._remembered: RememberedPeers
        self._plugins: Plugins
        self._tiers: NodeTiers
        self._vips: AttachedVips
        self._policies: PolicyController
        self._exports: Exports
        self._finders: Finders | None = None
        self._admin: AdminServer | None = None

    @classmethod
    def from_file(cls, path: str | Path, overrides: Sequence[str] = (), *, hooks: Sequence[Hook] = ()) -> MeshNode:
        """Return a node as a configuration file describes it, with ``KEY=VALUE`` overrides. Raises ConfigError."""
        return cls(load(Path(path), overrides), hooks=hooks)

    @classmethod
    def for_worker(cls, path: str | Path, overrides: Sequence[str] = (), *, hooks: Sequence[Hook] = ()) -> MeshNode:
        """Return a node for this process, one of several workers that are started from one file. See docs/workers.md.

        Its name can't collide, its port and admin socket are its own, workers of a host find each other, and it closes
        at exit or SIGTERM. Asked again in one process, it gives the same node until that is closed. Raises ConfigError.
        """
        return one_of_file(Path(path), overrides, lambda: cls(*worker_settings(Path(path), overrides), hooks=hooks))

    # --- life

    def start(self) -> Self:
        """Listen, find peers, and from then on take and give sessions. Returns at once; peers come when they are found.

        A worker's node that runs already goes on. Raises KeyringError, TransportError, and ConfigError for an admin
        socket, a state file or a policy hook that can't be had; nothing is running then.
        """
        with self._lock:
            if self._slot is not None and self._state == "running":
                return self
            self._require("new", "a node is started once; make another")
            settings = self._settings
            self._keyring = load_keyring(settings.mesh.key_file)
            policy_file = PolicyFile.of(settings, of_worker=self._slot is not None)
            kept = policy_file.load()
            self._plugins = Plugins(settings.hooks, self._given_hooks, self.stats)
            self._plugins.check(settings)
            self._tiers = configured_tiers(settings, self._given_hooks)
            self._plugins.check_tiers(self._tiers.shared)
            self._transport = Transport(self._keyring, settings.mesh.listen, self._link_changed)
            self._transport.bind()
            try:
                self._address = advertised_address(settings.mesh, self._transport.address)
                ids = SessionIds(settings.mesh.name, self.name, self._keyring, time.monotonic)
                ports = Ports(ids)
                core = new_core(settings, self._address, ports)
            except BaseException:
                self._transport.close()
                raise
            self._pump = Pump(core, self._transport, time.monotonic, self._happened, ports)
            self.bequest = Bequest(self._pump, settings.mesh.name, self.name, self.colo)
            self._remembered = RememberedPeers(PeerFile(settings.node.state_dir, settings.mesh.name), self._pump)
            alone = not (settings.mesh.seeds or settings.mesh.mdns or self._slot or core.places(time.monotonic()))
            self._warming = Warming(self._pump, lambda: self._tiers.loaded, alone=alone)
            self._plugins.join(self._pump)
            self._vips = AttachedVips(settings, self._pump, self._tokens, ports, self._plugins.may_resume)
            self.withheld = Withholding(self._vips)
            self._policies = PolicyController(settings, self._pump, self._vips, policy_file, kept)
            self._policies.start()
            self._tiers.start(self._pump, self._vips.asking, self._keyring, settings.cache)
            self._vips.serve_the_only_one()
            self._exports = Exports(settings, self._pump, self._vips)
            self._state = "running"
            forks.watch(self)
            if self._slot is not None:
                close_at_end(self)
            nodes.append(self)
            try:
                self._pump.start()
                self._exports.start()
                self._look_for_peers()
                self._plugins.start(self.name, self.colo, settings.mesh.name, self._address, self._hinted)
                self._start_admin()
            except BaseException:
                self.close()
                raise
        return self

    def close(self, *, goodbye: bool = True) -> None:
        """Leave the mesh: tell the peers (for at most a second), end all threads, free the port. May be called again.

        Attached contexts go on with full handshakes. Without `goodbye` this node's next life follows (`bequest`).
        """
        with self._lock:
            running, self._state = self._state == "running", "closed"
            try:
                if running:
                    self._leave(goodbye=goodbye)
            finally:  # and no earlier: the next worker in the slot has its name and its socket
                if self._slot is not None:
                    self._slot.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_exc: object) -> None:
        await asyncio.to_thread(self.close)

    def forked(self) -> None:
        """In a child process, called by `forks`: from now on this node is of no use here, and says so."""
        self._lock = native.RLock()  # whoever held it is gone
        if self._state == "running":
            self._state = "forked"
            nodes.clear()
            self._vips.forked(FORKED)
            self._tiers.forked()
            if self._slot is not None:
                self._slot.release()
            if self._admin is not None:
                self._admin.forked()

    # --- operation

    def reload(self, settings: Settings, *, keys: bool = True) -> Callable[[], None]:
        """Take over other settings and, unless `keys` is false, read the key file again. The cache and all connections
        are kept. Contexts that are attached after this take the place of those from before.

        What can't change while the node runs (its name, colo, mesh and listener) is left as it is, with a line in the
        log. Returns a function that puts settings and keys from before back, from memory, and lets contexts leave that
        came since, for a program whose own part fails after this. May take seconds when keys change, off an event loop.

        Raises KeyringError, AttachError, TransportError, OSError; all is as it was before then, unless the port itself
        was lost, or what failed fails again on the way back, which the log says.
        """
        with self._lock:
            self._require("running", "start the node first")
            keyring = load_keyring(settings.mesh.key_file) if keys else self._keyring
            before = self._settings, self._keyring
            if (taken := settings.without_restart(self._settings)) != settings:
                log.warning("these change only with a restart: %s", ", ".join(changed_keys(taken, settings)))
            self._plugins.check(taken)
            self._policies.reload(taken)
            try:
                self._take(taken, keyring)
            except BaseException:  # whatever it is, half of a reload is worse than none
                try:
                    self._put_back(*before)
                except Exception as error:  # noqa: BLE001 - what is raised is why it went back
                    log.error("not all is as before the reload that failed: %s", shown(error))  # noqa: TRY400
                raise
            self._vips.end_the_gone()
        return lambda: self._put_back(*before)

    def stats(self) -> dict[str, Any]:
        """Return what ``meshcache stats --json`` prints: plain numbers and names, no secrets. See docs/watching.md."""
        self._require("running", "start the node first")
        with self._pump.lock:
            stats = self._pump.core.stats(time.monotonic())
        uptime_s = round(time.monotonic() - self._started_at, 3)
        stats["node"] |= {"hot_path": hot.path(), "host": host_of(self.name), "uptime_s": uptime_s, "warm": self.warm}
        cache = self._settings.cache
        stats["cache"] |= {"max_sessions": cache.max_sessions, "max_bytes": cache.max_bytes}
        return stats | {
            "transport": self._transport.stats(),
            "faults": self._vips.faults(),
            "left_out": self.left_out,
            "front": self.front.stats(),
            "hooks": self._plugins.stats(),
            "tiers": self._tiers.stats(),
            "contexts_changed": self._vips.contexts_changed(),
            "ticket_exports": self._exports.stats(),
        }

    def peers(self) -> list[dict[str, Any]]:
        """Return the other nodes as this one sees them."""
        self._require("running", "start the node first")
        with self._pump.lock:
            peers = self._pump.core.peers(time.monotonic())
        return [{"host": host_of(peer["name"]), **self._transport.with_link(peer)} for peer in peers]

    def policy(self) -> list[dict[str, Any]]:
        """Return what holds for each VIP that contexts serve here, whence each value is, and which nodes have it."""
        return self.policies.show()

    @property
    def policies(self) -> PolicyController:
        """How policies are changed while the node runs, sessions withdrawn, and verdicts explained."""
        self._require("running", "start the node first")
        return self._policies

    @property
    def ticket_exports(self) -> Exports:
        """The ticket keys that servers of other kinds get from here."""
        self._require("running", "start the node first")
        return self._exports

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the events with a higher number than `since`, oldest first; the newest thousand are kept."""
        return self._events.since(since)

    @property
    def closed(self) -> bool:
        return self._state == "closed"

    @property
    def name(self) -> str:
        return self._settings.node.name

    @property
    def vips(self) -> list[str]:
        """The names of the VIPs in its configuration."""
        return [vip.name for vip in self._settings.vips]

    @property
    def colo(self) -> str:
        return self._settings.node.colo

    @property
    def address(self) -> str:
        """The ``host:port`` that peers are told to connect to."""
        self._require("running", "start the node first")
        return self._address

    @property
    def internals(self) -> Internals:
        """What this node is made of, for tests and whoever diagnoses it. Look and change nothing; names may change."""
        running = self._pump, self._transport, self._vips, self._tokens, self._finders, self._remembered
        return Internals(self._settings, self._lock, *running)

    def _take(self, settings: Settings, keyring: Keyring) -> None:
        before, self._settings = self._settings, settings
        self._exports.reload(settings)
        if keyring != self._keyring:
            self._change_keys(keyring)
        elif settings.mesh == before.mesh:
            return
        self._look_for_peers()
        for seed in set(before.mesh.seeds) - set(settings.mesh.seeds):
            self._candidate(seed, "seed", found=False)

    def _put_back(self, settings: Settings, keyring: Keyring) -> None:
        with self._lock:
            if self._state == "running":
                try:
                    self._policies.put_back(settings)
                finally:
                    self._take(settings, keyring)

    def _look_for_peers(self) -> None:
        if self._finders is not None:
            self._finders.close()
        self._finders = Finders(self._settings.mesh, self._address, self._keyring, self._candidate, self._slot).start()

    def _start_admin(self) -> None:
        if self._settings.admin.socket or self._settings.admin.http:
            from meshcache.admin.server import AdminServer  # here: aiohttp loads slower than all the rest together

            self._admin = AdminServer(self, self._settings.admin, http_needed=self._slot is None).start()

    def _candidate(self, address: str, source: str, *, found: bool = True) -> None:
        with self._pump.lock:
            if found:
                self._pump.core.candidate(address, source, time.monotonic())
            else:
                self._pump.core.candidate_lost(address, source)
        self._pump.wake()

    def _hinted(self, address: str, found: bool) -> None:
        self._candidate(address, "hook", found=found)

    def _happened(self, events: list[Event]) -> None:
        self._plugins.happened(self._events.take(events))
        self._policies.noticed(events)
        self._remembered.take(events)
        if self._finders is not None:
            self._finders.take(events)
        if IncarnationFile(self._settings.node.state_dir, self.name).take(events):
            self._vips.bind()

    def _link_changed(self, event: LinkEvent) -> None:
        if self._state == "running":
            self._pump.answer_waits() if isinstance(event, AnswerWaits) else self._pump.wake()

    def _change_keys(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._vips.use(keyring)
        self._tiers.use(keyring)
        log.info("the mesh keys are now %s", ", ".join(keyring.fingerprints))
        try:
            self._transport.use(keyring)
        finally:
            self._pump.wake()

    def _leave(self, *, goodbye: bool) -> None:
        nodes.remove(self)
        if self._admin is not None:
            self._admin.close()
        if self._finders is not None:
            self._finders.close()
        self._policies.close()
        self._exports.close()
        self._vips.close()
        self._remembered.save()
        self._tiers.close()
        self._pump.close(goodbye=goodbye)
        self._transport.close()
        self._plugins.close()
