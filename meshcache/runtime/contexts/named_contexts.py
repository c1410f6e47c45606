"""What a program holds of a context that stands for several, by server name: names come and go while it listens.

Joins each context to its VIP and fills the map that the callbacks read. Without a node, or where one refuses a context
and that isn't required, the names go on leading to their contexts, without the mesh.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, Protocol

from meshcache.core.policy.scope import covers, normal_address
from meshcache.errors import AttachError, HookError
from meshcache.tls import libssl
from meshcache.tls.carried import differences
from meshcache.tls.contexts import Attachment, attachment_of, chosen_for, left_behind_by
from meshcache.tls.facts import read_facts
from meshcache.tls.names import (
    NameCallback,
    NameMap,
    checked_name,
    has_ours,
    pointer_of,
    set_sni_callback,
    sni_callback,
)

Unknown = Literal["default", "refuse"]

Contexts = Mapping[str, Any]
"""Each name's context, or a context and the name of its VIP."""

Joined = Callable[[Any, str], None]
"""Told of each context that joined, and of its VIP."""


class Home(Protocol):
    """Where contexts join; `runtime.contexts.tls_side` is one."""

    def join_named(self, context: object, vip: str, names: NameMap | None) -> None:
        """Let a context join a VIP, `names` being the map of one that listens. Raises what `attach` does."""

    def join_as_before(self, context: object, former: Attachment) -> None:
        """Let a context that joined be what it was before that again. Raises what `attach` does."""

    def resumption_of(self, vip: str) -> str:
        """Return the `resumption` of a VIP. Raises AttachError for a VIP that isn't there."""

    def turn(self) -> AbstractContextManager[object]:
        """Return what to hold while a context joins and gets its name: no reload comes between."""

    def detach(self, context: object) -> bool:
        """Let a context leave its VIP. Return false when it is in none here."""

    def unless(self, required: bool, vip: str) -> AbstractContextManager[None]:
        """Return a context manager that counts an error of its body and goes on, unless it is required."""


