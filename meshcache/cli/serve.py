"""`meshcache serve`: checks everything first, then hands over to the server, which is a package of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from meshcache.cli.faults import all_faults, fail, is_running
from meshcache.errors import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="meshcache.toml")
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Use this value instead of the file's, such as node.name=edge-2 or vip.shop.listen=127.0.0.1:8444.",
)
def serve(file: Path, overrides: tuple[str, ...]) -> None:
    """Run the server that FILE (meshcache.toml) describes, until SIGTERM or Ctrl-C.

    SIGHUP rereads FILE with the same --set values and keeps the cache. Exits with 2, and starts nothing, when anything
    is wrong with FILE or what it points at.
    """
    hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))  # obeyed when the server is ready
    run = _server()
    try:
        run(_checked(file, overrides), file, overrides, hangups)
    except ConfigError as error:
        fail(file, error.faults)


def _checked(file: Path, overrides: Sequence[str]) -> Any:
    from meshcache.config import load

    settings = load(file, overrides)
    if is_running(settings):
        raise ConfigError(
            [f'node.name: node "{settings.node.name}" is running already; a second one needs --set node.name=NAME']
        )
    if not any(vip.listen for vip in settings.vips):
        raise ConfigError(
            ["vip: no VIP has an address to listen on, so there is nothing to serve; add [[vip]] with listen"]
        )
    faults = all_faults(settings)
    if faults:
        raise ConfigError(faults)
    return settings


def _server() -> Callable[..., None]:
    if find_spec("meshcache_server") is None:
        raise click.ClickException(
            "the server is not installed here (package meshcache_server); install meshcache whole with "
            "`pip install meshcache`, or attach contexts of your own in Python: docs/configuration.md"
        )
    run: Callable[..., None] = import_module("meshcache_server.main").run
    return run
