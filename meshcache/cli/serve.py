"""`meshcache serve`: checks everything first, then hands over to the server, which is a package of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshcache.cli.faults import all_faults, fail, is_running
from meshcache.errors import ConfigError

if TYPE_CHECKING:
    from meshcache.config import Settings


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="meshcache.toml")
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Use this value instead of the file's, such as node.name=edge-2 or vip.shop.listen=127.0.0.1:8444.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Take the place of the process that runs this node: its sockets and sessions. It drains.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Of messages; default: text.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Default: info."
)
def serve(file: Path, overrides: tuple[str, ...], take_over: bool, log_format: str, log_level: str) -> None:
    """Run the server that FILE (meshcache.toml) describes, until SIGTERM or Ctrl-C.

    SIGHUP rereads FILE with the same --set values and keeps the cache. Exits with 2, and starts nothing, when anything
    is wrong with FILE or what it points at. With --take-over a running process of the same node goes on until this one
    serves, and for as long as its clients stay; where none runs, it is an ordinary start.
    """
    run_file(file, overrides, _nothing_to_serve, take_over=take_over, log_format=log_format, log_level=log_level)


def run_file(
    file: Path,
    overrides: Sequence[str],
    objection: Callable[[Settings], str | None],
    *,
    take_over: bool = False,
    log_format: str,
    log_level: str,
) -> None:
    """Check `file` and run what it describes, until SIGTERM; `objection` says what this command wants else of it."""
    hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))  # obeyed when the server is ready
    server = _server()
    import_module("meshcache_server.messages").set_up(log_format, log_level)
    try:
        settings = _loaded(file, overrides)
        replaces = _replaces(settings, take_over)
        inheritance = server.inherit(settings, _asking(settings) if replaces else None)
        try:
            _check(settings, inheritance.held, objection(settings), replaces=replaces)
        except BaseException:
            inheritance.close()
            raise
        server.run(settings, file, overrides, hangups, inheritance)
    except ConfigError as error:
        fail(file, error.faults)


def _loaded(file: Path, overrides: Sequence[str]) -> Settings:
    from meshcache.config import load

    return load(file, overrides)


def _replaces(settings: Settings, take_over: bool) -> bool:
    """Return whether there is a process whose place this one takes. Raises ConfigError where it may not."""
    running = is_running(settings)
    if running and not take_over:
        fault = (
            f'node.name: node "{settings.node.name}" is running already; a second one needs --set node.name=NAME, and '
            "one that takes its place --take-over"
        )
        raise ConfigError([fault])
    return running


def _asking(settings: Settings) -> Callable[[Path], object]:
    from meshcache.admin.client import AdminClient

    assert settings.admin.socket is not None, "its node answered there"
    return AdminClient(settings.admin.socket).take_over


def _nothing_to_serve(settings: Settings) -> str | None:
    if any(vip.listen for vip in settings.vips) or settings.tickets.export:
        return None
    return "vip: no VIP has an address to listen on, so there is nothing to serve; add [[vip]] with listen"


def _check(settings: Settings, held: Collection[str], objection: str | None, *, replaces: bool) -> None:
    if objection is not None:
        raise ConfigError([objection])
    faults = all_faults(settings, held, replaces=replaces)
    if faults:
        raise ConfigError(faults)


def _server() -> Any:
    if find_spec("meshcache_server") is None:
        raise click.ClickException(
            "the server is not installed here (package meshcache_server); install meshcache whole with "
            "`pip install meshcache`, or attach contexts of your own in Python: docs/configuration.md"
        )
    return import_module("meshcache_server.main")
