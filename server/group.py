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
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from meshcache import AdminGroup, ConfigError, MeshcacheError, Settings

from . import messages, systemd
from .app import addresses_of, not_had
from .connections.listener import Listener
from .connections.table import ConnectionTable
from .credentials import CredentialsNote
from .faults import Faults
from .group_settings import Fresh, GroupSettings
from .notices import Notices
from .report import failed_reload
from .state_folder import StateFolder
from .takeover.inheritance import Inheritance
from .worker import HURRY, OTHER_ADDRESSES, REOPEN, STOP, TAKE
from .worker_place import WorkerPlace

END_S = 15.0
"""Beyond ``server.drain_s``, for a worker to leave the mesh and end; then it is killed."""

NOT_YET = "not all workers serve yet; they take the file once they do"
"""Said to who asks for a reload then: a start may take longer than anybody waits for an answer."""

log = logging.getLogger("meshcache.server")


class Group:
    """The workers of one server, and what is said of them as one."""

    def __init__(
        self,
        path: Path,
        overrides: Sequence[str],
        hangups: Sequence[int] = (),
        inheritance: Inheritance | None = None,
    ) -> None:
        """Read the file at `path`. Raises ConfigError."""
        self._file, self._hangups = GroupSettings(path, overrides), hangups
        settings = self._file.now
        self._inheritance = inheritance or Inheritance({})
        self._listens = bool(self._inheritance.sockets)
        self._workers = [WorkerPlace() for _ in range(settings.server.workers)]
        self._listeners: dict[str, Listener] = {}
        self._state_folder = StateFolder(settings.node.state_dir)
        self._admin = AdminGroup(settings, self._sockets, self._about)
        self._notices = Notices(self._heard)
        self._credentials = CredentialsNote()
        self._stop = asyncio.Event()
        self._all_ready = asyncio.Event()
        self._failed: int | None = None
        self._reload_turn = asyncio.Lock()
        self._reloading: asyncio.Task[dict[str, Any]] | None = None
        self._last_reload: dict[str, Any] | None = None
        self._last_reload_at = 0.0
        self._started_at = time.monotonic()

    @property
    def settings(self) -> Settings:
        """What all workers run with."""
        return self._file.now

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
        if self._hangups:
            self._reload_soon()
        await self._stop.wait()
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

    def _tell_ready(self) -> None:
        places: dict[str, list[str]] = {}
        for vip, key in self._keys():
            places.setdefault(vip, []).append(self._listeners[key].bound_address)
        served = " ".join(f"{name}={','.join(addresses)}" for name, addresses in places.items())
        node = self.settings.node
        log.info("ready: %s@%s workers=%d %s", node.name, node.colo, len(self._workers), served)
        systemd.ready(self._status())
        self._all_ready.set()

    def _tell_systemd(self) -> None:
        """Say how many serve. READY=1 would tell of a start, or a reload, that it has ended."""
        if not self._all_ready.is_set():
            systemd.starting(self._status())
        elif not self._reload_turn.locked():
            systemd.ready(self._status())

    # --- workers

    async def _keep(self, worker: WorkerPlace) -> None:
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
            worker.ended()
            when = f"in {worker.pause_s:g} s" if worker.pause_s else "now"
            log.error("%s; another starts %s", how, when)
            self._tell_systemd()

    async def _run_one(self, worker: WorkerPlace) -> tuple[int, str]:
        """Start a worker's process, and wait until it ends. Return its exit code, and in words how it ended."""
        try:
            process = await self._start(worker)
        except (OSError, RuntimeError, MemoryError) as error:  # no process, thread, descriptor or memory is left
            return 1, f"a worker process can't be started: {str(error) or type(error).__name__}"
        if self._stop.is_set():
            worker.say(STOP)
        code = await process.wait()
        worker.serves_no_more()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return code, f"worker process {process.pid} {how}"

    async def _start(self, worker: WorkerPlace) -> asyncio.subprocess.Process:
        form, level = messages.chosen()
        descriptors = {key: listener.listening.fileno() for key, listener in self._listeners.items()}
        worker.begins()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", f"{__package__}.worker"),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=tuple(descriptors.values()),
            env=self._notices.environment(),
            start_new_session=True,  # Ctrl-C is the group's to pass on, as a wish to drain
        )
        worker.began(process)
        worker.has(self._file.number)
        told = {"log_format": form, "log_level": level, "sockets": descriptors, "listens": self._listens}
        worker.say(json.dumps(told | self._file.for_start()).encode())
        return process

    def _heard(self, process_id: int, told: dict[str, str]) -> None:
        """Take what a worker tells of itself, as it would tell systemd."""
        worker = next((each for each in self._workers if each.process_id == process_id), None)
        if worker is None or self._stop.is_set():
            return
        if (taken := told.get(systemd.TAKEN)) is not None:
            worker.has(int(taken) if taken.isdecimal() else None)
            self._settle([worker])
        if told.get("READY") == "1" and not worker.ready:
            self._begins_to_serve(worker)
        elif told.get("STOPPING") == "1":
            worker.serves_no_more()
        elif not self._all_ready.is_set():
            self._tell_systemd()

    def _begins_to_serve(self, worker: WorkerPlace) -> None:
        worker.serves()
        self._listens = True  # the sockets do now, whoever begins next
        if not self._all_ready.is_set() and all(each.ready for each in self._workers):
            self._tell_ready()
        else:
            self._tell_systemd()
        self._settle([worker])

    def _settle(self, workers: Iterable[WorkerPlace]) -> None:
        """Have workers that serve with other settings than their siblings take theirs: those that started while these
        were taken, that were told to read the file by themselves, or that took what others then refused.
        """
        if not self._reload_turn.locked():  # it ends with this
            for worker in workers:
                worker.settle(self._file.number, self._what_to_take)

    def _what_to_take(self) -> bytes:
        """Nothing in the midst of a reload, which may be about to change it."""
        return b"" if self._reload_turn.locked() else TAKE + b" " + json.dumps(self._file.told()).encode()

    @property
    def _living(self) -> int:
        return sum(worker.process_id is not None for worker in self._workers)

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
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        loop.add_signal_handler(signal.SIGUSR1, self._say, REOPEN)

    def stop(self) -> None:
        """Let the workers drain and end; the second call ends them at once."""
        if self._stop.is_set():
            self._say(HURRY)
        self._stop.set()

    def _reload_soon(self) -> None:
        if self._reloading is not None and not self._all_ready.is_set():
            return  # that one has yet to read the file
        self._reloading = asyncio.create_task(self.reload())

    async def reload(self) -> dict[str, Any]:
        """Let each worker take the file's new contents, once all serve. Whatever is wrong with them is logged, and
        those who took them go back to what all have.
        """
        async with self._reload_turn:
            if not await self._all_serve():
                return failed_reload(["the server ends"])
            systemd.reloading()
            try:
                result = await self._reloaded()
            except MeshcacheError as error:
                result = failed_reload(error.faults if isinstance(error, ConfigError) else [str(error)])
            # Noted first: whoever has read the log finds it in the numbers, too.
            self._last_reload, self._last_reload_at = result, time.monotonic()
            for fault in result["faults"]:
                log.error("not reloaded: %s", fault)
            systemd.ready(self._status())
        self._settle(self._workers)
        return result

    async def _all_serve(self) -> bool:
        """Wait until all workers have begun to serve. Returns False if the server is told to end before."""
        begun = [asyncio.create_task(event.wait()) for event in (self._all_ready, self._stop)]
        await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        for each in begun:
            each.cancel()
        return not self._stop.is_set()

    async def _reloaded(self) -> dict[str, Any]:
        fresh = self._file.read()
        faults = fresh.settings.worker_faults()
        if {key for _, key, _ in addresses_of(fresh.settings)} != set(self._listeners):
            faults.append(OTHER_ADDRESSES)
        if faults:
            raise ConfigError(faults)
        serving = {worker.process_id for worker in self._workers if worker.ready and worker.process_id}
        if not serving:  # and perhaps none can with what was in the file before
            self._file.take(fresh)
            raise MeshcacheError("no worker serves; those that start take what is in the file now")
        result, taken = await asyncio.to_thread(self._admin.reload_each, serving)
        if result["ok"]:
            result |= self._taken(fresh, taken)
        else:
            for worker in self._places_of(taken):
                worker.has(None)  # the worker's own word of it may have been lost
        return result

    def _taken(self, fresh: Fresh, by: Collection[int]) -> dict[str, Any]:
        """The workers have taken that, and these processes did so now. Return what it changes."""
        changed, restart = self._file.take(fresh)
        if self._file.still(fresh):  # else some of them may have read what came after it
            for worker in self._places_of(by):
                if worker.settings is None:  # else it took others since: what it was told before this began
                    worker.has(self._file.number)
        self._credentials.tell(fresh.settings)
        log.info("reloaded: %d workers have taken %s", self._living, self._file.path)
        if restart:
            log.warning("these change only with a restart: %s", ", ".join(restart))
        return {"changed": changed, "restart": restart}

    def _places_of(self, processes: Collection[int]) -> list[WorkerPlace]:
        return [worker for worker in self._workers if worker.process_id in processes]

    def _reload_from(self, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
        if not self._all_ready.is_set():
            loop.call_soon_threadsafe(self._reload_soon)
            return failed_reload([NOT_YET])
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
