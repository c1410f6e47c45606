"""Looks at how the tiers of a running node fare, by what it counts of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshcache.doctor.finding import Finding, fine, note, problem

FAULTS = ("raised", "slow")

REFUSALS = {
    "refused_version": "in a form that this version doesn't know",
    "refused_key": "sealed with a key that isn't in the keyring",
    "refused_border": "for another mesh, share group, other settings or another epoch",
    "refused_forged": "changed, or another's",
    "refused_record": "no session, or not the one that was asked for",
    "refused_clock": "from a time that hasn't come yet",
}
"""What was found in a tier and removed. The second half is nobody's everyday."""

_SUSPICIOUS = ("refused_forged", "refused_record", "refused_clock")


def tier_findings(tiers: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """One or more for each tier."""
    for tier in tiers:
        found = list(_of(tier))
        yield from found or [fine(f"tier {tier['name']}", _size(tier))]


def _of(tier: Mapping[str, Any]) -> Iterator[Finding]:
    counts, name = tier.get("counts", {}), f"tier {tier['name']}"
    if counts.get("not_loaded"):
        yield problem(name, f"isn't there: {tier['last_fault']}", 'install its package, such as "meshcache[disk]"')
    elif not tier.get("open"):
        yield problem(
            name,
            f"can't be opened: {tier['last_fault'] or 'it is being looked at'}",
            "memory goes on without it, and a restart finds nothing there; see docs/tiers.md",
        )
    elif faults := {what: counts[what] for what in FAULTS if counts.get(what)}:
        told = ", ".join(f"{what} {times}" for what, times in faults.items())
        if tier.get("failing", True):
            rests = "; it rests now" if tier.get("resting") else ""
            yield problem(
                name, f"{told}; the last: {tier['last_fault']}{rests}", "memory goes on without it; look there"
            )
        else:
            yield note(name, f"works, and didn't before: {told}; the last: {tier['last_fault']}")
    if tier.get("noeviction"):
        yield _noeviction(name, tier)
    yield from _left_out(name, counts)
    for what, words in REFUSALS.items():
        if counts.get(what):
            tell = problem if what in _SUSPICIOUS else note
            yield tell(f"{name}, {what}", f"{counts[what]} values: {words}; removed", _DO[what])


def _left_out(name: str, counts: Mapping[str, int]) -> Iterator[Finding]:
    """What isn't there and should be, or the other way round."""
    if counts.get("begun_anew"):
        yield note(name, f"began empty {counts['begun_anew']} times: what was there couldn't be used", "see the events")
    if counts.get("removals_lost"):
        yield problem(
            name,
            f"{counts['removals_lost']} sessions that were used up or withdrawn couldn't be taken out and may resume",
            "see why it can't be written to; `meshcache sessions withdraw --new-epoch` ends them for good",
        )
    if counts.get("skipped"):
        yield note(name, f"{counts['skipped']} sessions weren't written: it is slower than they are made")


def _noeviction(name: str, tier: Mapping[str, Any]) -> Finding:
    if tier.get("store_max_bytes"):
        return problem(
            name,
            "the store refuses to be written to when it is full (maxmemory-policy noeviction)",
            "set maxmemory-policy to allkeys-lru, or volatile-lru where others keep what must stay",
        )
    return note(
        name,
        "the store has no maxmemory: it grows until the machine has no memory left",
        "set maxmemory, and maxmemory-policy allkeys-lru or volatile-lru",
    )


_DO = {
    "refused_version": "it is so after an upgrade; those sessions are full handshakes",
    "refused_key": "it is so after a key was retired, or where another mesh uses the same store",
    "refused_border": "it is so after settings or epochs changed, or where another mesh uses the same store",
    "refused_forged": "somebody else writes there, or the disk fails: look who can",
    "refused_record": "somebody else writes there: look who can",
    "refused_clock": "this machine's clock went back, or that of the node that wrote it is ahead",
}


def _size(tier: Mapping[str, Any]) -> str:
    if "entries" not in tier:
        return "well"
    used = f", {tier['bytes'] / tier['max_bytes']:.0%} full" if tier.get("max_bytes") else ""
    return f"{tier['entries']:,} sessions{used}"
