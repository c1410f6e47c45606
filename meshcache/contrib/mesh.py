"""One process's place in the mesh as servers need it: it starts when it is first used, in whatever process, and never
raises at a server.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from meshcache.contrib.counting import count_handshakes
from meshcache.node import MeshNode
from meshcache.runtime.left_out import LeftOut
from meshcache.workers.ending import prepare

Context = TypeVar("Context")

_nodes: dict[tuple[int, Mesh], MeshNode | None] = {}
"""None where it couldn't start."""

left_out = LeftOut()
"""Contexts that had no node to join; those that a running node refused are in its ``stats`` as ``left_out``."""


class Mesh:
    """The mesh that a configuration file describes, for the contexts of one server.

        mesh = Mesh("meshcache.toml", vip="shop")
        context = mesh.join(context)

    May be made before workers are forked, and be pickled for those that are spawned: each process has its own node.
    With ``required=True`` what is wrong is raised, for servers that would rather not run.
    """

    def __init__(
        self, file: str | Path, *, vip: str | None = None, overrides: Sequence[str] = (), required: bool = False
    ) -> None:
        """Nothing happens yet. `vip` may be left out where the file has one only."""
        self._file = str(Path(file).absolute())  # a server may change its folder later
        self._vip = vip
        self._overrides = tuple(overrides)
        self._required = required
        prepare()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        prepare()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mesh) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((self._file, self._vip, self._overrides))

    def start(self) -> MeshNode | None:
        """Return the node of this process, started if it wasn't. None where it can't start, which is tried once."""
        key = (os.getpid(), self)
        if key not in _nodes:
            try:
                _nodes[key] = self._started()
            except Exception as error:
                if self._required:
                    raise
                _nodes[key] = None
                left_out.say(self._vip, error)
        return _nodes[key]

    def _started(self) -> MeshNode:
        node = MeshNode.for_worker(self._file, self._overrides).start()
        if self._vip is not None:
            node.serve(self._vip)  # its sessions are here, then, when the first client comes
        return node

    def join(self, context: Context, vip: str | None = None) -> Context:
        """Let a context serve the VIP, with its handshakes counted; returns it, joined or not."""
        node = self.start()
        name = vip or self._vip or (node.vips[0] if node is not None and len(node.vips) == 1 else "")
        if node is None:
            left_out.count("not started")
            return context
        before = node.left_out
        node.attach(context, vip=name, required=self._required)
        if node.left_out == before:
            count_handshakes(context, node, name)
        return context

    def close(self) -> None:
        """Leave the mesh in this process. It happens by itself when the process exits."""
        node = _nodes.get((os.getpid(), self))
        if node is not None:
            node.close()


def join(
    context: Context, file: str | Path, *, vip: str | None = None, required: bool = False, overrides: Sequence[str] = ()
) -> Context:
    """Let a context serve a VIP of the mesh that `file` describes: `Mesh.join`, for who has one context to join."""
    return Mesh(file, vip=vip, required=required, overrides=overrides).join(context)
