"""The server as a whole: starts listeners and node, obeys signals, drains. Decides nothing about single connections.

SIGTERM and SIGINT drain, a second one ends at once. SIGHUP rereads the configuration: everything new is made and
checked first, and only then takes the place of the old; a bad file changes nothing.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from meshcache import ConfigError, MeshcacheError, MeshNode, Settings, VipSettings

from . import process, systemd
from .applications.access_log import AccessLog
from .applications.backends import Backends
from .applications.leaving import LEAVING_MAX
from .connections.listener import Listener
from .connections.routes import Routes
from .connections.table import ConnectionTable
from .faults import Faults
from .renewal import LOOK_S, Renewal
from .report import Report
from .services import Contexts, make_contexts, make_services, routes_by_key
from .state_folder import StateFolder
from .takeover.inheritance import Inheritance
from .takeover.succession import Succession
from .takeover.warming import wait_warm

Beside = Callable[[MeshNode], AbstractContextManager[object]]
"""What runs beside the server while it is ready, in a program that embeds it."""

log = logging.getLogger("meshcache.server")


class ServerApp:
    """One server: a node that isn't started yet, the settings, and how to read them again."""

    def __init__(
        self,
        settings: Settings,
        node: MeshNode,
        reread: Callable[[], Settings],
        hangups: Sequence[int] = (),
        inheritance: Inheritance | None = None,
    ) -> None:
        self.settings = settings
        self.node = node
        self.faults = Faults()
        self.table = ConnectionTable(settings.server.max_connections, _shortest_timeout(settings), self.faults)
        self.backends = Backends()
        self.renewal = Renewal(settings)
        self.listeners: dict[str, Listener] = {}
        self._reread = reread
        self._hangups = hangups
        self.contexts: Contexts = {}
        self.report = Report(self)
        self.access = AccessLog(settings.log)
        self.succession = Succession(self)
        self.state_folder = StateFolder(settings.node.state_dir)
        self._inheritance = inheritance or Inheritance({})
        self._stop = asyncio.Event()
        self.reload_turn = asyncio.Lock()
        self._draining: asyncio.Task[None] | None = None
        self._hurried = False

    async def serve(self, beside: Beside = nullcontext) -> None:
        """Serve until a signal says to stop, and drain. The node is started here; `close` follows, however this ends.
        `beside` is entered when the server is ready.

        Raises ConfigError and the node's own errors before anything is served, and MeshcacheError where it could go on
        no more.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._fault_in_loop)
        self._obey_signals(loop)
        async with self.reload_turn:  # a SIGHUP that comes early is obeyed when the server is ready
            if not await self._start():
                return
        with beside(self.node):
            log.info("ready: %s", self._about())
            systemd.ready(self.report.status())  # in place of what the start was waiting for
            if self._hangups:
                self._reload_soon()
            renewing = asyncio.create_task(self._renew_when_due())
            await self._stop.wait()
            renewing.cancel()
            await self._drain()
        if self.succession.failed:
            raise MeshcacheError("the server could not go on after another did not take its place; the log says why")

    def close(self) -> None:
        """Leave the mesh and give back what is held; last the place of a process before, which then goes on at once."""
        self.node.close()
        self.state_folder.release()
        self._inheritance.close()

    async def _start(self) -> bool:
        """Begin to accept. Returns False if a signal ended it before."""
        inherited = self._inheritance
        self.access.open()
        contexts = make_contexts(self.settings)
        listeners = self._bind(self.settings)
        inherited.leave_the_rest()
        try:
            await asyncio.to_thread(inherited.claim)
            self.state_folder.hold()
            self.node.start()
            self._tell_of_itself(asyncio.get_running_loop())
            self.table.start()
            routes = self._attach(self.settings, contexts)
            await asyncio.to_thread(inherited.take, self.node.bequest)
            for_keys = bool(self.settings.tickets.export) and not any(vip.listen for vip in self.settings.vips)
            warm_s = inherited.warm_s(self.settings.server.warm_s)
            await wait_warm(self.node, warm_s, self._stop, for_keys=for_keys)
            if self._stop.is_set():
                _close(listeners.values())
                self.table.stop()
                return False
            _listen(self.settings, listeners)
            await asyncio.to_thread(inherited.serving)
            await self._install(self.settings, contexts, listeners, routes)
        except BaseException:
            _close(listeners.values())
            raise
        self.report.serving()
        gc.freeze()  # what is there now stays; collections needn't look at it again
        return True

    async def go_on(self, node: MeshNode, take: Callable[[], None]) -> None:
        """Serve with another node, after the one before has given its place in vain; `take` brings it the sessions."""
        self.node = node
        routes = self._attach(self.settings, self.contexts)
        await asyncio.to_thread(take)
        await self._install(self.settings, self.contexts, self.listeners, routes)
        self._tell_of_itself(asyncio.get_running_loop())

    def _tell_of_itself(self, loop: asyncio.AbstractEventLoop) -> None:
        self.node.front.tells(
            self.report.stats,
            lambda: self.report.reload(loop),
            lambda path: self.succession.hand_over(loop, path),
        )

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Drain and end; the second call ends at once. One whose place is taken drains for long, until it is called."""
        if self.succession.given and self._draining is not None and not self._hurried:
            self._hurried = True
            self._draining.cancel()
        elif self._stop.is_set():
            for number in (signal.SIGTERM, signal.SIGINT):  # a third signal is the kernel's business
                asyncio.get_running_loop().remove_signal_handler(number)
            if self._draining is not None:
                self._draining.cancel()
            self.table.abort()
            self.backends.leaving.abort()
        self._stop.set()

    async def reload(self, reread: Callable[[], Settings] | None = None) -> bool:
        """Take the file's new contents, or what `reread` returns; whatever is wrong with them is logged, and everything
        stays as it was. Open connections keep what they began with, and the node keeps its cache.
        """
        async with self.reload_turn:
            return await self._reload(reread or self._reread)

    async def _reload(self, reread: Callable[[], Settings]) -> bool:
        systemd.reloading()
        self.access.reopen()
        try:
            before, settings = self.settings, reread()
            await self._replace(settings)
        except MeshcacheError as error:
            faults = error.faults if isinstance(error, ConfigError) else [str(error)]
            self.report.reload_failed(faults)  # first: whoever has read the log finds it in the numbers, too
            for fault in faults:
                log.error("not reloaded: %s", fault)  # noqa: TRY400  # the fault says it all
            return False
        except Exception:
            self.report.reload_failed(["a fault of the server's own; its log has it"])
            log.exception("not reloaded, by a fault of the server's own")
            return False
        else:
            self.report.reloaded(before, settings, self.node.policies.hidden)
            log.info("reloaded: %s", self._about())
            return True
        finally:
            systemd.ready(self.report.status())

    async def _renew_when_due(self) -> None:
        """Take certificates that were replaced on disk. A pair that doesn't fit stays out of use."""
        while True:
            await asyncio.sleep(LOOK_S)
            async with self.reload_turn:
                if self.renewal.due():
                    await self.renew()

    async def renew(self) -> None:
        """Take the certificates that are on disk now, or log why not."""
        try:
            await self._replace(self.settings, keys=False)
        except MeshcacheError as error:
            for fault in self.renewal.news(error.faults if isinstance(error, ConfigError) else [str(error)]):
                log.warning("certificates changed and are not taken yet: %s", fault)
        except Exception:
            log.exception("certificates not renewed, by a fault of the server's own")
        else:
            log.info("certificates renewed")

    async def _replace(self, settings: Settings, *, keys: bool = True) -> None:
        taken = settings.without_restart(self.settings)
        files = self.renewal.look(taken)
        contexts = make_contexts(taken)
        if not keys:  # of a reload that is refused they are no reason not to try them again
            self.renewal.read(files)
        listeners = self._bind(taken, self.listeners)
        held = self.settings, self.contexts, self.listeners, {key: of.routes for key, of in self.listeners.items()}
        before, after = set(self.listeners.values()), set(listeners.values())
        put_back: Callable[[], None] | None = None
        try:
            put_back = await asyncio.to_thread(self.node.reload, settings, keys=keys)  # new keys take it seconds
            await self._install(taken, contexts, listeners, self._attach(taken, contexts))
        except BaseException:  # whatever it is, nothing new may be left standing
            _close(after - before)
            if put_back is not None:
                try:
                    await asyncio.to_thread(put_back)
                    self._join(*held[:2])
                    await self._install(*held)
                except Exception:
                    log.exception("not all is as before the reload that failed")
            raise
        _close(before - after)
        self.renewal.taken(files)

    def _bind(self, settings: Settings, present: dict[str, Listener] | None = None) -> dict[str, Listener]:
        """Return these settings' listeners: present ones, and new ones, bound, which listen where some are present."""
        listens, present = present is not None, present or {}
        bound = {listener.bound_address: listener for listener in present.values()}
        listeners: dict[str, Listener] = {}
        fresh: list[Listener] = []
        faults = []
        for place, key, address in addresses_of(settings):
            listener = listeners.get(key) or present.get(key) or bound.get(address)
            if listener is None:
                listener = Listener(address, self.table)
                given = self._inheritance.sockets.pop(key, None)
                try:
                    if given is None:
                        listener.bind()
                    else:
                        listener.adopt(given, listens=self._inheritance.listens)
                    if listens:
                        listener.listen()
                except OSError as error:
                    faults.append(not_had(place, address, error))
                    continue
                fresh.append(listener)
            listeners[key] = listener
        if faults:
            _close(fresh)
            raise ConfigError(faults)
        return listeners

    def _attach(self, settings: Settings, contexts: Contexts) -> dict[str, Routes]:
        """Join each context to its VIP. Return what each listener is to serve, by its key. Raises as `_join`."""
        self._join(settings, contexts)
        services = {
            vip.name: make_services(vip, contexts[vip.name], settings, self.node, self.backends, self.access)
            for vip in settings.vips
            if vip.name in contexts
        }
        return routes_by_key(_keys(settings), services)

    def _join(self, settings: Settings, contexts: Contexts) -> None:
        """Join each context to its VIP, in the file's order. Raises AttachError and HookError."""
        for vip in settings.vips:
            for each in contexts.get(vip.name, ()):
                self.node.attach(each.context, vip=vip.name, pauses=True)

    async def _install(
        self,
        settings: Settings,
        contexts: Contexts,
        listeners: dict[str, Listener],
        routes: dict[str, Routes],
    ) -> None:
        self.settings, self.contexts, self.listeners = settings, contexts, listeners
        limits = settings.server
        if any(vip.backend for vip in settings.vips):
            process.allow_files(limits.max_connections + LEAVING_MAX // 2, 2)
        else:
            process.allow_files(limits.max_connections, 1)
        self.table.tune(limits.max_connections, _shortest_timeout(settings))
        for key, served in routes.items():
            await listeners[key].serve(served)
        self.backends.watch(vip for vip in settings.vips if vip.listen)

    async def _drain(self) -> None:
        self.report.stopping()
        limits = self.settings.server
        drain_s = limits.take_over_drain_s if self.succession.given else limits.drain_s
        if not self.succession.given:
            systemd.stopping()
        log.info("stopping: %d connections have %g s to end", len(self.table), drain_s)
        _close(self.listeners.values())
        self._draining = asyncio.create_task(self.table.drain(drain_s))
        await asyncio.wait([self._draining])
        if self._hurried:
            self._draining = asyncio.create_task(self.table.drain(limits.drain_s))
            await asyncio.wait([self._draining])
        self.backends.stop()
        await self.backends.leaving.drain()
        self.table.stop()
        self.faults.report(float("inf"))
        self.access.close()

    def _obey_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        loop.add_signal_handler(signal.SIGUSR1, self.access.reopen)

    def _reload_soon(self) -> None:
        if not self._stop.is_set():
            self._reloading = asyncio.create_task(self.reload())

    def _about(self) -> str:
        """One line that says who serves what where: ``edge-1@ams1 mesh=10.0.0.4:7946 shop=0.0.0.0:443``."""
        places: dict[str, list[str]] = {}
        for vip, key in _keys(self.settings):
            places.setdefault(vip.name, []).append(self.listeners[key].bound_address)
        served = [f"{name}={','.join(addresses)}" for name, addresses in places.items()]
        return " ".join([f"{self.node.name}@{self.node.colo}", f"mesh={self.node.address}", *served])

    def _fault_in_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _SCARCE:  # asyncio tries again each second
            self.faults.count(f"none accepted: {os.strerror(error.errno).lower()}")
        elif isinstance(error, Exception):
            self.faults.bug(str(context.get("message", "in the loop")), error)
        else:
            loop.default_exception_handler(context)


_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""No descriptor or no memory is left for a connection: nobody's fault in the code."""


def addresses_of(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield each address to listen on: its place in the file, the key of its listener, itself.

    A port of 0 is another port each time, so there the VIP is part of the key; another address may change its VIP.
    """
    for index, vip in enumerate(settings.vips):
        for at, address in enumerate(vip.listen):
            key = f"{vip.name}[{at}]" if address.endswith(":0") else address
            yield f"vip[{index}].listen[{at}]", key, address


def _keys(settings: Settings) -> Iterator[tuple[VipSettings, str]]:
    vips = [vip for vip in settings.vips for _ in vip.listen]
    return zip(vips, (key for _, key, _ in addresses_of(settings)), strict=True)


def _shortest_timeout(settings: Settings) -> float:
    own = [each for vip in settings.vips for each in (vip.handshake_timeout_s, vip.idle_timeout_s) if each]
    return min(settings.server.handshake_timeout_s, settings.server.idle_timeout_s, *own)


def not_had(place: str, address: str, error: OSError) -> str:
    return f"{place}: {address} can't be had: {(error.strerror or str(error)).lower()}"


def _listen(settings: Settings, listeners: dict[str, Listener]) -> None:
    """Let clients in. Raises ConfigError when somebody else has begun to listen at an address meanwhile."""
    faults = []
    for place, key, address in addresses_of(settings):
        try:
            listeners[key].listen()
        except OSError as error:
            faults.append(not_had(place, address, error))
    if faults:
        raise ConfigError(faults)


def _close(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.close()
