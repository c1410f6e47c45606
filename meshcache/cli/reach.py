"""Puts what a change has reached, and why a session goes or doesn't, into lines for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from meshcache.cli.figures import duration

NAMES_SHOWN: Final = 6

DEGRADED: Final = 3
"""The exit code of a command that did what it could, and not everything that was asked for holds."""

Lines = tuple[list[str], bool]
"""The lines, and whether everything that was asked about is allowed."""


def in_force_everywhere(done: dict[str, Any]) -> bool:
    """Return whether a change holds on every node that it was for. One for this node alone always does."""
    nodes = done.get("nodes")
    return nodes is None or not (nodes["missing"] or nodes.get("differ") or done.get("superseded"))


def what_differs(done: dict[str, Any]) -> list[str]:
    """One line for each node on which something else holds, and for each value that another operator's replaced."""
    differ = (done.get("nodes") or {}).get("differ", [])
    lines = [f"  not on {each['name']}: {'; '.join(each['holds'])}" for each in differ[:NAMES_SHOWN]]
    more = len(differ) - NAMES_SHOWN
    lines += [f"  nor on {more} more, which --json names"] if more > 0 else []
    for key, winner in done.get("superseded", {}).items():
        value = f"{key}={winner['value']}" if winner["value"] else f"no {key}"
        lines.append(f"  {value} is in force instead: it was set on {winner['author']} at the same time")
    return lines


def who_has_it(nodes: dict[str, Any]) -> str:
    """``5 of 6 nodes (not yet, or no answer: edge-4)``."""
    missing = nodes["missing"]
    silent = f" (not yet, or no answer: {named(missing)})" if missing else ""
    return f"{nodes['have']} of {nodes['expected']} {'node' if nodes['expected'] == 1 else 'nodes'}{silent}"


def named(names: Sequence[str]) -> str:
    """Some names, and how many more."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def explained_way(found: dict[str, Any]) -> Lines:
    """Return what `policy explain --from --to` prints."""
    ways = found["ways"]
    if not ways:
        where = f"{found['from']} to {found['to']}"
        return [f"{where}: allowed; one node serves it alone, and nothing crosses between nodes"], True
    verdict = {"all": "allowed", "none": "refused", "some": "allowed between some nodes only"}[found["allowed"]]
    lines = [f"{found['from']} to {found['to']}: {verdict}"]
    for way in ways:
        ends = f"{named(way['from_nodes'])} to {named(way['to_nodes'])}"
        lines.append(f"  {ends}: {_of_way(way)}")
    if found.get("lost"):
        lines.append(f"  not reachable now, whatever the policy: {named(found['lost'])}")
    lines += [f"  but {note}" for note in found.get("notes", ())]
    return lines, found["allowed"] == "all"


def explained_session(found: dict[str, Any]) -> Lines:
    """Return what `policy explain --session` prints."""
    if not found["found"]:
        return [f"session {found['session']}: {found['why']}"], False
    of = f"of VIP {found['vip']}, share group {found['group']}, made by {found['origin']} in {found['origin_colo']}"
    lines = [
        f"session {found['session']}: {of}",
        f"  ends in {duration(found['remaining_s'])}; its full handshake was {duration(found['lineage_s'])} ago"
        + ("; a client certificate was shown for it" if found["client_certificate"] else ""),
    ]
    lines += [f"  here, under VIP {way['vip']}: {_verdict(way)}" for way in found["here"]]
    lines += [f"  on {named(way['nodes'])}: {_verdict(way)}" for way in found["elsewhere"]]
    return lines, all(way["verdict"] == "allowed" for way in (*found["here"], *found["elsewhere"]))


def _of_way(way: dict[str, Any]) -> str:
    """Sessions, tickets or both, as the end that gives them says; a node before 0.2 tells of sessions alone."""
    tickets, mode = way.get("tickets"), way.get("resumption", {}).get("from", "sessions")
    if tickets is None:
        return _verdict(way)
    told = _verdict(way | tickets | {"gate": "the ring of keys"})
    if mode == "sessions":
        return f"{_verdict(way)}; no tickets are given ({tickets['why']})"
    return f"tickets {told}" if mode == "tickets" else f"TLS 1.3 by session {_verdict(way)}; tickets {told}"


def _verdict(way: dict[str, Any]) -> str:
    if way["verdict"] == "allowed":
        return "allowed"
    at = f" at {way['gate']}" if way["gate"] else ""
    return f"refused{at}, {way['verdict']}: {way['why']}"
