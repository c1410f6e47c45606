"""Tells nodes that they are in a forked child, where their threads are gone and their sockets are the parent's."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What has to be told when the process forks."""

    def forked(self) -> None:
        """This is the child: stop working, and lock nothing, since any lock may have been held at the fork."""


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()


def watch(node: Forkable) -> None:
    """Tell `node` in every child process that is forked from now on while it exists."""
    _watched.add(node)


def _in_child() -> None:
    for node in list(_watched):
        node.forked()


os.register_at_fork(after_in_child=_in_child)
