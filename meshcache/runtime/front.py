"""What the program around a node tells of itself through the node, and what it may be asked there.

The bundled server says how its connections, backends and certificates fare and takes its file again; a program of
your own may do the same, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshcache.errors import MeshcacheError

Plain = dict[str, Any]


class Front:
    """What one node knows of the program around it. Threads may share it: each callable is called on the thread that
    asks.
    """

    def __init__(self) -> None:
        self._stats: Callable[[], Plain] | None = None
        self._reload: Callable[[], Plain] | None = None
        self._hand_over: Callable[[str], Plain] | None = None

    def tells(
        self,
        stats: Callable[[], Plain],
        reload: Callable[[], Plain] | None = None,
        hand_over: Callable[[str], Plain] | None = None,
    ) -> None:
        """Show `stats` under ``front`` in the node's own, and call `reload` when an operator asks for one.

        `stats` is quick and returns plain values, with ``ready`` among them; `reload` may take seconds and returns
        ``{"ok", "changed", "restart", "faults"}``; `hand_over` begins to give everything to the process that listens
        on a Unix socket.
        """
        self._stats, self._reload, self._hand_over = stats, reload, hand_over

    def stats(self) -> Plain | None:
        """Return what the program tells; None where it tells nothing."""
        return None if self._stats is None else self._stats()

    def reload(self) -> Plain:
        """Let the program take its configuration again, and return what it says of that. Raises MeshcacheError where it
        can't.
        """
        if self._reload is None:
            raise MeshcacheError("the program around this node takes no reload; only `meshcache serve` does")
        return self._reload()

    def hand_over(self, path: str) -> Plain:
        """Let the program give its sockets and sessions to a successor, and return what it says of that. Raises
        MeshcacheError where it can't.
        """
        if self._hand_over is None:
            raise MeshcacheError("the program around this node can't be taken over; only `meshcache serve` can")
        return self._hand_over(path)
