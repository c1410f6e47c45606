"""What a node is asked about contexts and connections; `node.MeshNode` is one, and owns what is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

from meshcache.errors import MeshcacheError
from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.runtime.contexts.left_out import LeftOut
from meshcache.runtime.contexts.named_contexts import Contexts, Joined, NamedContexts, Unknown
from meshcache.runtime.lookups.asking import PausedLookup
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.vip_ports.origin_tokens import Resumption, Tokens
from meshcache.tls.contexts import Attachment, OnUncleanClose, counter, lineage, paused, server_name
from meshcache.tls.contexts import resumption as token_of
from meshcache.tls.names import NameMap

Context = TypeVar("Context")

FORKED = "this process was forked after its MeshNode started; start a node in each process, after the fork"


class TlsSide:
    """Joins contexts to the node's VIPs, and tells how handshakes on them ended."""

    _state: str
    _lock: Any
    _pump: Pump
    _vips: AttachedVips
    _tokens: Tokens

    def __init__(self) -> None:
        self._left_out = LeftOut()

    def attach(
        self,
        context: Context,
        *,
        vip: str,
        on_unclean_close: OnUncleanClose = "keep",
        required: bool = True,
        pauses: bool = False,
    ) -> Context:
        """Let a pyOpenSSL Context or an ssl.SSLContext serve a VIP of the configuration; returns the context.

        Set it up completely before: certificate, client authentication, TLS versions. ``"drop"`` forgets sessions whose
        connection ended uncleanly, as RFC 5246 asks and half of Python's servers always do.

        Raises HookError when this OpenSSL can't be hooked and AttachError when the context can't serve the VIP; the
        context is as it was then. With ``required=False`` nothing is raised: whatever is wrong, also with a node that
        isn't running, is counted in `left_out`, said once in the log, and the context shakes hands without the mesh.

        With ``pauses``, for pyOpenSSL Contexts only, a handshake may fail with an `OpenSSL.SSL.Error` that means "not
        yet": whatever drives it asks `paused` then. Without, a handshake never waits.
        """
        with self._left_out.unless(required, vip, self._state.replace("running", "")), self._lock:
            self._require("running", "start the node first")
            self._vips.attach(context, vip, on_unclean_close, pauses)
        return context

    def attach_names(
        self,
        context: Any,
        names: Contexts,
        *,
        vip: str,
        unknown: Unknown = "default",
        on_unclean_close: OnUncleanClose = "keep",
        required: bool = True,
        pauses: bool = False,
        joined: Joined | None = None,
    ) -> NamedContexts:
        """Let one context listen for many: each connection gets the context of the server name that it asks for. Return
        what holds the names.

            sites = node.attach_names(context, {"a.example": a, "*.b.example": (b, "bank")}, vip="shop")
            serve(sites.context)
            sites.add("c.example", c)

        Takes the place of an SNI callback, which OpenSSL calls after it has chosen to resume. A value is a context, or
        one and its VIP (`vip` where it says none). Who asks for another name, or for none, gets `context` itself, or
        with ``unknown="refuse"`` the alert unrecognized_name. Sessions resume within their VIP and name alone. `joined`
        is told of each context that joins, now and later. See `NamedContexts.add` for what must agree.

        Raises AttachError and HookError; nothing has changed then. With ``required=False`` what is wrong with the mesh
        is counted, as in `attach`, and each name leads to its context without it.
        """
        home = _Home(self, on_unclean_close, pauses)
        return NamedContexts(home, context, names, vip, unknown=unknown, required=required, joined=joined)

    def serve(self, vip: str) -> bool:
        """Serve a VIP before a context joins it, so that its sessions are here when the first client comes. Return
        whether it is.

        For servers with a context for each connection; the VIP of a file that has only one is served from the node's
        start. What its contexts will be is guessed from the file: without client authentication, and with the chain of
        its certificate where sessions are bound to that. False where it can't be guessed. Raises AttachError for a VIP
        that the file doesn't have.
        """
        with self._lock:
            self._require("running", "start the node first")
            return self._vips.serve(vip)

    def detach(self, context: object) -> bool:
        """Let a context leave its VIP, which is served on; later handshakes are full. Return false when it is in none
        here.
        """
        with self._lock:
            return self._state == "running" and self._vips.detach(context)

    @property
    def left_out(self) -> dict[str, int]:
        """How many contexts ``required=False`` left without the mesh, by reason."""
        return self._left_out.counts()

    def resumption(self, connection: object) -> Resumption:
        """Return how the handshake of a connection ended: full, or resumed and with whose session; and the name it
        asked for.

        `connection` is an OpenSSL.SSL.Connection, an ssl.SSLSocket or an ssl.SSLObject of an attached context.
        """
        return self._tokens.resumption(token_of(connection), server_name(connection), lineage(connection))

    def paused(self, connection: object) -> PausedLookup | None:
        """Return what the handshake of a connection waits for, whose context was attached with ``pauses``.

        None: its error was one. Else `watch` it, call its `go_on` when it was answered and at the time that `go_on`
        returned before, and do the handshake again once that returns None; `cancel` it if the client goes away.
        """
        found: PausedLookup | None = paused(connection)
        return found

    def handshake_done(self, vip: str, connection: object) -> None:
        """Count a handshake that ended well under ``handshakes`` in `stats`. Full ones are counted anyway."""
        token = token_of(connection)
        if token and self._state == "running":
            self._pump.core.handshake(vip, self._tokens.result(token))

    def handshake_counter(self, vip: str) -> Callable[[object], object]:
        """Return what counts as `handshake_done` does, for connections of contexts that serve this VIP by now: without
        Python, where that is compiled and a connection has the address of its pyOpenSSL ``SSL *`` in ``ssl_address``.
        """
        made: Callable[[object], object] = counter(partial(self.handshake_done, vip))
        return made

    def handshake_failed(self, vip: str) -> None:
        """Count a handshake that didn't end well."""
        if self._state == "running":
            self._pump.core.handshake(vip, "failed")

    def _require(self, state: str, hint: str) -> None:
        if self._state != state:
            raise MeshcacheError(FORKED if self._state == "forked" else f"the node is {self._state}: {hint}")


class _Home:
    """What `NamedContexts` needs of a node."""

    def __init__(self, node: TlsSide, on_unclean_close: OnUncleanClose, pauses: bool) -> None:
        self._node = node
        self._pauses = pauses
        self._on_unclean_close = on_unclean_close

    def join_named(self, context: object, vip: str, names: NameMap | None) -> None:
        node = self._node
        with node._lock:  # noqa: SLF001 - a part of it
            node._require("running", "start the node first")  # noqa: SLF001
            node._vips.attach(context, vip, self._on_unclean_close, self._pauses, names)  # noqa: SLF001

    def join_as_before(self, context: object, former: Attachment) -> None:
        node = self._node
        with node._lock:  # noqa: SLF001 - a part of it
            node._require("running", "start the node first")  # noqa: SLF001
            node._vips.attach_as_before(context, former)  # noqa: SLF001

    def resumption_of(self, vip: str) -> str:
        node = self._node
        node._require("running", "start the node first")  # noqa: SLF001
        return node._vips.resumption_of(vip)  # noqa: SLF001

    def turn(self) -> AbstractContextManager[object]:
        lock: AbstractContextManager[object] = self._node._lock  # noqa: SLF001
        return lock

    def detach(self, context: object) -> bool:
        return self._node.detach(context)

    def unless(self, required: bool, vip: str) -> AbstractContextManager[None]:
        node = self._node
        return node._left_out.unless(required, vip, node._state.replace("running", ""))  # noqa: SLF001
