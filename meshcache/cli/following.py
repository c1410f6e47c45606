"""Asks a node time after time, and goes on while it is away: what `stats --watch` and `events --follow` have in common.

A node that restarts is away for a moment, and then there without its VIPs for another. Draws nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import click

from meshcache.cli.output import clean
from meshcache.errors import AdminError

AWAY: Final = (AdminError, click.UsageError)
"""What a question may raise while a node restarts; the second says that there is no such VIP."""

Answer = TypeVar("Answer")


def answers(read: Callable[[], Answer], period_s: float) -> Iterator[Answer]:
    """Yield what `read` returns, each time after so many seconds; without an end. While the node is away nothing comes,
    which is said once on standard error.
    """
    away = False
    while True:
        time.sleep(period_s)
        try:
            answer = read()
        except AWAY as error:
            if not away:
                click.echo(clean(trouble(error)), err=True)
            away = True
        else:
            away = False
            yield answer


def trouble(error: Exception) -> str:
    """Return in a line what is said of a node that is away."""
    words = "no answer, trying again" if isinstance(error, AdminError) else "trying again"
    return f"{words}: {error}".partition("\n")[0]
