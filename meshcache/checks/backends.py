"""Looks up the names that the settings would connect to, and whether sockets are there; connects to nobody.

What can't be looked up now is a note: it may be there when it is needed. A backend whose name leads to one of this
file's own listeners is a fault, since connections would go round in circles.
"""

from __future__ import annotations

import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from meshcache.checks.addresses import is_ours
from meshcache.config import Settings, split_address

RESOLVE_S: Final = 3.0
"""For all names together: a resolver that doesn't answer keeps nobody from starting."""

NAMES_MAX: Final = 64
"""Names that are looked up at the same time, each by a thread."""


def backend_faults(settings: Settings) -> list[str]:
    """Return each backend whose name is this very server."""
    return list(_circles(settings, resolve(_hosts(settings, seeds=False))))


def backend_notes(settings: Settings) -> list[str]:
    """Return each backend and seed that isn't to be found now."""
    found = resolve(_hosts(settings, seeds=True))
    notes = []
    for index, vip in enumerate(settings.vips):
        for at, (target, _) in enumerate(vip.backends):
            why = why_not_there(target, found)
            if why is not None:
                notes.append(f"vip[{index}].backend[{at}]: {why}; its clients go elsewhere or are refused meanwhile")
    for at, seed in enumerate(settings.mesh.seeds):
        why = why_not_there(seed.removeprefix("dns:"), found)
        if why is not None:
            notes.append(f"mesh.seeds[{at}]: {why}; it is looked up again every half a minute")
    return notes


Addresses = dict[str, list[str] | str]
"""By host name its IP addresses, or why there are none."""


def why_not_there(target: str, found: Addresses) -> str | None:
    """Return why nothing can be connected to there, in words that begin with the target; None where it can be tried."""
    if target.startswith("unix:"):
        return _why_no_socket(Path(target.removeprefix("unix:")))
    host = split_address(target)[0]
    addresses = found.get(host)
    return f"{host} can't be resolved: {addresses}" if isinstance(addresses, str) else None


def resolve(hosts: Sequence[str]) -> Addresses:
    """Look all names up at once; IP addresses are none and are left out. Takes `RESOLVE_S` at most."""
    names = list(dict.fromkeys(host for host in hosts if not _is_ip(host)))[:NAMES_MAX]
    asked: dict[str, Future[list[str]]] = {name: Future() for name in names}
    for name, answer in asked.items():
        threading.Thread(target=_look_up, args=(name, answer), daemon=True).start()  # one that hangs ends with us
    found: Addresses = {}
    deadline = time.monotonic() + RESOLVE_S
    for name, answer in asked.items():
        try:
            found[name] = answer.result(max(deadline - time.monotonic(), 0))
        except TimeoutError:
            found[name] = f"no answer within {RESOLVE_S:g} s"
        except OSError as error:
            found[name] = (error.strerror or str(error)).lower()
    return found


def _look_up(name: str, answer: Future[list[str]]) -> None:
    try:
        entries = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        answer.set_exception(error if isinstance(error, OSError) else OSError(str(error)))
    else:
        answer.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))


def _hosts(settings: Settings, *, seeds: bool) -> list[str]:
    targets = [target for vip in settings.vips for target, _ in vip.backends if not target.startswith("unix:")]
    targets += [seed.removeprefix("dns:") for seed in settings.mesh.seeds] if seeds else []
    return [split_address(target)[0] for target in targets]


def _why_no_socket(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"unix:{path} isn't there: {(error.strerror or str(error)).lower()}"
    return None if stat.S_ISSOCK(mode) else f"unix:{path} is no socket"


def _circles(settings: Settings, found: Addresses) -> Iterator[str]:
    listeners = [(f"vip[{index}]", address) for index, vip in enumerate(settings.vips) for address in vip.listen]
    for index, vip in enumerate(settings.vips):
        for at, (target, _) in enumerate(vip.backends):
            host, port = ("", 0) if target.startswith("unix:") else split_address(target)
            addresses = found.get(host)
            for place, listener in listeners if isinstance(addresses, list) else ():
                own_host, own_port = split_address(listener)
                if port == own_port and any(_leads_to(address, own_host) for address in addresses or ()):
                    yield (
                        f"vip[{index}].backend[{at}]: {target} is where {place} of this file listens ({listener}), so "
                        "connections would go round in circles; name the program behind"
                    )
                    break


def _leads_to(address: str, listener: str) -> bool:
    one, own = ip_address(address.partition("%")[0]), ip_address(listener.partition("%")[0])
    return one == own or (own.is_unspecified and one.version == own.version and is_ours(address))


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
