"""Joins the compiled callbacks to those in Python: what they ask, and how connections are marked for both.

The compiled ones answer what is plain, for VIPs with a door; all else comes here and goes to the same closures that
OpenSSL calls where there is no compiled module.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from meshcache.tls.creation import new_callback, remove_callback
from meshcache.tls.functions import Functions, ffi
from meshcache.tls.lookup import get_callback
from meshcache.tls.pausing import pauser
from meshcache.tls.state import Attached, State
from meshcache.tls.tickets import (
    IGNORE_RENEW,
    NO_KEY,
    hmac_sha256,
    ticket_key_callback,
    ticket_made_callback,
    ticket_opened_callback,
)

if TYPE_CHECKING:
    from meshcache.hot import Callbacks
    from meshcache.tls.scopes import Scopes


def compiled_callbacks(module: ModuleType, state: State) -> Callbacks:
    """Return the compiled callbacks over this state. What is raised and is no Exception, KeyboardInterrupt above all,
    is raised again in the program once OpenSSL has returned.
    """
    atexit.register(module.closing)
    made: Callbacks = module.Callbacks(
        state.functions.addresses,
        state.token_index,
        state.counted_index,
        state.mark_index,
        _guarded(_scope, False),
        _guarded(_get(state), 0),
        _guarded(new_callback(state), None),
        _guarded(remove_callback(state), None),
        _guarded(_publish, None),
        _guarded(_ticket_key(state), NO_KEY),
        _guarded(_ticket_made(state), 1),
        _guarded(_ticket_opened(state), IGNORE_RENEW),
        state.pause_index,
        _guarded(pauser(state), False),
        state.listening_index,
        _cipher(state.functions),
        hmac_sha256(state.functions),
        _guarded(_used, None),
    )
    return made


def _cipher(functions: Functions) -> int:
    """Return the cipher of tickets, looked for once and kept for ever: OpenSSL's own tickets look for it each time."""
    found: int = functions.EVP_CIPHER_fetch(0, b"AES-256-CBC", ffi.NULL)
    assert found, "the default provider has it"
    return found


def _guarded(ask: Callable[..., Any], otherwise: object) -> Callable[..., Any]:
    def guarded(*arguments: object) -> Any:
        try:
            return ask(*arguments)
        except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
            return otherwise

    return guarded


def _scope(attached: Attached, scopes: Scopes, extension: bytes | None) -> bytes | None:
    """Return the context for a server name that isn't remembered. A fault is counted, and is no answer to remember."""
    try:
        context = scopes.of_extension(extension)
        return context if context is None else bytes(memoryview(context))
    except Exception:
        attached.port.fault("client_hello")
        raise


def _get(state: State) -> Callable[[int, bytes], int]:
    get = get_callback(state)

    def find(ssl: int, session_id: bytes) -> int:
        return get(ssl, ffi.from_buffer(session_id), len(session_id), ffi.new("int[1]"))

    return find


def _publish(attached: Attached) -> None:
    try:
        attached.port.publish()
    except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
        attached.port.fault("new")


def _used(attached: Attached, session_id: bytes) -> None:
    try:
        attached.port.consumed(session_id)
    except Exception:  # noqa: BLE001 - nothing may reach OpenSSL
        attached.port.fault("new")


def _ticket_key(state: State) -> Callable[..., int]:
    ask, pointer = ticket_key_callback(state), ffi.typeof("char *")

    def ticket_key(ssl: int, name: int, iv: int, cipher: int, mac: int, encrypting: int) -> int:
        return ask(ssl, ffi.cast(pointer, name), ffi.cast(pointer, iv), cipher, mac, encrypting)

    return ticket_key


def _ticket_made(state: State) -> Callable[[int], int]:
    ask = ticket_made_callback(state)
    return lambda ssl: ask(ssl, None)


def _ticket_opened(state: State) -> Callable[..., int]:
    ask, pointer = ticket_opened_callback(state), ffi.typeof("char *")

    def ticket_opened(ssl: int, session: int, name: int, name_bytes: int, status: int) -> int:
        return ask(ssl, session, ffi.cast(pointer, name), name_bytes, status, None)

    return ticket_opened
