"""Gives the server's place to the process that follows it: listening sockets, sessions, and then the mesh's port.

If the other one fails, whenever that is, this server goes on as before; clients that came meanwhile waited in the
kernel's queue, which both processes share.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Protocol

from meshcache import MeshcacheError, MeshNode, Settings

from ..connections.listener import Listener
from ..connections.table import ConnectionTable
from ..state_folder import StateFolder
from .link import Link, LinkError

HANDSHAKES_S = 1.0
"""For handshakes that have begun to end, so that their sessions are given too; clients that come wait as long."""

LOOK_S = 0.005

AGAIN_S = 1.0
"""Between two tries to take the mesh's port back."""

log = logging.getLogger("meshcache.server")


class Replaced(Protocol):
    """The server whose place is given."""

    settings: Settings
    node: MeshNode
    table: ConnectionTable
    listeners: dict[str, Listener]
    state_folder: StateFolder
    reload_turn: asyncio.Lock

    @property
    def stopping(self) -> bool: ...
    def stop(self) -> None: ...
    async def go_on(self, node: MeshNode) -> None: ...


class Succession:
    """Of one server. ``given`` says that its place is another's, for good."""

    def __init__(self, app: Replaced) -> None:
        self._app = app
        self._giving: asyncio.Task[None] | None = None
        self.given = False

    def hand_over(self, loop: asyncio.AbstractEventLoop, path: str) -> dict[str, Any]:
        """Begin, for another thread; the rest follows on the loop. Raises LinkError."""
        if self.given or (self._giving is not None and not self._giving.done()):
            raise LinkError("it gives its place to another process already")
        link = Link.to(Path(path))

        def begin() -> None:
            self._giving = loop.create_task(self._give(link))

        loop.call_soon_threadsafe(begin)
        return {"ok": True}

    async def _give(self, link: Link) -> None:
        """Under the turn of reloads: what is given must not change meanwhile."""
        app, left = self._app, False
        try:
            async with app.reload_turn:
                await asyncio.to_thread(self._offer, link)
                log.info("process %d takes over", link.process_id)
                await asyncio.to_thread(self._send, link, False)
                await self._pause()
                left = True
                await asyncio.to_thread(self._leave, link)
                await asyncio.to_thread(self._await_serving, link)
                self.given = True
                app.node.bequest.forget()
        except (MeshcacheError, OSError) as error:
            log.error("process %d did not take over, this one goes on: %s", link.process_id, error)  # noqa: TRY400
            if left:
                await self._return()
        except Exception:
            log.exception("process %d did not take over, this one goes on", link.process_id)
            if left:
                await self._return()
        else:
            log.info("process %d has taken over", link.process_id)
            app.stop()
        finally:
            link.close()

    def _offer(self, link: Link) -> None:
        app = self._app
        listeners = app.listeners
        held = [app.settings.mesh.listen, *([app.settings.admin.http] if app.settings.admin.http else [])]
        link.say(about=app.node.bequest.about(), sockets=len(listeners), held=held)
        for key, listener in listeners.items():
            link.say(listener.listening, key=key)
        word, _ = link.hear_word()
        if not word.get("ready"):
            raise LinkError("it isn't ready")

    def _send(self, link: Link, last: bool) -> None:
        for frame in self._app.node.bequest.frames(last=last):
            link.send_frame(frame)

    async def _pause(self) -> None:
        """Accept no more, and let handshakes end."""
        app, loop = self._app, asyncio.get_running_loop()
        for listener in app.listeners.values():
            listener.pause()
        until = loop.time() + HANDSHAKES_S
        while app.table.handshakes() and loop.time() < until:  # noqa: ASYNC110  # once, in a process that is about to end
            await asyncio.sleep(LOOK_S)

    def _leave(self, link: Link) -> None:
        node, about = self._app.node, self._app.node.bequest.about()
        self._app.state_folder.release()
        node.close(goodbye=False)
        self._send(link, True)
        link.say(yours=True, about=about)

    def _await_serving(self, link: Link) -> None:
        word, _ = link.hear_word()
        if not word.get("serving"):
            raise LinkError("it isn't serving")
        link.say(go=True)

    async def _return(self) -> None:
        """Go on, as the next life of the same node, with all sessions."""
        app, before = self._app, self._app.node
        about, frames = before.bequest.about(), list(before.bequest.all_frames())
        before.bequest.forget()
        while not app.stopping:
            node = MeshNode(app.settings)
            try:
                await asyncio.to_thread(node.start)
            except MeshcacheError as error:
                log.error("the node can't go on yet: %s", error)  # noqa: TRY400
                await asyncio.sleep(AGAIN_S)
                continue
            await app.go_on(node)
            await asyncio.to_thread(node.bequest.take, about, frames)
            return
