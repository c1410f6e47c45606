"""Holds sessions back whose connection may be a balancer's check: filed when it shows to be a client's, else forgotten.

A check ends right after its handshake; to keep and push its session would fill caches with what nobody brings back. The
server around the node says which connections are in doubt, and what became of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.tls.contexts import session_id


class Withholding:
    """Holds back what one node's doubtful handshakes make: `hold` each, then `keep` or `forget` its connection's."""

    def __init__(self, vips: AttachedVips) -> None:
        self._vips = vips

    @contextmanager
    def hold(self, vip: str) -> Iterator[None]:
        """Return a block that holds back what the handshake in it makes; for a server that does one at a time."""
        port = self._vips.port(vip)
        if port is None:
            yield
            return
        port.withhold(on=True)
        try:
            yield
        finally:
            port.withhold(on=False)

    def keep(self, vip: str, connection: object) -> None:
        """File and publish the session of a connection that was held back."""
        port, made = self._vips.port(vip), session_id(connection)
        if port is not None and made is not None:
            port.keep(made)

    def forget(self, vip: str, connection: object) -> None:
        """Forget the session of a connection here, held back or not; copies that peers have stay there."""
        port, made = self._vips.port(vip), session_id(connection)
        if port is not None and made is not None:
            port.forget(made)
