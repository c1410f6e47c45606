"""`meshcache sessions`: forget sessions on every node, as after a key was stolen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from meshcache.cli.figures import count
from meshcache.cli.output import clean, print_json, warn
from meshcache.cli.reach import DEGRADED, in_force_everywhere, who_has_it
from meshcache.cli.target import Target, asks_a_node


@click.group()
def sessions() -> None:
    """Forget sessions, on every node."""


@sessions.command()
@click.option("--vip", default="", metavar="NAME", help="Those of one VIP.")
@click.option("--group", default="", metavar="NAME", help="Those of all VIPs of a share group.")
@click.option("--origin", default="", metavar="NODE", help="Those that one node made.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.option("--new-epoch", is_flag=True, help="And let no older one resume, wherever a copy of it may be.")
@asks_a_node
def withdraw(
    socket: Path | None,
    as_json: bool,
    vip: str,
    group: str,
    origin: str,
    everything: bool,
    new_epoch: bool,
) -> None:
    """Forget sessions made before now, on every node. Clients get a full handshake the next time.

    A node that is away is told when it is back. With --new-epoch the share group's policy epoch goes up: what was made
    in an earlier one can't resume any more, even where the withdraw never came. Exits 3 while a node hasn't done it.
    """
    if sum(map(bool, (vip, group, origin, everything))) != 1:
        raise click.UsageError("give one of --vip, --group, --origin and --all")
    what: dict[str, str | bool] = {
        "vip": vip,
        "group": group,
        "origin": origin,
        "all": everything,
        "new_epoch": new_epoch,
    }
    done = Target(socket).ask(lambda client: client.withdraw(**what))
    if as_json:
        print_json(done)
    else:
        _tell(done)
    if not in_force_everywhere(done):
        raise click.exceptions.Exit(DEGRADED)


def _tell(done: dict[str, Any]) -> None:
    gone = done["withdrawn"]
    click.echo(
        f"{count(gone['mesh'])} sessions withdrawn, {count(gone['here'])} of them here; done on "
        f"{clean(who_has_it(done['nodes']))}"
    )
    tickets = done.get("tickets", {"ended": (), "left": ()})  # a node of before 0.2.0 says nothing of them
    for name in tickets["ended"]:
        click.echo(clean(f"share group {name}: its ticket keys are wiped, and no older ticket opens"))
    for name in tickets["left"]:
        click.echo(clean(f"share group {name}: tickets go on, since keys can't tell whose they are; --group ends them"))
    for name, epoch in done["epochs"].items():
        click.echo(clean(f"share group {name}: policy epoch {epoch}, every older session is dead"))
    if not done["kept"]:
        warn("the epoch could not be written to the state folder; this node's log says why")
