"""`meshcache policy`: where each VIP's sessions may go, as one node holds it now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from meshcache.cli.figures import NONE, duration, size
from meshcache.cli.output import Column, print_json, print_table
from meshcache.cli.target import Target, asks_a_node

COLUMNS = (
    Column("VIP"),
    Column("group"),
    Column("reach"),
    Column("client certs"),
    Column("bind"),
    Column("lifetime", number=True),
    Column("lineage", number=True),
    Column("quota", number=True),
)


@click.group()
def policy() -> None:
    """Where each VIP's sessions may go."""


@policy.command()
@asks_a_node
def show(socket: Path | None, as_json: bool) -> None:
    """Show the policy that holds on a node, VIP by VIP."""
    found = Target(socket).ask(lambda client: client.policy())
    if as_json:
        print_json(found)
    elif found:
        print_table(COLUMNS, [_row(vip) for vip in found])
    else:
        click.echo("this node serves no VIP")


def _row(vip: dict[str, Any]) -> list[str]:
    return [
        str(vip.get("vip", NONE)),
        str(vip.get("group", NONE)),
        _reach(vip.get("reach", NONE)),
        str(vip.get("client_certificates", NONE)),
        str(vip.get("bind", NONE)),
        duration(vip.get("lifetime_s")),
        duration(vip.get("lineage_s")),
        size(vip.get("quota_bytes")),
    ]


def _reach(reach: Any) -> str:
    return ",".join(map(str, reach)) if isinstance(reach, list) else str(reach)
