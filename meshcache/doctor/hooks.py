"""Looks at how the hooks of a running node fare, by what it counts of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshcache.doctor.finding import Finding, fine, note, problem

FAULTS = ("raised", "slow", "wrong_answer", "bad_address", "missed")


def hook_findings(hooks: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """One for each hook that isn't well; one for all when all are."""
    unwell = [finding for hook in hooks for finding in _of(hook)]
    if hooks and not unwell:
        yield fine("hooks", f"{len(hooks)}, all well" if len(hooks) > 1 else "one, well")
    yield from unwell


def _of(hook: Mapping[str, Any]) -> Iterator[Finding]:
    counts, name = hook.get("counts", {}), f"{hook['kind']} hook {hook['name']}"
    if counts.get("not_loaded"):
        yield problem(
            name, f"isn't loaded: {hook['last_fault']}", "install its package, or take its name out of [hooks]"
        )
        return
    faults = {what: counts[what] for what in FAULTS if counts.get(what)}
    if not faults:
        return
    told = ", ".join(f"{what} {times}" for what, times in faults.items())
    text = f"{told} of {counts.get('calls', 0)} calls; the last: {hook['last_fault']}"
    if hook["kind"] == "policy":
        rests = "; it rests now, and refuses" if hook.get("resting") else ""
        yield problem(name, f"{text}{rests}", "whatever it didn't answer was refused: full handshakes. Repair the hook")
    else:
        yield note(name, text, "the node goes on without it; repair the hook")
