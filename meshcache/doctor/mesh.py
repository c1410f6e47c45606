"""Looks at the running node and the mesh it sees: who is away, whose settings or clocks differ, who is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from meshcache.doctor.copies import copies_findings
from meshcache.doctor.finding import Finding, fine, note, problem
from meshcache.doctor.front import front_findings
from meshcache.doctor.hooks import hook_findings
from meshcache.doctor.ticket_exports import export_findings
from meshcache.doctor.tiers import tier_findings

CLOCK_OFF_S: Final = 30.0
"""Certificates and logs suffer from a clock that far off; the mesh itself carries no wall-clock times."""

NAMES_SHOWN: Final = 5


def mesh_findings(
    stats: Mapping[str, Any],
    policies: Sequence[Mapping[str, Any]],
    clocks: Mapping[str, float],
    silent: Sequence[str] = (),
) -> Iterator[Finding]:
    """Everything about a running node, by what it answers on its admin socket; `silent` are nodes that gave no answer
    when all were asked through it.
    """
    peers = stats.get("peers", [])
    yield _members(peers, silent, len(stats.get("node", {}).get("workers", ())))
    yield from _islands(peers)
    yield from _refused(stats)
    yield from _clocks(clocks)
    yield from _behind(policies)
    yield from _not_resumed(stats)
    yield from _changed(stats)
    yield from copies_findings(stats.get("vips", {}), policies)
    yield from hook_findings(stats.get("hooks", ()))
    yield from export_findings(stats.get("ticket_exports", ()))
    yield from tier_findings(stats.get("tiers", ()))
    if stats.get("front") is not None:
        yield from front_findings(stats["front"])
    yield from _shares_nothing(stats)


def _members(peers: Sequence[Mapping[str, Any]], silent: Sequence[str], workers: int) -> Finding:
    """Of another colo a node is linked with some alone, which tell it of the others: it sees none of those go."""
    away = [f"{peer['name']} ({peer['colo']})" for peer in peers if peer.get("state") != "alive"]
    away += sorted(set(silent) - {peer["name"] for peer in peers})
    if away:
        return problem(
            "members", f"{_some(away)} not heard", "look whether they run, and whether the network between is whole"
        )
    if not peers and workers > 1:
        return fine("members", f"no other server; its {workers} workers share with each other")
    if not peers:
        return note("members", "this node knows no other: nothing is shared", "see mesh.seeds and mesh.mdns")
    return fine("members", "one other node, alive" if len(peers) == 1 else f"{len(peers)} other nodes, all alive")


def _islands(peers: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    found: dict[tuple[str, str], list[str]] = {}
    for peer in peers:
        for island in peer.get("islands", ()):
            differs = ", ".join(island.get("values") or island.get("differs", ())) or "which one they don't tell"
            found.setdefault((island["group"], differs), []).append(peer["name"])
    for (group, differs), names in found.items():
        yield problem(
            f"island in group {group}",
            f"{_some(names)}: other settings than here, so no session is shared. Different: {differs}",
            "make that setting equal in the files of all nodes of the group, and reload",
        )
    if not found:
        yield fine("islands", "none: settings of share groups agree with those of all peers")


def _refused(stats: Mapping[str, Any]) -> Iterator[Finding]:
    refused = stats.get("transport", {}).get("refused", {})
    count = sum(refused.values())
    if count:
        reasons = ", ".join(f"{reason} {times}" for reason, times in sorted(refused.items()))
        keys = any("key" in reason for reason in refused)
        do = (
            "a node with another key: compare fingerprints in the log (docs/keys.md)"
            if keys
            else "no other key was shown: port checks, scanners and nodes that restart end this way, and do no harm"
        )
        yield note("connections", f"{count} refused since the start: {reasons}", do)
    for refusal in stats.get("refusals", []):
        node, where = refusal["node"], f" (at {refusal['address']})" if refusal["address"] else ""
        if refusal["by_peer"]:
            text = f"{node} doesn't hear this node, which {refusal['text']}{where}"
        else:
            text = f"{node}{where} isn't heard here: it {refusal['text']}"
        kind = note if refusal["reason"] == "other_mesh" else problem
        yield kind(f"refused: {refusal['reason']}", f"{text}; {refusal['count']} times", refusal["do"])


def _clocks(clocks: Mapping[str, float]) -> Iterator[Finding]:
    off = {node: ahead_s for node, ahead_s in clocks.items() if abs(ahead_s) >= CLOCK_OFF_S}
    if len(off) > len(clocks) / 2:
        yield problem(
            "clocks", f"this machine's is {_off(off)} than most others'", "set it, and run an NTP client such as chrony"
        )
    elif off:
        yield problem("clocks", _some([f"{node} is {_far(s)}" for node, s in sorted(off.items())]), "set them there")
    elif clocks:
        whose = "the other node's agrees" if len(clocks) == 1 else f"{len(clocks)} other nodes' agree"
        yield fine("clocks", f"{whose} with this one within {CLOCK_OFF_S:.0f} s")


def _off(off: Mapping[str, float]) -> str:
    middle = sorted(off.values())[len(off) // 2]
    return f"{abs(middle):.0f} s {'later' if middle < 0 else 'earlier'}"


def _far(ahead_s: float) -> str:
    return f"{abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"


def _behind(policies: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for policy in policies:
        others = policy.get("nodes", {}).get("others", ())
        if others and policy.get("version"):
            names = [f"{other['name']} at {other['version']}" for other in others]
            yield note(
                f"policy of {policy['vip']}",
                f"version {policy['version']} is not in force everywhere: {_some(names)}",
                "they get it when they are back",
            )


def _not_resumed(stats: Mapping[str, Any]) -> Iterator[Finding]:
    for name, vip in stats.get("vips", {}).items():
        lookups = vip.get("lookups", {})
        hits = sum(lookups.get(kind, 0) for kind in ("local", "remote", "pulled"))
        lost = lookups.get("hit_not_resumed", 0)
        if lost > max(10, hits / 100):
            yield problem(
                f"VIP {name}", f"{lost} sessions were found and still not resumed", "compare its contexts' settings"
            )
    faults = stats.get("faults", {})
    if faults:
        yield problem("TLS callbacks", f"exceptions in {_some(sorted(faults))}", "see the log, and report it")


def _shares_nothing(stats: Mapping[str, Any]) -> Iterator[Finding]:
    for name, vip in stats.get("vips", {}).items():
        apart = vip.get("sessions", {}).get("refused", {}).get("name_class", 0)
        full = vip.get("handshakes", {}).get("full", 0)
        if apart > max(10, full / 100):
            finding = problem if apart * 2 > full else note
            yield finding(
                f"server names of VIP {name}",
                f"{apart} of {full} full handshakes came with a server name that the certificate doesn't cover, and "
                "share nothing",
                "issue the certificate for the names, or addresses, that clients send (subject alternative names)",
            )


def _changed(stats: Mapping[str, Any]) -> Iterator[Finding]:
    for vip, counts in stats.get("contexts_changed", {}).items():
        yield problem(
            f"contexts of VIP {vip}",
            f"changed after they had joined: {_some(sorted(counts))}",
            "set contexts up before they are attached, or attach them again",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