class NamedContexts:
    """The names of one listening context. Threads may share it; `MeshNode.attach_names` makes it."""

    def __init__(
        self,
        home: Home,
        context: Any,
        names: Contexts,
        vip: str,
        *,
        unknown: Unknown = "default",
        required: bool = True,
        joined: Joined | None = None,
    ) -> None:
        if unknown not in ("default", "refuse"):
            raise AttachError(f'unknown is "default" or "refuse", not {unknown!r}')
        self.context = context
        """The one to listen with."""
        self._home, self._vip, self._required, self._joined = home, vip, required, joined
        self._inner = libssl.unwrapped(context)
        self._is_stdlib = libssl.is_stdlib(self._inner)
        pointer = pointer_of(self._inner)
        if sni_callback(self._inner) is not None and not has_ours(self._inner):
            raise AttachError("the listening context has an SNI callback: its names are to be given here in its place")
        self._map = NameMap(self._inner, pointer, refuses=unknown == "refuse")
        self._came: list[tuple[Any, Attachment | None]] = []
        """Contexts that joined in the call that is under way, each with the place in a VIP that it had before."""
        self._ours: set[int] = set()
        """Addresses of contexts that joined here, and leave when no name leads to them any more."""
        self._lock = threading.RLock()
        self._begin({name: self._with_vip(given) for name, given in names.items()})

    def __len__(self) -> int:
        return len(self._map)

    def __contains__(self, name: object) -> bool:
        return name in self._map

    def names(self) -> list[str]:
        """Return all names, in order."""
        return self._map.names()

    def add(self, name: str, context: Any, *, vip: str | None = None) -> None:
        """Let a name lead to a context from now on, in place of the one before; connections that are open go on.

        The name is exact or has a wildcard for its first label. `vip` is the listening context's unless said. The
        context is complete, and agrees with the one that listens in what a connection doesn't get of the context that
        it is moved to: how clients are asked for certificates, options, TLS versions, a number of tickets.

        Raises AttachError or HookError, and nothing has changed then. Where the mesh isn't required, what a node
        refuses is counted and said once, and the name leads to the context all the same.
        """
        with self._all_or_nothing():
            self._add(name, context, vip or self._vip)

    def remove(self, name: str) -> bool:
        """Let a name lead nowhere: who asks for it is unknown from now on. Return false when it led nowhere."""
        name = checked_name(name)
        with self._lock:
            known = name in self._map
            self._leave(self._map.remove(name))
        return known

    def _begin(self, names: dict[str, tuple[Any, str]]) -> None:
        with self._all_or_nothing():
            with self._home.unless(self._required, self._vip):
                self._come(self._inner, self._vip, self._map)
                self._tell_joined(self._inner, self._vip)
            for name, (context, vip) in names.items():
                self._add(name, context, vip)
            set_sni_callback(self._inner, NameCallback(self._map, chosen_for))

    def _add(self, name: str, context: Any, vip: str) -> None:
        name = checked_name(name)
        inner = self._fit(name, context)
        self._map.forget_leaving()
        pointer = pointer_of(inner)
        joins = False
        with self._home.turn():
            with self._home.unless(self._required, vip):
                joins = self._join(name, inner, pointer, vip)
            was_known = name in self._map
            before = self._map.put(name, inner, pointer)
        if joins:  # told outside of that turn: the program may wait for another thread, which needs one
            try:
                with self._home.unless(self._required, vip):
                    self._tell_joined(inner, vip)
            except BaseException:
                self._lead_back(name, was_known, before)
                raise
        self._leave(before)

    def _lead_back(self, name: str, was_known: bool, before: Any) -> None:
        """Let a name lead to where it led before; None is the listening context where it was known."""
        if not was_known:
            self._map.remove(name)
            return
        context = self._inner if before is None else before
        self._map.put(name, context, pointer_of(context))

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Return a context manager after whose body, if it raises, each context is where it was before."""
        with self._lock:
            try:
                yield
            except BaseException:
                for context, former in reversed(self._came):
                    self._ours.discard(pointer_of(context))
                    self._put_back(context, former)
                raise
            finally:
                self._came.clear()

    def _put_back(self, context: Any, former: Attachment | None) -> None:
        if former is None:
            self._home.detach(context)
            return
        with self._home.unless(False, former.port.name):  # what is raised is why it goes back
            self._home.join_as_before(context, former)

    def _with_vip(self, given: Any) -> tuple[Any, str]:
        context, vip = given if isinstance(given, tuple) else (given, None)
        return context, vip or self._vip

    def _fit(self, name: str, context: Any) -> Any:
        """Return the context that makes connections. Raises AttachError for one that can't be moved to."""
        inner = libssl.unwrapped(context)
        pointer_of(inner)  # or what isn't a context at all
        if libssl.is_stdlib(inner) != self._is_stdlib:
            raise AttachError(f"{name}: its context and the listening one are of two TLS libraries")
        if inner is not self._inner and sni_callback(inner) is not None:
            raise AttachError(f"{name}: its context has an SNI callback, which would be called in place of these names")
        return inner

    def _join(self, name: str, context: Any, pointer: int, vip: str) -> bool:
        """Let a context join its VIP. Return false where it is there already. Raises AttachError where sharing is
        unsafe or of no use.
        """
        if context is self._inner and vip != self._vip:
            raise AttachError(f"{name}: it leads to the listening context, which serves VIP {self._vip}")
        facts = read_facts(context)
        if not (covers(facts.names, name) or normal_address(name) in facts.addresses):
            known = ", ".join([*facts.names, *facts.addresses]) or "no name"
            raise AttachError(f"{name}: the certificate of its context doesn't cover it; it covers {known}")
        former = attachment_of(context)
        if context is self._inner or (former is not None and self._map.leads_to(pointer) and former.port.name == vip):
            return False
        differs = differences(left_behind_by(context), left_behind_by(self._inner))
        if differs:
            raise AttachError(
                f"{name}: a connection that is moved to its context keeps what it had where it came to, and "
                f"{'; '.join(differs)}. Make them equal, or listen with a context for each"
            )
        listening = attachment_of(self._inner)
        if listening is not None and (mode := self._home.resumption_of(vip)) != listening.mode:
            raise AttachError(f"{name}: VIP {vip} resumes by {mode}, the listening context's by {listening.mode}")
        self._come(context, vip, None)
        mine = attachment_of(context)
        if mine is not None:
            self._map.ports[vip] = mine.port
        if former is None:
            self._ours.add(pointer)
        return True

    def _come(self, context: Any, vip: str, names: NameMap | None) -> None:
        try:
            former = attachment_of(context)
        except HookError:  # as joining is going to say
            former = None
        self._home.join_named(context, vip, names)
        self._came.append((context, former))

    def _leave(self, context: Any) -> None:
        pointer = 0 if context is None else pointer_of(context)
        if pointer in self._ours and not self._map.leads_to(pointer):
            self._ours.discard(pointer)
            self._home.detach(context)

    def _tell_joined(self, context: Any, vip: str) -> None:
        if self._joined is not None:
            self._joined(context, vip)
