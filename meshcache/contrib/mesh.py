"""One process's place in the mesh as servers need it: it starts when it is first used, in whatever process, and never
raises at a server.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from meshcache.contrib.counting import count_handshakes
from meshcache.node import MeshNode
from meshcache.runtime.contexts.left_out import LeftOut
from meshcache.runtime.contexts.named_contexts import Contexts, NamedContexts, Unknown
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

    def join_names(
        self, context: Any, names: Contexts, vip: str | None = None, *, unknown: Unknown = "default"
    ) -> NamedContexts:
        """Let one context listen for many: each connection gets that of the server name it asks for, and its handshake
        is counted. Serve with the result's `context`; its `add` and `remove` change the names while it listens.

        A value is a context, or one and its VIP. See `MeshNode.attach_names`. Each name has its context whatever the
        mesh does. Raises AttachError for what could never be served: an SNI callback, contexts of two TLS libraries, a
        name that is none.
        """
        node = self.start()
        name = vip or self._vip or (node.vips[0] if node is not None and len(node.vips) == 1 else "")
        if node is None:
            return NamedContexts(_NoNode(), context, names, name, unknown=unknown, required=False)
        return node.attach_names(
            context,
            names,
            vip=name,
            unknown=unknown,
            required=self._required,
            joined=lambda context, vip: count_handshakes(context, node, vip),
        )

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


class _NoNode:
    """Where the contexts of a node that couldn't start join: nowhere, which is counted."""

    def join_named(self, _context: object, _vip: str, _names: object) -> None:
        left_out.count("not started")

    def join_as_before(self, _context: object, _former: object) -> None:
        """Nobody joined here."""

    def resumption_of(self, _vip: str) -> str:
        return "sessions"

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def detach(self, _context: object) -> bool:
        return False

    def unless(self, _required: bool, _vip: str) -> AbstractContextManager[None]:
        return nullcontext()
