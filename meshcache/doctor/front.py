"""Looks at what the server around a node tells: its backends, its certificates, and how the last reload ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshcache.doctor.finding import Finding, fine, note, problem

ENDS_SOON_S: Final = 14 * 86_400
"""As `checks.certificates`: one with two weeks left was forgotten."""


def front_findings(front: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything about a running server."""
    yield from _reload(front.get("reload"))
    yield from _backends(front.get("backends", ()))
    yield from _certificates(front.get("certificates", ()))


def _reload(last: Mapping[str, Any] | None) -> Iterator[Finding]:
    if last is not None and not last["ok"]:
        yield problem(
            "reload",
            f"the last one failed, so the server runs with what it had: {'; '.join(last['faults'][:3])}",
            "mend the file and run `meshcache reload`",
        )
    elif last is not None and last["restart"]:
        yield note("reload", f"waits for a restart: {', '.join(last['restart'])}", "restart the server when it suits")


def _backends(backends: Any) -> Iterator[Finding]:
    down = [f"{each['backend']} of VIP {each['vip']}" for each in backends if not each["up"]]
    if down:
        yield problem("backends", f"down: {', '.join(down[:5])}", "look whether they run and accept connections")
    elif backends:
        yield fine("backends", "one, up" if len(backends) == 1 else f"{len(backends)}, all up")


def _certificates(certificates: Any) -> Iterator[Finding]:
    for each in certificates:
        left_s, which = each["ends_in_s"], f"certificate of VIP {each['vip']} for {each['name'] or 'no name'}"
        if left_s <= 0:
            yield problem(which, "has expired: clients refuse it", "renew it; the server reads it by itself")
        elif left_s < ENDS_SOON_S:
            yield note(which, f"ends in {left_s // 86_400:.0f} days", "renew it; the server reads it by itself")
