"""`meshcache policy`: where each VIP's sessions may go, as one node holds it now; changes it, and explains it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from meshcache.cli.figures import NONE, count, duration, size
from meshcache.cli.output import Column, clean, print_json, print_table, warn
from meshcache.cli.reach import (
    DEGRADED,
    explained_session,
    explained_way,
    in_force_everywhere,
    what_differs,
    who_has_it,
)
from meshcache.cli.target import Target, asks_a_node

_HASH = re.compile("[0-9a-f]{12}")

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
    """Show the policy that holds on a node, VIP by VIP, where it comes from, and which nodes have it."""
    found = Target(socket).ask(lambda client: client.policy())
    if as_json:
        print_json(found)
    elif found:
        print_table(COLUMNS, [_row(vip) for vip in found])
        for line in (line for vip in found for line in _sources(vip)):
            click.echo(clean(line))
    else:
        click.echo("this node serves no VIP")


@policy.command("set")
@click.argument("vip")
@click.argument("values", metavar="KEY=VALUE…", nargs=-1, required=True)
@click.option("--node-only", is_flag=True, help="On this node only; told to no other.")
@asks_a_node
def set_values(socket: Path | None, as_json: bool, vip: str, values: tuple[str, ...], node_only: bool) -> None:
    """Set values of VIP's policy on every node that serves it, and take back copies that it no longer allows.

    KEY is reach (server, colo, everywhere, or colos such as ams1,fra1), lifetime_s, lineage_s, quota,
    client_certificates, copies (all, or how many servers of a colo hold a session) or push (all, none). It holds over
    restarts, until it is set again or unset.

    Exits 3 where it isn't in force on every node that serves VIP, and names those nodes and why: no answer yet, a file
    that allows no more, or another operator's value that was set at the same time.
    """
    wanted = _pairs(values)
    done = Target(socket).ask(lambda client: client.set_policy(vip, wanted, node_only=node_only))
    _report(done, as_json)


@policy.command()
@click.argument("vip")
@click.argument("keys", metavar="[KEY…]", nargs=-1)
@click.option("--node-only", is_flag=True, help="What was set with --node-only here.")
@asks_a_node
def unset(socket: Path | None, as_json: bool, vip: str, keys: tuple[str, ...], node_only: bool) -> None:
    """Take back what was set for VIP, or only these KEYs of it: each node's file holds again."""
    done = Target(socket).ask(lambda client: client.unset_policy(vip, list(keys), node_only=node_only))
    _report(done, as_json)


@policy.command()
@click.option("--from", "source", metavar="VIP@COLO", help="Where sessions are made, such as shop@ams1.")
@click.option("--to", "target", metavar="VIP@COLO", help="Where they are to resume, such as checkout@fra1.")
@click.option("--session", metavar="FILE|HASH", help="One of `openssl s_client -sess_out FILE`, or by its hash.")
@asks_a_node
def explain(socket: Path | None, as_json: bool, source: str | None, target: str | None, session: str | None) -> None:
    """Say whether sessions may go from one VIP to another, or where one session may resume; and why not.

    Exits 0 if they may everywhere that was asked about, 3 if not.
    """
    if bool(session) == bool(source or target) or bool(source) != bool(target):
        raise click.UsageError("give --from and --to, or --session")
    query = {"session": _hash_of(session)} if session else {"from": source or "", "to": target or ""}
    found = Target(socket).ask(lambda client: client.explain(**query))
    lines, fine = explained_session(found) if session else explained_way(found)
    if as_json:
        print_json(found)
    for line in () if as_json else lines:
        click.echo(clean(line))
    if not fine:
        raise click.exceptions.Exit(DEGRADED)


def _hash_of(session: str) -> str:
    """Return the hash of the session in a file; the id, a secret, goes no further. Anything else may be one.

    Whatever is wrong is said without the text: whoever gives a file's contents for its name shows a key with it.
    """
    if _HASH.fullmatch(session):
        return session
    from meshcache.tls.session_file import (
        hash_of_session_in,
    )  # here: no other command needs OpenSSL, which loads slowly

    try:
        return hash_of_session_in(Path(session).read_text(errors="replace"))
    except OSError as error:
        why = error.strerror or "it can't be read"
        raise click.UsageError(f"--session: no such file, and a hash is 12 hexadecimal digits ({why})") from None
    except ValueError as error:
        raise click.UsageError(f"--session: {error}") from None


