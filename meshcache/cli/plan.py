"""`meshcache plan`: what a mesh with this file would carry, and whether it fits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from meshcache.cli.figures import count, duration, percent, rate, size
from meshcache.cli.output import Column, clean, print_json, print_table
from meshcache.config import Settings, load
from meshcache.config.values import parse_name
from meshcache.planning.constants import SOURCES
from meshcache.planning.predict import Load, Plan, PlannedNode, predict

NODES_MAX = 100_000
"""Anything above it is a typing error."""

_MISFIT = 2


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="meshcache.toml")
@click.option(
    "--handshakes-per-s", "handshakes", type=float, required=True, help="Of the whole mesh, all VIPs together."
)
@click.option("--nodes", type=int, default=None, help="In each colo. Default: 2.")
@click.option("--colos", default=None, help="Names, or names with their nodes: ams1,fra1 or ams1=12,fra1=4.")
@click.option("--resumed", default="60%", show_default=True, help="Part of the handshakes that resume.")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Plan with this value instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def plan(
    file: Path,
    handshakes: float,
    nodes: int | None,
    colos: str | None,
    resumed: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Predict what a mesh of nodes with FILE (meshcache.toml) carries: sessions, bytes, CPU, memory, and between colos.

    Handshakes are spread evenly over nodes and VIPs. Exits 2, with what would help, when it will not fit. The figures
    are good to a factor of two.
    """
    settings = load(file, overrides)
    wanted = _load(settings, handshakes, nodes, colos, resumed)
    found = predict(settings, wanted)
    if as_json:
        print_json(_plain(found))
    else:
        _show(settings, wanted, found)
    for fault in found.faults:
        click.echo(clean(f"will not fit: {fault}"), err=True)
    if found.faults:
        raise click.exceptions.Exit(_MISFIT)


def _load(settings: Settings, handshakes: float, nodes: int | None, colos: str | None, resumed: str) -> Load:
    if not settings.vips:
        raise click.UsageError("the file has no VIP, so there is nothing to plan")
    if not 0 < handshakes <= 1e9:
        raise click.BadParameter("a rate is above 0", param_hint="--handshakes-per-s")
    by_colo = _colos(colos or settings.node.colo, 2 if nodes is None else nodes)
    return Load(by_colo, handshakes, _share(resumed))


def _colos(text: str, nodes: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        try:
            parse_name(name)
            count_here = int(number) if equals else nodes
        except ValueError:
            raise click.BadParameter(
                f'"{part}" is no colo; write ams1,fra1 or ams1=12,fra1=4', param_hint="--colos"
            ) from None
        if not 1 <= count_here <= NODES_MAX:
            raise click.BadParameter(f"a colo has 1 to {NODES_MAX:,} nodes, not {count_here}", param_hint="--nodes")
        if name in found:
            raise click.BadParameter(f"{name} is named twice", param_hint="--colos")
        found[name] = count_here
    return found


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter('a part is "60%" or 0.6', param_hint="--resumed")
    return share


def _show(settings: Settings, load: Load, found: Plan) -> None:
    colos = ", ".join(f"{colo} {nodes}" for colo, nodes in load.colos.items())
    vips = "1 VIP" if len(settings.vips) == 1 else f"{len(settings.vips)} VIPs alike"
    asked = f"{count(load.handshakes_per_s)} handshakes/s, {percent(load.resumed, 1, 0)} resumed"
    click.echo(f"{load.nodes} node{'' if load.nodes == 1 else 's'} ({clean(colos)}), {vips}, {asked}\n")
    print_table(_NODE_COLUMNS, [_node_row(node) for node in found.nodes])
    click.echo()
    print_table(
        _VIP_COLUMNS,
        [
            [
                node.colo,
                vip.name,
                rate(vip.made_per_s),
                rate(vip.taken_per_s),
                count(vip.held),
                count(vip.held_max),
                duration(vip.held_for_s),
            ]
            for node in found.nodes
            for vip in node.vips
        ],
    )
    if found.links:
        click.echo()
        rows = [[link.source, link.target, rate(link.sessions_per_s), _mbit(link.bytes_per_s)] for link in found.links]
        print_table(_LINK_COLUMNS, rows)
    if found.tiers:
        click.echo()
        rows = [[t.colo, t.name, count(t.held), count(t.held_max), count(t.large_max)] for t in found.tiers]
        print_table(_TIER_COLUMNS, rows)
    if found.notes:
        click.echo()
        click.echo("\n".join(f"note: {clean(text)}" for text in found.notes))
    click.echo("\nmeasured or fixed:")
    for name, constant in SOURCES.items():
        click.echo(f"  {name.lower()} = {constant.value:g} {constant.unit} ({constant.source})")


_NODE_COLUMNS = (
    Column("a node in"),
    Column("makes/s", number=True),
    Column("takes/s", number=True),
    Column("sends/s", number=True),
    Column("in", number=True),
    Column("out", number=True),
    Column("CPU", number=True),
    Column("of it mesh", number=True),
    Column("memory", number=True),
)

_VIP_COLUMNS = (
    Column("a node in"),
    Column("VIP"),
    Column("makes/s", number=True),
    Column("takes/s", number=True),
    Column("needs", number=True),
    Column("has room for", number=True),
    Column("kept for", number=True),
)

_TIER_COLUMNS = (
    Column("a node in"),
    Column("tier"),
    Column("needs", number=True),
    Column("has room for", number=True),
    Column("of 2 kB", number=True),
)

_LINK_COLUMNS = (Column("from"), Column("to"), Column("sessions/s", number=True), Column("traffic", number=True))


def _node_row(node: PlannedNode) -> list[str]:
    cores = node.cpu_handshakes + node.cpu_mesh
    return [
        node.colo,
        rate(sum(vip.made_per_s for vip in node.vips)),
        rate(node.taken_per_s),
        rate(node.sent_per_s),
        _mbit(node.bytes_in_per_s),
        _mbit(node.bytes_out_per_s),
        percent(cores, 1),
        percent(node.cpu_mesh, 1),
        size(node.memory_bytes),
    ]


def _mbit(bytes_per_s: float) -> str:
    bits = bytes_per_s * 8
    return f"{bits / 1e6:.1f} Mbit/s" if bits >= 1e5 else f"{bits / 1e3:.1f} kbit/s"


def _plain(found: Plan) -> dict[str, object]:
    constants = {name.lower(): constant._asdict() for name, constant in SOURCES.items()}
    nodes = [asdict(node) | {"taken_per_s": node.taken_per_s} for node in found.nodes]
    links = [asdict(link) for link in found.links]
    return {
        "fits": not found.faults,
        "faults": list(found.faults),
        "notes": list(found.notes),
        "nodes": nodes,
        "links": links,
        "tiers": [asdict(tier) for tier in found.tiers],
        "constants": constants,
    }
