"""Says once that no connection can be accepted because the process or the machine has no descriptor left.

asyncio tries again each second by itself; but it makes a hundred tries at a time and reports each, with a traceback.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any, Final

AGAIN_S: Final = 60.0
"""After so long without a report a new one is news."""

_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger("meshcache.admin")


class DescriptorShortage:
    """An exception handler for a loop: `loop.set_exception_handler(DescriptorShortage())`."""

    def __init__(self) -> None:
        self._reported_at: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what is about accepting; all else goes the usual way."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _SCARCE and "accept" in context.get("message", "")):
            loop.default_exception_handler(context)
            return
        before, self._reported_at = self._reported_at, loop.time()
        if before is None or self._reported_at - before > AGAIN_S:
            _log.warning(
                "no connection to the admin interface can be accepted: %s; those that come wait until there is room "
                "(raise LimitNOFILE= or ulimit -n; not logged again while it lasts)",
                (error.strerror or str(error)).lower(),
            )
