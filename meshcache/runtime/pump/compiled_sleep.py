"""The pump's sleep in C: it goes on while all that comes are pushes like those before them, which C files by itself.

Only where the compiled module is and reads the mesh's sockets; else the pump sleeps, reads and asks the core in Python.
The lock around the core is C's then, which sees to it that nothing is filed under what doesn't hold any more: see
`hot/lock.c`.
"""

from __future__ import annotations

import atexit
import logging
import weakref
from types import TracebackType
from typing import NamedTuple, Protocol

import meshcache.hot as hot
from meshcache.core.mesh import MeshCore
from meshcache.edges import native
from meshcache.edges.transport import Transport
from meshcache.runtime.tracing import shown

log = logging.getLogger("meshcache.mesh")


class AnyLock(Protocol):
    """A way to take a lock: Python's own lock is one, and C's."""

    def __enter__(self) -> bool: ...
    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None, /
    ) -> None: ...
    def locked(self) -> bool: ...


class CoreLock(NamedTuple):
    """The lock around the core. Who takes it `quietly` changes nothing that was asked before a push was filed: who may
    send, what may come, whether anybody waits for it. C goes on with what it was permitted then.
    """

    lock: AnyLock
    quietly: AnyLock
    compiled: hot.Lock | None
    """The same lock, where C has it."""


def core_lock() -> CoreLock:
    """Return a new one."""
    if hot.compiled is None:
        lock = native.Lock()
        return CoreLock(lock, lock, None)
    compiled: hot.Lock = hot.compiled.Lock()
    return CoreLock(compiled, compiled.quiet(), compiled)


_all: weakref.WeakSet[CompiledSleep] = weakref.WeakSet()


@atexit.register
def _interpreter_ends() -> None:
    """Use no socket any more: without the interpreter's lock a thread goes on while those go."""
    for each in list(_all):
        each.stop()


class CompiledSleep:
    """The pump's sleep where C reads and files. Used by the pump's thread, but for `resting` and `answer_waits`."""

    def __init__(self, core: MeshCore, transport: Transport, lock: hot.Lock, wakeup: int) -> None:
        assert hot.compiled is not None, "asked before"
        self._core = core
        self._lock = lock
        self._wakeup = wakeup
        self._compiled: hot.Inflow = hot.compiled.Inflow(lock, transport.lock)
        lock.on_take(self._settle)
        core.intake_fast_path.permit_to(self._compiled)
        sockets = transport.in_c
        assert sockets is not None, "asked before"
        self._sockets = sockets
        self.plan()
        self.answer_waits = self._compiled.answer_waits
        self.caught_up = self._compiled.caught_up
        self.stopped = False
        """Whether `stay` would return at once."""
        _all.add(self)

    def plan(self) -> None:
        """Take over how long messages may lie, by how many peers there are, while none of them asks for sessions."""
        self._rests_s = self._core.rest_s(1), self._core.rest_s(2), self._core.rest_s(3)

    @property
    def generation(self) -> int:
        """How often the lock was taken by who may have changed something: for `stay`, with the lock held."""
        return self._lock.generation

    def stay(
        self, generation: int, received: int, whole_at: float, collected_until: float
    ) -> tuple[list[tuple[bytes, bytes]], bool, int]:
        """Sleep after so many messages were read, until one of these moments, or until anything but known pushes comes.

        `generation` is that of a moment when nobody waited for a session, and no peer has asked for one lately. Returns
        messages that weren't filed, whether there may be more here, and what the eventfd said.
        """
        came, more, woken, other = self._compiled.stay(
            *self._sockets, self._wakeup, generation, received, whole_at, collected_until, self._rests_s
        )
        return came, more or other, woken

    @property
    def resting(self) -> bool:
        """Whether what comes lies unread for a while."""
        return self._compiled.resting

    @property
    def backlog(self) -> bool:
        """Whether more has come than was read at once: handshakes that find nothing ask in Python, which reads it."""
        return self._compiled.backlog

    def stop(self) -> None:
        """Use no socket any more without the interpreter's lock; the pump goes on in Python, with which it ends."""
        self.stopped = True
        self._compiled.stop()

    def close(self) -> None:
        """File nothing any more, and use no socket once the transport's lock was taken."""
        with self._lock:
            self._core.intake_fast_path.permit_to(None)
            self._compiled.close()
            self._lock.on_take(None)

    def _settle(self) -> None:
        try:
            self._core.intake_fast_path.filed(self._compiled.take())
        except Exception as error:  # noqa: BLE001 - whoever takes the lock has nothing to do with it
            log.error("a fault in the mesh, which goes on; please report it: %s", shown(error))  # noqa: TRY400


def compiled_sleep(core: MeshCore, transport: Transport, lock: CoreLock, wakeup: int) -> CompiledSleep | None:
    """Return the compiled way, or None where there is none."""
    if lock.compiled is None or not hasattr(hot.compiled, "Inflow") or transport.in_c is None:
        return None
    return CompiledSleep(core, transport, lock.compiled, wakeup)
