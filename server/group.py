"""Several workers of one server: starts them, keeps them running, passes on what operators say. Serves nobody itself.

All workers accept from one set of listening sockets, which this process makes and holds: a worker that leaves resets
nobody, for what waits in a socket's queue is taken by the others. (With SO_REUSEPORT each worker has a queue of its
own, and the kernel resets what is in it when its socket is closed.) Each is a node of its own; they find each other
through the state folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from meshcache import AdminGroup, ConfigError, MeshcacheError, Settings, changed_keys, load, needs_restart

from . import messages, systemd
from .app import addresses_of, not_had
from .connections.listener import Listener
from .connections.table import ConnectionTable
from .faults import Faults
from .notices import Notices
from .state_folder import StateFolder
from .takeover.inheritance import Inheritance
from .worker import HURRY, OTHER_ADDRESSES, REOPEN, STOP

STEADY_S = 10.0
"""Whoever ran for so long is replaced at once when it ends; else it waits, twice as long each time."""

PAUSE_S, PAUSE_S_MAX = 0.5, 30.0

END_S = 15.0
"""Beyond ``server.drain_s``, for a worker to leave the mesh and end; then it is killed."""

log = logging.getLogger("meshcache.server")


class _Worker:
    """One place in the group, and the process that has it now."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.ready = False
        self.was_ready = False
        self.started_at = 0.0
        self.pause_s = 0.0

    def say(self, word: bytes) -> None:
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError, RuntimeError):
                self.process.stdin.write(word + b"\n")


