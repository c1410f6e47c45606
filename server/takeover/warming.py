"""Holds a start back until the node has the sessions of its peers, so that "ready" means that clients can come back."""

from __future__ import annotations

import asyncio
import logging
import time

from meshcache import MeshNode

from .. import systemd

_TELL_S = 0.5
"""Between two lines for ``systemctl status``."""

_LOOK_S = 0.05
"""Between two looks whether other servers have their keys."""

log = logging.getLogger("meshcache.server")


async def wait_warm(node: MeshNode, warm_s: float, stop: asyncio.Event, *, for_keys: bool = False) -> None:
    """Wait until the node is warm, and the servers that get ticket keys from it have them; for `warm_s` seconds at
    most, or until `stop` is set.

    A server that is there `for_keys` alone has nothing to do before: it waits for them as long as it takes, unless
    `warm_s` is 0.
    """
    until = time.monotonic() + warm_s
    told = False
    while not ((node.warm and node.ticket_exports.begun) or stop.is_set()):
        left_s = until - time.monotonic()
        if left_s <= 0:
            if warm_s and not told:
                log.warning("not warm after %g s (server.warm_s): %s", warm_s, _progress(node, for_keys))
            told = True
            if not (for_keys and warm_s) or node.ticket_exports.begun:
                return
        systemd.starting(_progress(node, for_keys))
        if node.warm or left_s <= 0:
            await asyncio.sleep(_LOOK_S)
        else:
            await _either(node, stop, min(left_s, _TELL_S))


async def _either(node: MeshNode, stop: asyncio.Event, within_s: float) -> None:
    tasks = [asyncio.create_task(node.wait_warm_async(within_s)), asyncio.create_task(stop.wait())]
    _, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _progress(node: MeshNode, for_keys: bool) -> str:
    if node.warm or (for_keys and node.catch_up.done):
        without = ", ".join(node.ticket_exports.without)
        return f"waiting for ticket keys for {without}: the mesh has none now, as for some seconds after a withdraw"
    _, source, sessions = node.catch_up
    return f"catching up with {source}: {sessions} sessions so far" if source else "looking for peers"
