"""Finds the node that a command asks: by --socket, $MESHCACHE_SOCKET, or meshcache.toml in the current folder.

A file that is named on the command line comes before the variable: it was named for its node.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from meshcache.admin.client import AdminClient, answers
from meshcache.cli.whereabouts import plain_socket
from meshcache.errors import AdminError, NodeAbsentError

FILE: Final = "meshcache.toml"
VARIABLE: Final = "MESHCACHE_SOCKET"
SIBLINGS_MAX: Final = 5
"""Other nodes' sockets that are named when one isn't there."""

_OF_WORKER: Final = "admin.sock"
"""What `workers.naming` calls a worker's socket, whatever that of the file is called."""

Command = TypeVar("Command", bound=Callable[..., Any])


def asks_a_node(command: Command) -> Command:
    """Give a command the options of everything that reads a node."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        help=f"The node's admin socket. Default: ${VARIABLE}, else the one of {FILE} in this folder.",
    )(command)


class Target:
    """The node to ask. `ask` raises AdminError that says where it looked."""

    def __init__(self, socket: Path | None, file: Path | None = None) -> None:
        """Take what the command line names, if it does. Raises NodeAbsentError where nothing says which node, and
        ConfigError for a file that doesn't tell where its node is.
        """
        self.socket, self.source = _find(socket, file)
        self.client = AdminClient(self.socket)

    def ask(self, question: Callable[[AdminClient], Any]) -> Any:
        """Return the answer to one question."""
        try:
            return question(self.client)
        except AdminError as error:
            raise type(error)(f"{error} (from {self.source}){_siblings(self.socket)}") from None


def _find(given: Path | None, named: Path | None) -> tuple[Path, str]:
    if given is not None:
        return given, "--socket"
    variable = os.environ.get(VARIABLE)
    if variable and named is None:
        return Path(variable), f"${VARIABLE}"
    file = named or Path(FILE)
    if named is None and not file.exists():
        raise NodeAbsentError(
            f"which node? There is no {FILE} in {Path.cwd()}, and ${VARIABLE} is not set; name the node's admin socket "
            "with --socket"
        )
    source = f"admin.socket in {file.absolute()}"
    plain = plain_socket(file)
    if plain is not None and answers(plain):
        return plain, source
    from meshcache.config.load import load_whereabouts  # here: most files are plain, and it takes twice all the rest

    settings = load_whereabouts(file)
    socket = settings.admin.socket
    if socket is None:
        raise NodeAbsentError(
            f"{file.absolute()} has no admin socket (admin.socket or node.state_dir is false), so the node can't be "
            "asked here"
        )
    return _of_a_worker(settings.node.state_dir, socket), source


def _of_a_worker(state_dir: Path | None, socket: Path) -> Path:
    """Return the socket of the file's node; where only workers of it run, the first that answers."""
    if state_dir is None or answers(socket):  # in another user's folder too: asking there says so
        return socket
    workers: list[Path] = []
    with suppress(OSError):  # a folder that can't be listed
        workers = sorted(state_dir.glob("worker-*"), key=lambda path: (len(str(path)), path))
    return next(filter(answers, (folder / _OF_WORKER for folder in workers)), socket)


def _siblings(socket: Path) -> str:
    """Other nodes of the same file, whose sockets are in folders beside the one where nobody answers."""
    others: list[Path] = []
    with suppress(OSError):  # a folder we may not look into has no hints for us
        others = sorted(set(socket.parent.parent.glob(f"*/{socket.name}")) - {socket})
    return "".join(f"\n  there is another: --socket {other}" for other in others[:SIBLINGS_MAX])