class Group:
    """The workers of one server, and what is said of them as one."""

    def __init__(
        self,
        settings: Settings,
        path: Path,
        overrides: Sequence[str],
        hangups: Sequence[int] = (),
        inheritance: Inheritance | None = None,
    ) -> None:
        self.settings = settings
        self._path, self._overrides, self._hangups = path.absolute(), tuple(overrides), hangups
        self._inheritance = inheritance or Inheritance({})
        self._listens = bool(self._inheritance.sockets)
        self._workers = [_Worker() for _ in range(settings.server.workers)]
        self._listeners: dict[str, Listener] = {}
        self._state_folder = StateFolder(settings.node.state_dir)
        self._admin = AdminGroup(settings, self._sockets, self._about)
        self._notices = Notices(self._heard)
        self._stop = asyncio.Event()
        self._all_ready = asyncio.Event()
        self._failed: int | None = None
        self._reload_turn = asyncio.Lock()
        self._last_reload: dict[str, Any] | None = None
        self._last_reload_at = 0.0
        self._started_at = time.monotonic()

    async def serve(self) -> None:
        """Serve until a signal says to stop, and until all workers have ended.

        Raises ConfigError and MeshcacheError where the first workers can't start.
        """
        loop = asyncio.get_running_loop()
        faults = self.settings.worker_faults()
        if faults:
            self._inheritance.close()
            raise ConfigError(faults)
        try:
            self._state_folder.hold()
            self._bind()
            self._admin.front.tells(self._tell, lambda: self._reload_from(loop), _refuse_to_hand_over)
            self._notices.open(loop)
            await asyncio.to_thread(self._admin.start)
            self._obey_signals(loop)
            await self._run()
        finally:
            self._close_sockets()
            self._notices.close(loop)
            await asyncio.to_thread(self._admin.close)
            self._state_folder.release()
        if self._failed is not None:
            why = "a worker could not start; what it says is above"
            raise ConfigError([f"server.workers: {why}"]) if self._failed == 2 else MeshcacheError(why)

    async def _run(self) -> None:
        keeping = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
        telling = asyncio.create_task(self._tell_when_ready())
        await self._stop.wait()
        telling.cancel()
        systemd.stopping()
        log.info("stopping: %d workers have %g s to end", self._living, self.settings.server.drain_s)
        self._close_sockets()
        self._say(STOP)
        _, late = await asyncio.wait(keeping, timeout=self.settings.server.drain_s + END_S)
        for worker in self._workers:
            if late and worker.process is not None and worker.process.returncode is None:
                log.error("worker process %d does not end; it is killed", worker.process.pid)
                worker.process.kill()
        await asyncio.gather(*keeping)

    async def _tell_when_ready(self) -> None:
        await self._all_ready.wait()
        places: dict[str, list[str]] = {}
        for vip, key in self._keys():
            places.setdefault(vip, []).append(self._listeners[key].bound_address)
        served = " ".join(f"{name}={','.join(addresses)}" for name, addresses in places.items())
        node = self.settings.node
        log.info("ready: %s@%s workers=%d %s", node.name, node.colo, len(self._workers), served)
        systemd.ready(self._status())
        if self._hangups:
            await self.reload()

    # --- workers

    async def _keep(self, worker: _Worker) -> None:
        """Run a worker, and another in its place when it ends before it is told to."""
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), worker.pause_s or 0.001)
                return
            code, how = await self._run_one(worker)
            if self._stop.is_set():
                return
            if not worker.was_ready and not self._all_ready.is_set():
                log.error("%s", how)
                self._failed = code
                self._stop.set()
                return
            steady = worker.was_ready and time.monotonic() - worker.started_at >= STEADY_S
            worker.pause_s = 0.0 if steady else min(max(2 * worker.pause_s, PAUSE_S), PAUSE_S_MAX)
            when = f"in {worker.pause_s:g} s" if worker.pause_s else "now"
            log.error("%s; another starts %s", how, when)
            systemd.ready(self._status())

    async def _run_one(self, worker: _Worker) -> tuple[int, str]:
        """Start a worker's process, and wait until it ends. Return its exit code, and in words how it ended."""
        try:
            process = await self._start(worker)
        except (OSError, RuntimeError, MemoryError) as error:  # no process, thread, descriptor or memory is left
            return 1, f"a worker process can't be started: {str(error) or type(error).__name__}"
        if self._stop.is_set():
            worker.say(STOP)
        code = await process.wait()
        worker.ready = False
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return code, f"worker process {process.pid} {how}"

    async def _start(self, worker: _Worker) -> asyncio.subprocess.Process:
        form, level = messages.chosen()
        descriptors = {key: listener.listening.fileno() for key, listener in self._listeners.items()}
        worker.process, worker.was_ready, worker.started_at = None, False, time.monotonic()
        worker.process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", f"{__package__}.worker"),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=tuple(descriptors.values()),
            env=self._notices.environment(),
            start_new_session=True,  # Ctrl-C is the group's to pass on, as a wish to drain
        )
        told = {
            "file": str(self._path),
            "overrides": list(self._overrides),
            "log_format": form,
            "log_level": level,
            "sockets": descriptors,
            "listens": self._listens,
        }
        worker.say(json.dumps(told).encode())
        return process

    def _heard(self, process_id: int, told: dict[str, str]) -> None:
        """Take what a worker tells of itself, as it would tell systemd."""
        worker = next((each for each in self._workers if each.process and each.process.pid == process_id), None)
        if worker is None:
            return
        if told.get("READY") == "1":
            worker.ready = worker.was_ready = True
            self._listens = True  # the sockets do now, whoever begins next
            if all(each.was_ready for each in self._workers):
                self._all_ready.set()
        if not self._all_ready.is_set():
            systemd.starting(f"{sum(each.was_ready for each in self._workers)} of {len(self._workers)} workers serve")

    @property
    def _living(self) -> int:
        return sum(worker.process is not None and worker.process.returncode is None for worker in self._workers)

    def _say(self, word: bytes) -> None:
        for worker in self._workers:
            worker.say(word)

    # --- addresses

    def _bind(self) -> None:
        """Take all addresses. The first worker that is ready lets clients in. Raises ConfigError."""
        faults = []
        nobody = ConnectionTable(1, 1.0, Faults())
        for place, key, address in addresses_of(self.settings):
            listener = Listener(address, nobody)
            given = self._inheritance.sockets.pop(key, None)
            try:
                if given is None:
                    listener.bind()
                    if self._listens:  # as those that systemd gave do
                        listener.listen()
                else:
                    listener.adopt(given)
            except OSError as error:
                faults.append(not_had(place, address, error))
                continue
            self._listeners[key] = listener
        self._inheritance.leave_the_rest()
        if faults:
            self._close_sockets()
            raise ConfigError(faults)

    def _close_sockets(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners = {}

    def _keys(self) -> list[tuple[str, str]]:
        vips = [vip.name for vip in self.settings.vips for _ in vip.listen]
        return list(zip(vips, (key for _, key, _ in addresses_of(self.settings)), strict=True))

    # --- what operators say and ask

    def _obey_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self.reload()))
        loop.add_signal_handler(signal.SIGUSR1, self._say, REOPEN)

    def stop(self) -> None:
        """Let the workers drain and end; the second call ends them at once."""
        if self._stop.is_set():
            self._say(HURRY)
        self._stop.set()

    async def reload(self) -> dict[str, Any]:
        """Let each worker take the file's new contents. Whatever is wrong with them is logged, and nothing changes."""
        async with self._reload_turn:
            systemd.reloading()
            try:
                result = await self._reloaded()
            except MeshcacheError as error:
                faults = error.faults if isinstance(error, ConfigError) else [str(error)]
                result = {"ok": False, "changed": [], "restart": [], "hidden": [], "faults": faults}
            # Noted first: whoever has read the log finds it in the numbers, too.
            self._last_reload, self._last_reload_at = result, time.monotonic()
            for fault in result["faults"]:
                log.error("not reloaded: %s", fault)
            systemd.ready(self._status())
            return result

    async def _reloaded(self) -> dict[str, Any]:
        settings = load(self._path, self._overrides)
        faults = settings.worker_faults()
        if {key for _, key, _ in addresses_of(settings)} != set(self._listeners):
            faults.append(OTHER_ADDRESSES)
        if faults:
            raise ConfigError(faults)
        result = await asyncio.to_thread(self._admin.reload_each)
        if result["ok"]:
            changed = changed_keys(self.settings, settings)
            restart = needs_restart(changed)
            self.settings = settings.without_restart(self.settings)
            log.info("reloaded: %d workers have taken %s", self._living, self._path)
            result |= {"changed": [key for key in changed if key not in restart], "restart": restart}
            if restart:
                log.warning("these change only with a restart: %s", ", ".join(restart))
        return result

    def _reload_from(self, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
        return asyncio.run_coroutine_threadsafe(self.reload(), loop).result()

    def _tell(self) -> dict[str, Any]:
        last = self._last_reload
        return {"reload": last and last | {"age_s": round(time.monotonic() - self._last_reload_at, 1)}}

    def _about(self) -> dict[str, Any]:
        node = self.settings.node
        uptime_s = round(time.monotonic() - self._started_at, 3)
        return {"name": node.name, "colo": node.colo, "uptime_s": uptime_s}

    def _sockets(self) -> list[Path]:
        """Where workers answer; also where one was killed. In the order of their slots."""
        folder = self.settings.node.state_dir
        found = [] if folder is None else folder.glob("worker-*/admin.sock")
        return sorted(found, key=lambda path: (len(str(path)), str(path)))

    def _status(self) -> str:
        """One line for systemd."""
        serving = sum(worker.ready for worker in self._workers)
        status = f"{serving} of {len(self._workers)} workers serve"
        if self._last_reload is not None and not self._last_reload["ok"]:
            status += f"; the last reload failed: {self._last_reload['faults'][0]}"
        return status[:200]


def _refuse_to_hand_over(_path: str) -> dict[str, Any]:
    raise MeshcacheError("a server with several workers can't be taken over (server.workers): restart it")
