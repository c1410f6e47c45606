"""Gives the server's place to the process that follows it: listening sockets, sessions, and then the mesh's port.

If the other one fails, whenever that is, this server goes on as before; clients that came meanwhile waited in the
kernel's queue, which both processes share.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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
    async def go_on(self, node: MeshNode, take: Callable[[], None]) -> None: ...


class Succession:
    """Gives one server's place to its successor. ``given``: the successor has it, for good; ``failed``: giving it
    failed, and this server could not go on either."""

    def __init__(self, app: Replaced) -> None:
        self._app = app
        self._giving: asyncio.Task[None] | None = None
        self._paused = False
        self.given = self.failed = False

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
        """Under the turn of reloads: what is given must not change meanwhile, nor before this server goes on."""
        app, self._paused = self._app, False
        async with app.reload_turn:
            try:
                await self._hand_to(link)
            except (MeshcacheError, OSError) as error:
                log.error("process %d did not take over, this one goes on: %s", link.process_id, error)  # noqa: TRY400
            except Exception:
                log.exception("process %d did not take over, this one goes on", link.process_id)
            else:
                log.info("process %d has taken over", link.process_id)
                app.stop()
                return
            finally:
                link.close()
            if self._paused:
                await self._return()

    async def _hand_to(self, link: Link) -> None:
        app = self._app
        await asyncio.to_thread(self._offer, link)
        log.info("process %d takes over", link.process_id)
        await asyncio.to_thread(self._send, link, False)
        self._paused = True
        await self._pause()
        await asyncio.to_thread(self._leave, link)
        await asyncio.to_thread(self._await_serving, link)
        self.given = True
        app.node.bequest.forget()

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
        """Go on as before, as soon as that can be. Where it never can, end the process, so that another is started."""
        app, before = self._app, self._app.node
        try:
            given = (before.bequest.about(), list(before.bequest.all_frames())) if before.closed else None
            if given is not None:
                before.bequest.forget()
            while not app.stopping:
                try:
                    await (self._accept() if given is None else self._live_again(*given))
                except (MeshcacheError, OSError) as error:
                    log.error("the server can't go on yet: %s", error)  # noqa: TRY400
                    await asyncio.sleep(AGAIN_S)
                else:
                    return
        except Exception:
            log.exception("the server can't go on, and ends")
            self.failed = True
            if not app.stopping:  # the second stop would end connections that are still being served
                app.stop()

    async def _accept(self) -> None:
        """Let clients in again: the mesh was not left yet."""
        for listener in self._app.listeners.values():
            await listener.serve(listener.routes)

    async def _live_again(self, about: Any, frames: list[bytes]) -> None:
        """Be the next life of the same node, with all sessions. The other process may still end, and have what is this
        one's: its port, or its state folder.
        """
        app = self._app
        app.state_folder.hold()
        node = MeshNode(app.settings)
        try:
            await asyncio.to_thread(node.start)
            await app.go_on(node, lambda: _take_back(node, about, frames))
        except BaseException:
            await asyncio.to_thread(node.close)
            raise


def _take_back(node: MeshNode, about: Any, frames: list[bytes]) -> None:
    try:
        node.bequest.take(about, frames)
    except MeshcacheError as error:
        log.error("the server goes on without its sessions: %s", error)  # noqa: TRY400
