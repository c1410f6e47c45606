"""Joins a pyOpenSSL Context or an ssl.SSLContext to a VIP, and tells for a connection which session it resumed.

Decides nothing about sharing: names and digest come as `Scopes`, sessions come and go through a `SessionPort`.
"""

from __future__ import annotations

import ssl
import threading
import weakref
from collections.abc import Callable
from typing import Any, Literal

from meshcache.core.policy.scope import normal_name
from meshcache.errors import AttachError, HookError
from meshcache.tls import libssl
from meshcache.tls.callbacks import Callbacks
from meshcache.tls.carried import LeftBehind, left_behind
from meshcache.tls.drift import Setup, setup_of
from meshcache.tls.functions import ffi
from meshcache.tls.install import OPENSSL_TICKETS, TICKETS, install, set_mode, uninstall
from meshcache.tls.libssl import Library
from meshcache.tls.lineage import lineage_of
from meshcache.tls.names import NameMap
from meshcache.tls.port import SessionPort
from meshcache.tls.scopes import Scopes
from meshcache.tls.state import Mode
from meshcache.tls.trial import prove

OnUncleanClose = Literal["keep", "drop"]


class Attachment:
    """A context's place in a VIP. Lives as long as the context; does not keep it alive."""

    __slots__ = (
        "_finalizer",
        "_mode",
        "_own_tickets",
        "_scopes",
        "_tickets",
        "_verify_mode",
        "callbacks",
        "names",
        "on_unclean_close",
        "pauses",
        "pointer",
        "port",
        "revalidates",
        "setup",
    )

    def __init__(
        self,
        callbacks: Callbacks,
        pointer: int,
        port: SessionPort,
        scopes: Scopes,
        mode: Mode = Mode.SESSIONS,
        pauses: bool = False,
        names: NameMap | None = None,
    ) -> None:
        functions = callbacks.functions
        self.port = port
        self.pauses = pauses
        """Whether its handshakes may be paused: whoever drives them knows what to do then."""
        self.names = names
        """The contexts that it stands for, by server name; None: it serves every name by itself."""
        self.on_unclean_close: OnUncleanClose = "keep"
        """What becomes of a session whose connection ended without close_notify."""
        self._mode = mode
        self._scopes = scopes
        self.pointer = pointer
        self._verify_mode: int = functions.SSL_CTX_get_verify_mode(pointer)
        self.revalidates = not functions.SSL_CTX_get_verify_callback(pointer)
        self.callbacks = callbacks
        """Those of its OpenSSL."""
        self._own_tickets = False
        self._tickets = OPENSSL_TICKETS
        self._finalizer: weakref.finalize[..., object] | None = None
        self.setup: Setup | None = None
        """How the context was set up when it joined, or when that was last looked at."""
        callbacks.add(self)

    @property
    def scopes(self) -> Scopes:
        """May be replaced at any time, by a policy that changed: it holds for the handshakes that begin after."""
        return self._scopes

    @scopes.setter
    def scopes(self, scopes: Scopes) -> None:
        self._scopes = scopes
        self._changed()

    @property
    def mode(self) -> Mode:
        """How clients of this context resume."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self._changed()

    @property
    def verify_mode(self) -> int:
        """What the context asked of its clients when it was attached: connections that ask otherwise share nothing."""
        return self._verify_mode

    @verify_mode.setter
    def verify_mode(self, mode: int) -> None:
        self._verify_mode = mode
        self._changed()

    @property
    def attached(self) -> bool:
        """False once detached, or when the context is gone."""
        return self.callbacks.at(self.pointer) is self

    def resumption(self, connection: object) -> int:
        """Return what `resumption` does, for those who have the attachment at hand."""
        return resumption(connection)

    def limit(self, lifetime_s: int, tickets: int = TICKETS, mode: Mode | None = None) -> None:
        """Tell TLS 1.3 clients this lifetime from now on, end sessions after it, give so many tickets, and let clients
        resume in this way.
        """
        alive = None if self._finalizer is None else self._finalizer.peek()
        if alive is not None:  # holds the context, and so its SSL_CTX, for as long as this takes
            if mode is not None and mode is not self._mode:
                self.mode = mode
                set_mode(self.callbacks, self.pointer, mode)
            self.callbacks.functions.SSL_CTX_set_timeout(self.pointer, lifetime_s)
            if not self._own_tickets:
                self.callbacks.functions.SSL_CTX_set_num_tickets(self.pointer, tickets)
                self._tickets = tickets

    def setup_now(self) -> Setup | None:
        """Return how the context is set up; None when it is gone or has left."""
        alive = None if self._finalizer is None else self._finalizer.peek()
        return None if alive is None else setup_of(self.callbacks.functions, self.pointer, alive[0])

    def note_setup(self) -> None:
        """Take how the context is set up now for how it is to be: `setup` says so from here on."""
        self.setup = self.setup_now()

    def detach(self) -> None:
        """Leave the VIP: no later handshake finds or keeps a session. Handshakes under way end in full ones."""
        alive = None if self._finalizer is None else self._finalizer.detach()
        if alive is not None:  # holds the context, as in `limit`
            uninstall(self.callbacks, self.pointer)
            if not self._own_tickets:  # else it would look like the program's own, should it join again
                self.callbacks.functions.SSL_CTX_set_num_tickets(self.pointer, OPENSSL_TICKETS)
        self.callbacks.drop(self)

    def _changed(self) -> None:
        finalizer = self._finalizer
        alive = None if finalizer is None else finalizer.peek()
        if finalizer is None or alive is None or not self.attached:
            return
        self.callbacks.add(self)  # its context is held: nothing else is at its address before it is dropped
        if not finalizer.alive:  # it was detached meanwhile, on another thread
            self.callbacks.drop(self)

    @property
    def own_tickets(self) -> int:
        """The number of tickets that the program had set when the context joined; 0 where it had set none."""
        return self._tickets if self._own_tickets else 0

    def gave(self, tickets: int) -> bool:
        """Return whether a context's number of tickets is the one that it was given when it joined,
        and not the program's.
        """
        return tickets == self._tickets and not self._own_tickets

    def _bind(
        self, context: object, *, remove: bool, lifetime_s: int | None, tickets: int, former: Attachment | None
    ) -> None:
        has: int = self.callbacks.functions.SSL_CTX_get_num_tickets(self.pointer)
        self._own_tickets = has != OPENSSL_TICKETS and not (former is not None and former.gave(has))
        self._tickets = has if self._own_tickets else tickets
        try:
            install(
                self.callbacks,
                self.pointer,
                remove=remove,
                lifetime_s=lifetime_s,
                tickets=self._tickets,
                mode=self._mode,
            )
        except AttachError:
            self.callbacks.drop(self)
            raise
        self._finalizer = weakref.finalize(context, self.callbacks.drop, self)
        self._finalizer.atexit = False
        self.note_setup()


def attach_context(
    context: object,
    port: SessionPort,
    scopes: Scopes,
    *,
    on_unclean_close: OnUncleanClose = "keep",
    lifetime_s: int | None = None,
    tickets: int = TICKETS,
    mode: Mode = Mode.SESSIONS,
    pauses: bool = False,
    names: NameMap | None = None,
) -> Attachment:
    """Let sessions of this context come from and go to `port`, each within the scope that `scopes` gives it. Return its
    place.

    Everything about the context that sharing depends on must be set before: certificate, client authentication, TLS
    versions. Attached again to the same VIP it takes the new settings. Turned off on it for good: tickets under keys of
    its own, OpenSSL's internal cache and early data; a ClientHello callback of the application's is replaced. With
    another ``mode`` than sessions it gives tickets, under the port's keys, and takes over callbacks for those.
    ``lifetime_s`` is told to TLS 1.3 clients and ends a session in OpenSSL too (None: the context's own, 2 hours).
    ``tickets`` are the new sessions of a full TLS 1.3 handshake, unless the program has set a number other than
    OpenSSL's 2. ``"drop"`` forgets a session whose connection ended uncleanly, as half of Python's servers always do.
    With ``pauses`` handshakes may fail with SSL_ERROR_WANT_CLIENT_HELLO_CB and are to be continued (`paused`). With
    ``names`` each connection is moved to the context of its server name first, and is then what that one's attachment
    says.

    Raises HookError when its OpenSSL can't be hooked, AttachError when the context can't be used or is in another VIP.
    """
    if on_unclean_close not in ("keep", "drop"):
        raise AttachError(f'on_unclean_close is "keep" or "drop", not {on_unclean_close!r}')
    context = libssl.unwrapped(context)
    if pauses and isinstance(context, ssl.SSLContext):
        raise AttachError("handshakes of Python's ssl can't be paused: it takes the pause for an error")
    found = libssl.find(context)
    callbacks = _callbacks_for(found.library)
    with _lock:
        former = _leave_former(callbacks, found.pointer, port)
        attachment = Attachment(callbacks, found.pointer, port, scopes, mode, pauses, names)
        attachment.on_unclean_close, drop = on_unclean_close, on_unclean_close == "drop"
        attachment._bind(context, remove=drop, lifetime_s=lifetime_s, tickets=tickets, former=former)  # noqa: SLF001
    return attachment


def _leave_former(callbacks: Callbacks, pointer: int, port: SessionPort) -> Attachment | None:
    former = callbacks.at(pointer)
    if not isinstance(former, Attachment):
        return None
    if former.port.name != port.name:
        raise AttachError(f"the context is attached to VIP {former.port.name!r} already: detach it first")
    former.detach()
    return former


def attachment_of(context: object) -> Attachment | None:
    """Return the attachment of a context, if it has one. Raises what `libssl.find` does."""
    found = libssl.find(context)
    callbacks = _callbacks.get(found.library)
    attachment = None if callbacks is None else callbacks.at(found.pointer)
    return attachment if isinstance(attachment, Attachment) else None


def left_behind_by(context: object) -> LeftBehind:
    """Return what connections that are moved to this context don't get of it. Raises what `libssl.find` does."""
    library, pointer = libssl.find(context)
    attachment = attachment_of(context)
    own_tickets = None if attachment is None else attachment.own_tickets
    return left_behind(library.functions, pointer, own_tickets)


def chosen_for(connection: object) -> tuple[int, bool]:
    """Return the address of the context that a connection was moved to by its server name, or left at, before OpenSSL
    looked for a session, and whether that context is in a VIP; address 0 where none was chosen.
    """
    try:
        found = libssl.find_connection(connection)
    except HookError:
        return 0, False
    if found is None:
        return 0, False
    library, pointer = found
    callbacks = _callbacks.get(library)
    if callbacks is None:
        return 0, False
    chosen = callbacks.chosen_for(pointer)
    return chosen, callbacks.at(chosen) is not None


def resumption(connection: object) -> int:
    """Return the token of the session that a connection resumed (an OpenSSL.SSL.Connection, ssl.SSLSocket or
    ssl.SSLObject).

    0: its handshake was a full one or isn't over, it is closed, or it belongs to no attached context.
    """
    if address := libssl.stated_address(connection):  # `find_connection`, without what most handshakes don't need
        known = _callbacks.get(libssl.pyopenssl())
        return 0 if known is None else known.token_of(address)
    callbacks, pointer = _serving(connection)
    return 0 if callbacks is None else callbacks.token_of(pointer)


def counter(otherwise: Callable[[object], object]) -> Callable[[object], object]:
    """Return what counts handshakes of pyOpenSSL's that ended well, as `tls.callbacks.Callbacks.counter` does."""
    known = _callbacks.get(libssl.pyopenssl())
    return otherwise if known is None else known.counter(otherwise)


def paused(connection: object) -> Any:
    """Return what the paused handshake of a connection waits for, as the port's `AskingPort` made it; None if it isn't
    paused.
    """
    callbacks, pointer = _serving(connection)
    return None if callbacks is None else callbacks.state.pauses.get(pointer)


def _serving(connection: object) -> tuple[Callbacks | None, int]:
    """Return the callbacks that serve a connection, and its SSL; None where it is closed or nobody serves it."""
    found = libssl.find_connection(connection)
    callbacks = None if found is None else _callbacks.get(found.library)
    return callbacks, 0 if found is None else found.pointer


def server_name(connection: object) -> str | None:
    """Return the name that the client asked for in its ClientHello, in lower case; also on a resumed connection."""
    found = libssl.find_connection(connection)
    name = found and found.library.functions.SSL_get_servername(found.pointer, 0)
    return normal_name(ffi.string(name).decode("ascii", "replace")) if name else None


def session_id(connection: object) -> bytes | None:
    """Return the id of the session that a connection made last, or resumed; None before the handshake's end.
    A secret.
    """
    found = libssl.find_connection(connection)
    if found is None:
        return None
    functions, count = found.library.functions, ffi.new("unsigned int *")
    session = functions.SSL_get_session(found.pointer)
    place = functions.SSL_SESSION_get_id(session, count) if session else None
    return ffi.buffer(place, count[0])[:] if place and count[0] else None


def lineage(connection: object) -> str | None:
    """Return the lineage that a connection's session is of, in hexadecimal digits; None before the handshake's end."""
    found = libssl.find_connection(connection)
    return None if found is None else lineage_of(found.library.functions, found.pointer)


_lock = threading.RLock()
"""Attaching is rare; re-entrant, since a collection inside it may end another context's attachment."""
_callbacks: dict[Library, Callbacks] = {}
_unfit: dict[Library, str] = {}


def _callbacks_for(library: Library) -> Callbacks:
    """Return the callbacks of an OpenSSL, made and proved when it is first met.
    A library that failed once stays refused.
    """
    with _lock:
        if library in _unfit:
            raise HookError(_unfit[library])
        callbacks = _callbacks.get(library)
        if callbacks is None:
            callbacks = Callbacks(library.functions)
            try:
                prove(callbacks)
            except HookError as error:
                _unfit[library] = str(error)
                raise
            _callbacks[library] = callbacks
        return callbacks