def _pairs(values: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise click.UsageError(f'write KEY=VALUE, such as reach=everywhere, not "{text}"')
        if key in pairs:
            raise click.UsageError(f"{key} is given twice")
        pairs[key] = value
    return pairs


def _report(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        _tell(done)
    if not in_force_everywhere(done):
        raise click.exceptions.Exit(DEGRADED)


def _tell(done: dict[str, Any]) -> None:
    changed = done.get("changed") or {}
    words = (
        ", ".join(f"{key}={value}" if value else f"no {key}" for key, value in changed.items()) or "nothing to change"
    )
    recalled = done["recalled"]
    if done["node_only"]:
        click.echo(clean(f"{done['vip']}: {words}, on this node only"))
        click.echo(f"{count(recalled['here'])} copies that it no longer allows were removed here")
    else:
        click.echo(clean(f"{done['vip']}: {words}; version {done['version']}"))
        click.echo(
            f"in force on {who_has_it(done['nodes'])}; {count(recalled['mesh'])} copies that it no longer allows were "
            f"removed there, {count(recalled['here'])} of them here"
        )
        for line in what_differs(done):
            click.echo(clean(line))
    for note in done.get("notes", ()):
        click.echo(clean(f"  note: {note}"))
    if not done.get("kept", True):
        warn("it could not be written to the state folder, so a restart of this node may lose it; its log says why")


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


def _sources(vip: dict[str, Any]) -> list[str]:
    """Below the table: where values come from, and who has the newest version."""
    sources = vip.get("sources")
    if not isinstance(sources, dict):
        return []
    by_source: dict[str, list[str]] = {}
    for key, source in sources.items():
        by_source.setdefault(source.get("from", NONE), []).append(key)
    words = "; ".join(f"{name}: {', '.join(by_source[name])}" for name in _SOURCES if name in by_source)
    lines = [f"{vip['vip']}: {words}"]
    for key, source in sources.items():
        if "wanted" in source:
            why = source.get("why", f'its file allows no more: live = "{vip["live"]}"')
            lines.append(f"  {key} was set to {source['wanted']}; another holds: {why}")
    lines += _copies(vip)
    if vip.get("resumption", SESSIONS) != SESSIONS:
        lines.append(f"  {_TICKETS[vip['resumption']]}: `meshcache tickets show` has their keys")
    if vip.get("single_use", "off") != "off":
        lines.append("  a TLS 1.3 session is good for one handshake, as far as servers can be told (single_use)")
    if vip.get("version"):
        author = f" by {vip['author']}" if vip.get("author") else ""
        lines.append(f"  version {vip['version']}{author}: {_nodes(vip['nodes'], vip['version'])}")
    if vip.get("epoch"):
        lines.append(f"  policy epoch of share group {vip['group']}: {vip['epoch']}")
    return lines


def _copies(vip: dict[str, Any]) -> list[str]:
    lines = []
    if vip.get("copies", ALL) != ALL:
        lines.append(f"  copies = {vip['copies']}: so many servers of a colo hold a session, the others fetch it")
    if vip.get("push", ALL) == "none":
        fetches = vip.get("fetch") == "reach"
        abroad = "other colos fetch it" if fetches else 'other colos are given none, and here fetch is not "reach"'
        lines.append(f"  push = none: {abroad}")
    others = [
        f"{other['name']} {other['copies']}" + (", push none" if other["push"] == "none" else "")
        for other in vip.get("other_copies", ())
    ]
    more = [f"and {len(others) - 5} more"] if len(others) > 5 else []
    return [*lines, f"  other copies: {'; '.join([*others[:5], *more])}"] if others else lines


ALL = "all"
SESSIONS = "sessions"
_TICKETS = {
    "tickets": "clients keep their sessions, in tickets",
    "both": "TLS 1.2 clients that can do no other keep their sessions, in tickets",
}
_SOURCES = ("node", "live", "file", "default")


def _nodes(nodes: dict[str, Any], version: int) -> str:
    """``5 of 6 at version 7, edge-4 at 6``."""
    others = [
        f"{other['name']} at {other['version']}" + (f" ({other['state']})" if other["state"] == "lost" else "")
        for other in nodes["others"]
    ]
    more = [f"and {len(others) - 10} more"] if len(others) > 10 else []
    return ", ".join([f"{nodes['have']} of {nodes['serving']} at version {version}", *others[:10], *more])


def _reach(reach: Any) -> str:
    return ",".join(map(str, reach)) if isinstance(reach, list) else str(reach)
