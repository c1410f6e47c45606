"""Asks each backend of a file itself, whether a server runs or not: looks its name up, connects, and closes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

from meshcache.checks.backends import resolve, why_not_there
from meshcache.config import Settings, VipSettings, split_address
from meshcache.doctor.finding import Finding, fine, problem

CONNECT_S: Final = 2.0
"""For a TCP connection: one lost SYN."""

ASKED_MAX: Final = 256
"""Of one VIP, all at the same time, each by a thread: as many as there may be."""

SHOWN_MAX: Final = 5


def backend_findings(settings: Settings) -> Iterator[Finding]:
    """One for each VIP that has backends."""
    for vip in settings.vips:
        if any(weight for _, weight in vip.backends):
            yield _finding(vip)


def _finding(vip: VipSettings) -> Finding:
    targets = [target for target, weight in vip.backends if weight][:ASKED_MAX]  # one that is drained may be gone
    found = resolve([split_address(target)[0] for target in targets if not target.startswith("unix:")])
    outcomes: dict[str, str | float] = {}
    asking = []
    for target in targets:
        why = why_not_there(target, found)
        if why is not None:
            outcomes[target] = why
            continue
        asking.append(threading.Thread(target=_ask, args=(target, outcomes), daemon=True))
        asking[-1].start()
    deadline = time.monotonic() + 2 * CONNECT_S
    for thread in asking:
        thread.join(max(deadline - time.monotonic(), 0))
    down = {target: outcomes.get(target, "no answer") for target in targets}
    down = {target: why for target, why in down.items() if isinstance(why, str)}
    times_ms = [took for took in outcomes.values() if isinstance(took, float)]
    name = f"backends of VIP {vip.name}"
    if not down:
        return fine(name, f"{_all(len(targets))} connections, the slowest within {max(times_ms):.1f} ms")
    shown = "; ".join(_said(target, why) for target, why in list(down.items())[:SHOWN_MAX])
    more = f"; and {len(down) - SHOWN_MAX} more" if len(down) > SHOWN_MAX else ""
    return problem(
        name,
        f"{len(down)} of {len(targets)} can't be reached from here: {shown}{more}",
        "look whether they run and listen there, and whether a firewall lets this machine in",
    )


def _ask(target: str, outcomes: dict[str, str | float]) -> None:
    began = time.monotonic()
    try:
        if target.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(CONNECT_S)
                connection.connect(target.removeprefix("unix:"))
        else:
            socket.create_connection(split_address(target), CONNECT_S).close()
    except TimeoutError:
        outcomes[target] = f"no answer within {CONNECT_S:g} s"
    except OSError as error:
        outcomes[target] = (error.strerror or str(error)).lower()
    else:
        outcomes[target] = 1000 * (time.monotonic() - began)


def _all(count: int) -> str:
    return "the only one accepts" if count == 1 else f"all {count} accept"


def _said(target: str, why: object) -> str:
    """Name the target once: some reasons begin with it."""
    host = target if target.startswith("unix:") else split_address(target)[0]
    return str(why) if str(why).startswith(host) else f"{target}: {why}"
