"""What the server tells of itself through its node: connections, backends, certificates, and how the last reload ended.

Counts nothing itself. A reload that failed is told until the next one that succeeds.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from meshcache import Settings, changed_keys, needs_restart

from .applications.access_log import AccessLog
from .applications.backends import Backends
from .connections.table import ConnectionTable
from .credentials import CredentialsNote
from .faults import Faults
from .services import Contexts
from .tls import streams

RELOAD_S_MAX = 60.0
"""For an operator who asks for a reload; new keys take five seconds at most."""


def failed_reload(faults: list[str]) -> dict[str, Any]:
    """Return what is told of a reload that changed nothing."""
    return {"ok": False, "changed": [], "restart": [], "hidden": [], "faults": faults}


class Reported(Protocol):
    """What is told of: the server's tables, and its reload."""

    table: ConnectionTable
    faults: Faults
    backends: Backends
    contexts: Contexts
    access: AccessLog

    async def reload(self) -> bool: ...


class Report:
    """Tells what one server does, and reloads it. `stats` and `reload` may be called on any thread."""

    def __init__(self, app: Reported) -> None:
        self._app = app
        self.credentials = CredentialsNote()
        self._ready = False
        self._last: dict[str, Any] | None = None
        self._last_at = 0.0

    def stats(self) -> dict[str, Any]:
        """Plain values, under names that programs may rely on; see docs/watching.md."""
        app = self._app
        last = None if self._last is None else self._last | {"age_s": round(time.monotonic() - self._last_at, 1)}
        return {
            "ready": self._ready,
            "steps": streams.path(),
            "connections": {"open": len(app.table), "max": app.table.connections_max},
            "ended_badly": dict(app.faults.total),
            "ended_badly_by": [
                {"kind": kind, "vip": vip, "backend": backend, "count": count}
                for (kind, vip, backend), count in list(app.faults.by_place.items())
            ],
            "handshake_failures": [
                {"vip": vip, "kind": kind, "count": count} for (vip, kind), count in list(app.faults.handshakes.items())
            ],
            "access_log_dropped": app.access.dropped,
            "bytes": {vip: {"received": of.received, "sent": of.sent} for vip, of in list(app.backends.bytes.items())},
            "backends": [
                {
                    "vip": each.vip,
                    "backend": each.target,
                    "weight": each.weight,
                    "up": not each.down,
                    "open": each.open,
                    "connects": each.connects,
                    "failures": each.failures,
                    "connect_s": round(each.connect_s, 6),
                }
                for each in app.backends
            ],
            "certificates": [
                {"vip": vip, "name": (*each.names, "")[0], "ends_in_s": round(each.ends_at - time.time())}
                for vip, of in list(app.contexts.items())
                for each in of
            ],
            "reload": last,
        }

    def reload(self, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
        """Reload on the server's own loop, from another thread, and tell how it ended."""
        asyncio.run_coroutine_threadsafe(self._app.reload(), loop).result(RELOAD_S_MAX)
        return dict(self._last or {})

    def reloaded(self, before: Settings, after: Settings, hidden: list[str]) -> None:
        """A reload took everything that a running node can take; `hidden` has no effect, for what was set live."""
        changed = changed_keys(before, after)
        restart = needs_restart(changed)
        taken = [key for key in changed if key not in restart]
        self.credentials.tell(after)
        self._note(ok=True, changed=taken, restart=restart, hidden=hidden, faults=[])

    def reload_failed(self, faults: list[str]) -> None:
        """A reload changed nothing."""
        self._note(**failed_reload(faults))

    def serving(self) -> None:
        """Connections are taken from now on."""
        self._ready = True

    def stopping(self) -> None:
        """No new connections are taken any more."""
        self._ready = False

    def status(self) -> str:
        """One line for systemd."""
        if self._last is None or self._last["ok"]:
            return "serving"
        return f"serving as before: the last reload failed: {self._last['faults'][0]}"[:200]

    def _note(self, **what: Any) -> None:
        self._last, self._last_at = what, time.monotonic()
