"""OpenSSL's callbacks, ClientHello, get, new, remove, ids, three for tickets: one set for each OpenSSL in the process.

Compiled where there is the module for it (`compiled` joins the two), else these in Python, with the same answers.

They belong to no context, so a context for each connection costs nothing that stays. They never raise into OpenSSL: any
fault is counted and is a miss, or a session that isn't kept. What a signal handler raises in the midst of one,
KeyboardInterrupt above all, is raised again once it has returned.

An application's own ClientHello callback can't be kept, since OpenSSL has no function that tells which one is set.
What they do is in `hello`, `lookup` and `creation`: closures, since a handshake finds what a closure holds sooner than
what an object holds, and calls into OpenSSL counted, since each costs 0.2 us hot and 1 us cold.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType

import meshcache.hot as hot
from meshcache.errors import HookError
from meshcache.tls.compiled import compiled_callbacks
from meshcache.tls.creation import new_callback, remove_callback
from meshcache.tls.functions import Functions, ffi
from meshcache.tls.hello import CLIENT_HELLO_SUCCESS, hello_callback
from meshcache.tls.lookup import get_callback
from meshcache.tls.minting import generate_callback
from meshcache.tls.state import Attached, Mode, State
from meshcache.tls.tickets import IGNORE_RENEW, ticket_key_callback, ticket_made_callback, ticket_opened_callback

_KINDS = {
    "hello": ("int(uintptr_t, void *, uintptr_t)", hello_callback, CLIENT_HELLO_SUCCESS),
    "get": ("uintptr_t(uintptr_t, char *, int, int *)", get_callback, 0),
    "new": ("int(uintptr_t, uintptr_t)", new_callback, 0),
    "remove": ("void(uintptr_t, uintptr_t)", remove_callback, None),
    "generate": ("int(uintptr_t, char *, unsigned int *)", generate_callback, 0),
    "ticket_key": ("int(uintptr_t, char *, char *, uintptr_t, uintptr_t, int)", ticket_key_callback, 0),
    "ticket_made": ("int(uintptr_t, void *)", ticket_made_callback, 1),
    "ticket_opened": ("int(uintptr_t, uintptr_t, char *, size_t, int, void *)", ticket_opened_callback, IGNORE_RENEW),
}
"""Types of the callbacks, and what OpenSSL gets whatever is raised and whenever: cffi sees to that, ctypes would return
what happens to be on the stack."""


_NO_CALLBACKS = (
    "callbacks can't be made: this process may have no memory that is both writable and executable "
    "(MemoryDenyWriteExecute= of systemd, PR_SET_MDWE of prctl(2), or SELinux's execmem), which callbacks in Python "
    "need. Install meshcache's compiled module, which needs none (a C compiler, and the installation again), or turn "
    "that setting off"
)


_LEAVES_S = 0.0005
"""Between two looks whether a thread has left a callback."""


class Callbacks:
    """The callbacks for one OpenSSL, by address, and the attachments they serve."""

    def __init__(self, functions: Functions) -> None:
        """Raises HookError where callbacks in Python are not allowed and there is no compiled module."""
        self.functions = functions
        self.state = State(functions)
        """What they share while they run."""
        self._compiled = None
        if hot.compiled is None:
            self.addresses = self._in_python()
        else:
            self._compiled = compiled_callbacks(hot.compiled, self.state)
            self.addresses = self._compiled.addresses

    def _in_python(self) -> dict[str, int]:
        addresses: dict[str, int] = {}
        for name, (kind, make, error) in _KINDS.items():
            try:
                uncaught = _uncaught_in_generate if name == "generate" else _uncaught
                made = ffi.callback(kind, make(self.state), error=error, onerror=uncaught)
            except MemoryError:
                raise HookError(_NO_CALLBACKS) from None
            # Never freed: a connection can be while the interpreter ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
            addresses[name] = int(ffi.cast("uintptr_t", made))
        return addresses

    def __len__(self) -> int:
        return len(self.state.attachments)

    def at(self, pointer: int) -> Attached | None:
        """Return the attachment of the SSL_CTX at this address."""
        return self.state.attachments.get(pointer)

    def add(self, attached: Attached) -> None:
        """Serve an attachment from now on, or as it is now."""
        if attached.names is not None:
            self.state.look_for_names()
        if self._compiled is not None:
            self._add_compiled(self._compiled, attached)
        self.state.attachments[attached.pointer] = attached

    def drop(self, attached: Attached) -> None:
        """Forget an attachment. Must happen before its SSL_CTX is freed: another may get the same address."""
        if self.at(attached.pointer) is attached:
            self.state.attachments.pop(attached.pointer, None)  # another thread may drop it as well
            if self._compiled is not None:
                self._compiled.drop(attached.pointer)

    def counter(self, otherwise: Callable[[object], object]) -> Callable[[object], object]:
        """Return what counts handshakes of connections that state their address as ended well, at their VIP's door, and
        calls `otherwise` where it can't; `otherwise` itself where there is nothing compiled.
        """
        return otherwise if self._compiled is None else self._compiled.counter(otherwise)

    def _add_compiled(self, compiled: hot.Callbacks, attached: Attached) -> None:
        scopes = attached.scopes
        compiled.add(
            attached.pointer,
            attached,
            scopes,
            scopes.compiled_answers(),
            attached.port.door,
            attached.verify_mode,
            list(Mode).index(attached.mode),
            attached.pauses,
            None if attached.names is None else attached.names.compiled,
        )

    def chosen_for(self, ssl: int) -> int:
        """Return the address of the context that a connection was moved to by its server name, or left at; 0 where the
        ClientHello callback didn't choose.
        """
        chose = self.functions.SSL_get_ex_data(ssl, self.state.listening_index)
        return int(self.functions.SSL_get_SSL_CTX(ssl)) if chose else 0

    def token_of(self, ssl: int) -> int:
        """Return the token of the session that a connection resumed; 0 after a full handshake or before any."""
        session = self.functions.SSL_get_session(ssl)
        return int(self.functions.SSL_SESSION_get_ex_data(session, self.state.token_index)) if session else 0


def _uncaught(kind: type[BaseException], error: object, _trace: object) -> None:
    """OpenSSL gets the error value, a miss; Ctrl-C and SystemExit are the program's, and come back to it.

    By a thread, since they would be lost in here. The compiled callbacks do this by themselves.
    """
    if not isinstance(error, Exception):
        _thread.start_new_thread(_raise_in, (_thread.get_ident(), kind))


def _uncaught_in_generate(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> int:
    """Give the session a random id first: the handshake fails for want of one, and Ctrl-C of the callback before may
    come back in this one.
    """
    while trace is not None and not {"place", "length"} <= trace.tb_frame.f_locals.keys():
        trace = trace.tb_next
    if trace is not None:
        place, length = (trace.tb_frame.f_locals[name] for name in ("place", "length"))
        ffi.memmove(place, os.urandom(length[0]), length[0])
    _uncaught(kind, error, trace)
    return trace is not None


_UNCAUGHT = (_uncaught.__code__, _uncaught_in_generate.__code__)


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    while _is_in_uncaught(sys._current_frames().get(thread)):  # noqa: SLF001 - documented by this name
        time.sleep(_LEAVES_S)
    # Nobody else ran since the look: both hold the interpreter's lock, which `pythonapi` doesn't give up.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def _is_in_uncaught(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code not in _UNCAUGHT:
        frame = frame.f_back
    return frame is not None
