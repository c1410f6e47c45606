"""Knows the nodes of this process: those that run, and the one that each configuration file has here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from meshcache.edges import native
from meshcache.errors import MeshcacheError
from meshcache.tls.contexts import OnUncleanClose


class Node(Protocol):
    """What is known of a `MeshNode` here."""

    @property
    def closed(self) -> bool: ...

    def attach(
        self, context: Context, *, vip: str, on_unclean_close: OnUncleanClose = "keep", required: bool = True
    ) -> Context: ...


Context = TypeVar("Context")
AnyNode = TypeVar("AnyNode", bound=Node)

nodes: list[Node] = []
"""Those that run."""

_of_files: dict[tuple[int, str, tuple[str, ...]], Any] = {}
_lock = native.Lock()


def attach(
    context: Context,
    *,
    vip: str,
    node: Node | None = None,
    on_unclean_close: OnUncleanClose = "keep",
    required: bool = True,
) -> Context:
    """`MeshNode.attach` on the node that runs in this process; name it if there are several.

    Raises MeshcacheError when none runs, or more than one.
    """
    if node is None:
        if len(nodes) != 1:
            raise MeshcacheError(f"{len(nodes)} nodes run in this process; say which: attach(…, node=…)")
        node = nodes[0]
    return node.attach(context, vip=vip, on_unclean_close=on_unclean_close, required=required)


def one_of_file(path: Path, overrides: Sequence[str], make: Callable[[], AnyNode]) -> AnyNode:
    """This process's node of a file: the one that was made, or, when there is none or it was closed, a new one."""
    key = (os.getpid(), str(path.absolute()), tuple(overrides))
    with _lock:
        node: AnyNode | None = _of_files.get(key)
        if node is None or node.closed:
            node = _of_files[key] = make()
    return node
