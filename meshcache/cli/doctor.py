"""`meshcache doctor`: all that keeps sessions from being shared, on this machine and in its mesh; changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from meshcache.admin.client import AdminClient
from meshcache.cli.output import clean, colours, print_json
from meshcache.cli.server_steps import server_steps
from meshcache.cli.target import FILE, Target, asks_a_node
from meshcache.config import Settings, load
from meshcache.doctor import machine
from meshcache.doctor.finding import Finding, FindingState, fine, note, problem, skipped
from meshcache.doctor.user import AS_THE_NODE, runs_as, user_finding
from meshcache.errors import (
    AdminError,
    ConfigError,
    KeyringError,
    MeshcacheError,
    NodeAbsentError,
    PolicyError,
    TransportError,
)

DEGRADED: Final = 3

_MARKS: Final = {
    FindingState.FINE: "ok",
    FindingState.NOTE: "--",
    FindingState.PROBLEM: "!!",
    FindingState.SKIPPED: "  ",
}
_COLOURS: Final = {FindingState.NOTE: "cyan", FindingState.PROBLEM: "red", FindingState.FINE: "green"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@asks_a_node
def doctor(file: Path | None, socket: Path | None, as_json: bool) -> None:
    """Say what is wrong with this machine, with FILE (meshcache.toml here, if there is one), its node and its mesh.

    A line that begins with !! is a problem; below it stands what to do. Exits 0 without problems and 3 with some.
    """
    findings: list[Finding] = []
    for finding in _examine(file, socket):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    problems = sum(finding.state is FindingState.PROBLEM for finding in findings)
    if as_json:
        print_json({"degraded": problems > 0, "checks": [finding.to_plain() for finding in findings]})
    else:
        click.echo(f"{problems or 'no'} problem{'' if problems == 1 else 's'} found")
    if problems:
        raise click.exceptions.Exit(DEGRADED)


def _examine(file: Path | None, socket: Path | None) -> Iterator[Finding]:
    from meshcache.doctor.backends import backend_findings
    from meshcache.doctor.certificates import certificate_findings

    yield from machine.hook_findings()
    yield machine.hot_path_finding()
    if (steps := server_steps()) is not None:
        yield machine.server_steps_finding(steps)
    yield from machine.clock_findings()
    settings, finding = _settings(file)
    target = _target(socket, file)
    other = _other_user(target)
    if other is not None:
        yield user_finding(*other)
    yield _by_its_user(finding) if other else finding
    if settings is not None:
        yield from _notes(settings)
        yield from machine.multicast_findings(settings)
        state = machine.state_finding(settings)
        yield _by_its_user(state) if other else state
        yield from certificate_findings(settings)
        yield from backend_findings(settings)
        yield from _seeds(settings)
    yield from _node(settings, target)


def _settings(file: Path | None) -> tuple[Settings | None, Finding]:
    from meshcache.cli.faults import all_faults

    path = file or Path(FILE)
    if file is None and not path.exists():
        return None, skipped("file", f"there is no {FILE} here, so the machine and the node alone are looked at")
    try:
        settings = load(path)
        faults = all_faults(settings)
    except ConfigError as error:
        return None, problem("file", _first(path, error.faults), f"meshcache check {path}")
    if faults:
        return settings, problem("file", _first(path, faults), f"meshcache check {path}")
    return settings, fine("file", f"{path} has no fault")


def _notes(settings: Settings) -> Iterator[Finding]:
    from meshcache.checks import file_notes

    for text in file_notes(settings):
        yield note("file", text)


def _seeds(settings: Settings) -> Iterator[Finding]:
    from meshcache.doctor.seeds import seed_findings
    from meshcache.edges.keyfile import load_keyring

    try:
        yield from seed_findings(settings, load_keyring(settings.mesh.key_file))
    except KeyringError as error:
        yield problem("mesh key", str(error), _about_key(settings.mesh.key_file))
    except TransportError as error:
        yield problem("ZeroMQ", str(error), "install pyzmq with CURVE")


def _by_its_user(finding: Finding) -> Finding:
    """Return what another user than the node's found amiss with the advice for it: what to do as the node's own."""
    return replace(finding, do=AS_THE_NODE) if finding.state is FindingState.PROBLEM else finding


def _about_key(path: Path) -> str:
    try:
        path.stat()
    except FileNotFoundError:
        return "meshcache key new makes one; all nodes need the same"
    except OSError:
        pass
    if os.access(path, os.R_OK, effective_ids=True):
        return "docs/keys.md says whose the file must be, and what is in it; all nodes need the same"
    return f"{AS_THE_NODE}; if that is this one, let the file belong to it: chown {os.geteuid()} {path}"


def _target(socket: Path | None, file: Path | None) -> Target | MeshcacheError:
    """Return the node to ask, as all commands find it, or why there is none."""
    try:
        return Target(socket, file)
    except (ConfigError, NodeAbsentError) as error:
        return error


def _other_user(target: Target | MeshcacheError) -> tuple[int, Path] | None:
    """Return the user that runs the node, and the socket that says so, where it is another than the one that asks."""
    if isinstance(target, MeshcacheError):
        return None
    owner = runs_as(target.socket)
    return None if owner is None else (owner, target.socket)


def _node(settings: Settings | None, target: Target | MeshcacheError) -> Iterator[Finding]:
    from meshcache.doctor.groups import group_findings
    from meshcache.doctor.mdns import hearing_findings
    from meshcache.doctor.mesh import mesh_findings
    from meshcache.doctor.ticket_exports import left_alone_findings

    peers = 0
    try:
        if isinstance(target, MeshcacheError):
            raise target
        stats, policies, clocks, silent, others = target.ask(_asked)
        groups = list(group_findings(stats, others))
    except ConfigError:
        yield skipped("node", "none is asked: the file doesn't say where")
    except (AdminError, PolicyError, KeyError) as error:
        if _other_user(target) is not None:
            yield note("node", f"it can't be asked: {error}", AS_THE_NODE)
        elif not isinstance(error, NodeAbsentError):
            do = "read its log; if it does not go on, restart it. To be asked it needs to be of this version"
            yield problem("node", f"it runs and does not answer as it should: {error}", do)
        else:
            yield note("node", f"none is asked: {error}", "start it, or name its admin socket with --socket")
            if settings is not None:
                yield from left_alone_findings(settings)
    else:
        peers = len(stats["peers"])
        yield fine("node", f"{stats['node']['name']} in {stats['node']['colo']} answers (from {target.source})")
        yield from mesh_findings(stats, policies, clocks, silent)
        yield from groups
        if settings is not None:
            yield from hearing_findings(settings, stats["node"].get("address", ""))
            yield _files(settings, target.client, peers)
            return
    if settings is not None:
        yield machine.file_limit_finding(settings, peers)


def _asked(client: AdminClient) -> tuple[Any, Any, Any, Any, Any]:
    return client.stats(), client.policy(), client.clocks(), client.mesh()["silent"], client.peers()


def _files(settings: Settings, client: AdminClient, peers: int) -> Finding:
    pid = client.process_id()
    limit = None if pid is None else machine.files_of_process(pid)
    return machine.file_limit_finding(settings, peers, limit, "this user" if limit is None else "the node")


def _first(path: Path, faults: list[str]) -> str:
    return f"{path}: {len(faults)} fault{'' if len(faults) == 1 else 's'}, the first: {faults[0]}"


def _tell(finding: Finding) -> None:
    line = f"{_MARKS[finding.state]} {finding.name}: {finding.text}"
    colour = _COLOURS.get(finding.state) if colours() else None
    click.echo("\n".join(click.style(clean(part), fg=colour) for part in line.split("\n")))
    if finding.do and finding.state is not FindingState.FINE:
        click.echo(clean(f"   {finding.do}"))
