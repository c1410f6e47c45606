"""Which context a connection gets by the server name in its ClientHello, where one that listens stands for several.

A map that may change at any time, and OpenSSL's SNI callback over it. The ClientHello callback looks a name up first,
before OpenSSL looks for a session: what a connection resumes is then bound to the context that it gets. OpenSSL calls
the SNI callback after that, too late to choose. It tells the connection's Python object what was chosen, and so keeps
that context alive as long as the connection; without a node it is what chooses.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import meshcache.hot as hot
from meshcache.core.policy.scope import normal_name
from meshcache.errors import AttachError, HookError
from meshcache.tls import libssl
from meshcache.tls.scopes import HOST_NAME_BYTES_MAX, host_name

UNRECOGNIZED_NAME = 112
"""The alert of RFC 6066 section 3."""

LEAVING_S = 10.0
"""How long a context that left the map is kept for handshakes that had chosen it: between the two callbacks they need
microseconds, and what Python's interpreter lock makes them wait."""

LEAVING_MAX = 64
"""How many of those are kept, at 10 to 30 KiB each. Who has chosen one before the last so many is refused."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a name leads to. ``context`` is None for the one that listens; ``pointer`` is its SSL_CTX, 0 for that one
    and where OpenSSL can't be hooked.
    """

    context: object
    pointer: int


class NameMap:
    """Names, exact or with a wildcard for their first label, and the context of each. Threads may share it."""

    def __init__(self, listening: object, pointer: int, *, refuses: bool) -> None:
        """``refuses`` ends connections that ask for no name that is here; else they get the context that listens,
        whose address is `pointer`.
        """
        self.refuses = refuses
        self.compiled = None if hot.compiled is None else hot.compiled.ContextNames(refuses)
        """What the compiled callbacks read."""
        self.ports: dict[str, Any] = {}
        """Of each VIP that a context joined: where a session that OpenSSL dropped may lie."""
        self._listening = weakref.ref(listening)
        self._listening_pointer = pointer
        self._by_name: dict[str, Named] = {}
        self._uses: dict[int, tuple[object, int]] = {}
        self._leaving: OrderedDict[int, tuple[float, object]] = OrderedDict()
        """By address, each once: one whose name comes and goes pushes out no other."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normal_name(name) in self._by_name

    def names(self) -> list[str]:
        """Return all names, in order."""
        return sorted(self._by_name)

    @property
    def listening(self) -> object:
        """The context that listens; None when it is gone."""
        return self._listening()

    def put(self, name: str, context: object, pointer: int) -> object:
        """Let a name, as `checked_name` returns it, lead to a context from now on; returns the one before, or None."""
        with self._lock:
            self._forget_leaving()
            former = self._by_name.get(name)
            is_other = context is not self._listening()
            if pointer and is_other:
                kept, uses = self._uses.get(pointer, (context, 0))
                self._uses[pointer] = kept, uses + 1
            self._by_name[name] = Named(context, pointer) if is_other else Named(None, 0)
            if self.compiled is not None:
                self.compiled.put(name.encode(), pointer or self._listening_pointer)
            self._release(former)
        return None if former is None else former.context

    def chosen_by(self, extension: bytes | None) -> tuple[int, object] | None:
        """Return the address of the context for the body of a server_name extension (None: the client sent none), and
        the context, to be held while that address is used. None: the connection is to end.
        """
        found = None if extension is None else self.find(host_name(extension))
        if found is None and self.refuses:
            return None
        return (self._listening_pointer, None) if found is None or not found.pointer else (found.pointer, found.context)

    def remove(self, name: str) -> object:
        """Let a name lead nowhere; returns the context that it led to, or None."""
        with self._lock:
            self._forget_leaving()
            former = self._by_name.pop(name, None)
            if former is not None and self.compiled is not None:
                self.compiled.remove(name.encode())
            self._release(former)
        return None if former is None else former.context

    def leads_to(self, pointer: int) -> bool:
        """Return whether a name leads to the context at this address."""
        return pointer in self._uses

    def led_to(self) -> list[int]:
        """Return the addresses of the contexts that names lead to, without the one that listens."""
        with self._lock:
            return list(self._uses)

    def find(self, server_name: str | None) -> Named | None:
        """Return what a server name leads to; None: nothing, so `refuses` decides."""
        name = normal_name(server_name or "")
        if not name or name[0] in "*.":
            return None
        found = self._by_name.get(name)
        if found is None:
            _, _, parent = name.partition(".")
            found = self._by_name.get("*." + parent) if parent else None
        return found

    def context_at(self, pointer: int) -> object:
        """Return the context at an address that a handshake chose; None: it left long ago, or never was here."""
        if pointer == self._listening_pointer:
            return self.listening
        with self._lock:
            if pointer in self._uses:
                return self._uses[pointer][0]
            return self._leaving.get(pointer, (0.0, None))[1]

    def forget_leaving(self) -> None:
        """Let go of contexts that left some time ago."""
        with self._lock:
            self._forget_leaving()

    def _release(self, former: Named | None) -> None:
        if former is None or not former.pointer:
            return
        context, uses = self._uses.pop(former.pointer)
        if uses > 1:
            self._uses[former.pointer] = context, uses - 1
        else:
            self._leaving[former.pointer] = time.monotonic() + LEAVING_S, context
            self._leaving.move_to_end(former.pointer)
            if len(self._leaving) > LEAVING_MAX:
                self._leaving.popitem(last=False)

    def _forget_leaving(self) -> None:
        now = time.monotonic()
        while self._leaving and next(iter(self._leaving.values()))[0] <= now:
            self._leaving.popitem(last=False)


def checked_name(name: str) -> str:
    """Return a name of a map as it is compared. Raises AttachError for what no client can ask for."""
    normal = normal_name(name)
    label, _, parent = normal.partition(".")
    if not normal.isascii():
        raise AttachError(f"{name!r}: a server name travels in ASCII (RFC 6066): write it in its xn-- form")
    fault = not normal or len(normal) > HOST_NAME_BYTES_MAX or "\0" in normal or normal[0] == "."
    if fault or "*" in parent or ("*" in label and (label != "*" or not parent)):
        raise AttachError(f"{name!r} is no server name; a wildcard is the whole first label, as in *.example.com")
    return normal


class NameCallback:
    """A listening context's SNI callback, for both kinds of contexts."""

    def __init__(self, names: NameMap, chosen: Callable[[object], tuple[int, bool]]) -> None:
        """`chosen` tells the address of the context that the ClientHello callback has moved a connection to, 0 where it
        didn't run, and whether that is in a VIP."""
        self._names = names
        self._chosen = chosen

    def stdlib(self, connection: Any, server_name: str | None, _context: object) -> int | None:
        """Answer as ``SSLContext.sni_callback``: return None where all is good, a number for an alert."""
        context = self._context_for(connection, server_name)
        if context is None:
            return UNRECOGNIZED_NAME
        if connection.context is not context:
            connection.context = context
        return None

    def pyopenssl(self, connection: Any) -> None:
        """As `set_tlsext_servername_callback` wants it. It can't refuse: it moves the connection to a context that
        has no certificate to show."""
        name = connection.get_servername()
        context = self._context_for(connection, None if name is None else name.decode("ascii", "replace"))
        if context is None:
            context = _without_certificate()
        if connection.get_context() is not context:
            connection.set_context(context)

    def _context_for(self, connection: object, server_name: str | None) -> object:
        """Return the context for a connection; None: it is to end."""
        chosen, served = self._chosen(connection)
        # It stays what it was even if the name leads elsewhere by now, for it may have resumed a session. In no VIP it
        # can't have, and had no ClientHello callback for a second ClientHello with another name.
        if chosen and (served or not self._names.leads_to(chosen)):
            return self._names.context_at(chosen)
        found = self._names.find(server_name)
        if found is None and self._names.refuses:
            return None
        return self._names.listening if found is None or found.context is None else found.context


