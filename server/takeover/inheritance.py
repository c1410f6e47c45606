"""What a server finds when it starts: listening sockets of systemd's, or a process whose place it takes.

Until the word "go" the process before goes on, whatever becomes of this one.

    before                                    after
    a word that says who it is, and its listening sockets, one by one
                                              checks its file and makes its contexts
                                              "ready"
    nearly all sessions, while it serves
    accepts no more, leaves the mesh's port
    what came meanwhile, and "yours"
                                              starts its node, takes the sessions
                                              "serving"
    "go", and drains                          accepts
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from meshcache import ConfigError, MeshcacheError, Settings

from .. import systemd
from ..addresses import join_address
from .link import ANSWER_S, Link, LinkError

QUEUE_S_MAX = 5.0
"""A snapshot of 100,000 sessions takes about two; a node that finds no peer is done in as many."""

TakeOver = Callable[[Path], object]
"""Asks the process before to connect to a Unix socket."""

log = logging.getLogger("meshcache.server")


class Inheritance:
    """``sockets`` are listening sockets by their listener's key, ``held`` the addresses that needn't be free."""

    def __init__(
        self, sockets: dict[str, socket.socket], link: Link | None = None, about: Any = None, *, listens: bool = True
    ) -> None:
        """Without `listens` the sockets only hold their addresses, until the first who is ready lets clients in."""
        self.sockets = sockets
        self.listens = listens
        self.held: set[str] = set(sockets)
        self._clients_wait = bool(sockets) and listens
        self._link = link
        self._about = about
        self._frames: list[bytes] = []

    @classmethod
    def of_systemd(cls) -> Inheritance:
        """Return the sockets that systemd has opened for this process, if any. Raises ConfigError."""
        return cls(_by_address(systemd.sockets()))

    @classmethod
    def of_process(cls, settings: Settings, take_over: TakeOver) -> Inheritance:
        """Ask the node of these settings for its place. Raises ConfigError, with the reason of the one that refuses."""
        assert settings.admin.socket is not None
        path = settings.admin.socket.parent / f".{secrets.token_hex(4)}"
        link: Link | None = None
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(str(path))
                path.chmod(0o600)
                listener.listen(1)
                listener.settimeout(ANSWER_S)
                take_over(path)
                link = Link(listener.accept()[0])
            return cls._offered(settings, link)
        except (OSError, MeshcacheError) as error:
            if link is not None:
                link.close()
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError([f"--take-over: node {settings.node.name} does not give its place: {why}"]) from None
        finally:
            with suppress(OSError):
                path.unlink()

    @classmethod
    def _offered(cls, settings: Settings, link: Link) -> Inheritance:
        about, _ = link.hear_word()
        names = (settings.mesh.name, settings.node.name, settings.node.colo)
        theirs = tuple(about.get("about", {}).get(key) for key in ("mesh", "node", "colo"))
        if theirs != names:
            raise LinkError("mesh.name, node.name and node.colo change only with a restart")
        given = [link.hear_word() for _ in range(int(about["sockets"]))]
        sockets = {str(word["key"]): each for word, each in given if each is not None}
        offered = cls(sockets, link, about["about"])
        offered.held |= set(about["held"])
        return offered

    def leave_the_rest(self) -> None:
        """Close the sockets that no listener has taken."""
        for address, each in self.sockets.items():
            log.warning("%s: a socket for it was given, and no VIP listens there", address)
            each.close()
        self.sockets = {}

    def warm_s(self, configured_s: float) -> float:
        """Return how long to wait for sessions of peers: not at all with those of the process before, and not for long
        while clients wait in a socket's queue.
        """
        if self._link is not None:
            return 0.0
        return min(configured_s, QUEUE_S_MAX) if self._clients_wait else configured_s

    def close(self) -> None:
        """Give everything back: this process won't serve."""
        for each in self.sockets.values():
            each.close()
        if self._link is not None:
            self._link.close()

    def claim(self) -> None:
        """All is ready here: wait until the process before has given its sessions and its ports are free. Blocks.

        Raises LinkError.
        """
        if self._link is None:
            return
        self._link.say(ready=True)
        while True:
            word, _ = self._link.hear()
            if isinstance(word, bytes):
                self._frames.append(word)
            elif word.get("yours"):
                self._about = word["about"]
                return

    def take(self, bequest: Any) -> None:
        """Let a node that has started take the sessions. Blocks. Raises MeshcacheError."""
        if self._link is not None:
            count = bequest.take(self._about, self._frames)
            self._frames = []
            log.info("%d sessions taken over from process %d", count, self._link.process_id)

    def serving(self) -> None:
        """Say that this process can accept now, and wait until the process before has heard it. Blocks.

        Raises LinkError: then that one goes on, and this one mustn't.
        """
        if self._link is None:
            return
        self._link.say(serving=True)
        word, _ = self._link.hear_word()
        if not word.get("go"):
            raise LinkError("the process before goes on")
        self._link.close()


def _by_address(sockets: list[socket.socket]) -> dict[str, socket.socket]:
    """Listening TCP sockets by address. Raises ConfigError for any other."""
    found = {}
    faults = []
    for each in sockets:
        listens = each.type == socket.SOCK_STREAM and each.family in (socket.AF_INET, socket.AF_INET6)
        if listens and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found[join_address(*each.getsockname()[:2])] = each
        else:
            faults.append(
                f"LISTEN_FDS: descriptor {each.fileno()} is no TCP socket that listens; use ListenStream= alone"
            )
            each.close()
    if faults:
        raise ConfigError(faults)
    return found
