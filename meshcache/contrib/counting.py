"""Counts how handshakes ended on contexts whose server doesn't tell: resumed ones and those that failed.

Python's ``ssl`` makes its connections from classes that a context names, so ours are put there; pyOpenSSL has a
callback that is told of each handshake's end. Full handshakes are counted by the node itself.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from meshcache.tls.libssl import is_stdlib, unwrapped

_HANDSHAKE_DONE = 0x20
"""SSL_CB_HANDSHAKE_DONE of <openssl/ssl.h>."""


class Counting(Protocol):
    """What is told; `MeshNode` is one."""

    def handshake_done(self, vip: str, connection: object) -> None: ...
    def handshake_failed(self, vip: str) -> None: ...


_NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError, TimeoutError)

_told: WeakKeyDictionary[Any, tuple[Counting, str]] = WeakKeyDictionary()
"""Who is told of a context's handshakes."""


def count_handshakes(context: Any, node: Counting, vip: str) -> None:
    """Tell `node` how the handshakes of a context end. Again on the same context it changes only who is told."""
    context = unwrapped(context)
    known = context in _told
    _told[context] = (node, vip)
    if known:
        return
    if is_stdlib(context):
        for attribute in ("sslsocket_class", "sslobject_class"):
            setattr(context, attribute, _counted(getattr(context, attribute)))
    else:
        _count_pyopenssl(context)


def _tell(connection: Any, *, failed: bool) -> bool:
    told = _told.get(connection.context)
    if told is not None and connection.server_side:
        node, vip = told
        if failed:
            node.handshake_failed(vip)
        else:
            node.handshake_done(vip, connection)
    return True


@cache
def _counted(base: Any) -> Any:
    """Return a subclass that tells of the end of a handshake, also of one that happens in the first read."""

    class Counted(base):  # type: ignore[misc]
        _is_counted = False

        def do_handshake(self, *arguments: Any, **more: Any) -> Any:
            return self._counting(super().do_handshake, *arguments, **more)

        def read(self, *arguments: Any, **more: Any) -> Any:
            if self._is_counted:
                return super().read(*arguments, **more)
            return self._counting(super().read, *arguments, **more)

        def _counting(self, step: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
            try:
                result = step(*arguments, **more)
            except _NOT_YET:
                raise
            except OSError:
                self._is_counted = self._is_counted or _tell(self, failed=True)
                raise
            self._is_counted = self._is_counted or _tell(self, failed=False)
            return result

    Counted.__name__ = Counted.__qualname__ = base.__name__
    Counted.__module__ = base.__module__
    return Counted


def _count_pyopenssl(context: Any) -> None:
    """OpenSSL tells of the end once more for each ticket after the handshake, hence the memory of who was counted."""
    counted: WeakSet[Any] = WeakSet()
    where = _told

    def info(connection: Any, state: int, _value: int) -> None:
        if state & _HANDSHAKE_DONE and connection not in counted:
            counted.add(connection)
            told = where.get(context_of(connection))
            if told is not None:
                node, vip = told
                node.handshake_done(vip, connection)

    def context_of(connection: Any) -> Any:
        return connection.get_context()

    if getattr(context, "_info_callback", None) is None:  # one of the application's own matters more than our counts
        context.set_info_callback(info)