def _without_certificate() -> object:
    from OpenSSL import SSL

    return SSL.Context(SSL.TLS_SERVER_METHOD)


_ours: WeakKeyDictionary[Any, object] = WeakKeyDictionary()
"""What was set on each context; a value must not hold its key."""


def set_sni_callback(context: Any, callback: NameCallback) -> None:
    """Set it on the context that listens."""
    context = libssl.unwrapped(context)
    if libssl.is_stdlib(context):
        context.sni_callback = callback.stdlib
    else:
        context.set_tlsext_servername_callback(callback.pyopenssl)
    _ours[context] = sni_callback(context)


def sni_callback(context: object) -> object:
    """Return a context's SNI callback, or None. OpenSSL has no function that tells; both Python wrappers keep it where
    it can be seen.
    """
    context = libssl.unwrapped(context)
    return getattr(context, "sni_callback" if libssl.is_stdlib(context) else "_tlsext_servername_callback", None)


def has_ours(context: object) -> bool:
    """Return whether a context's SNI callback is the one that was set here."""
    context = libssl.unwrapped(context)
    set_here = _ours.get(context)
    return set_here is not None and set_here == sni_callback(context)


def pointer_of(context: object) -> int:
    """Return the address of a context's SSL_CTX; 0 where this OpenSSL can't be hooked.

    Raises AttachError for what is no context.
    """
    try:
        return libssl.find(context).pointer
    except HookError:
        return 0
