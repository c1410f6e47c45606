"""Says where several workers of a server share less than its file seems to say."""

from __future__ import annotations

from meshcache.config import Settings
from meshcache.core.policy.gates import ReachKind


def worker_notes(settings: Settings) -> list[str]:
    """Return what is no fault and yet worth knowing."""
    return [] if settings.server.workers == 1 else [*_reaches_of_a_worker(settings), *_seeds_to_nobody(settings)]


def _reaches_of_a_worker(settings: Settings) -> list[str]:
    """Return VIPs whose sessions stay with the worker that made them."""
    workers = settings.server.workers
    return [
        f'vip[{index}].sharing.reach: "server" is one of server.workers = {workers}, each a server of its own: only '
        f'one return in {workers} resumes; "colo" lets them share'
        for index, vip in enumerate(settings.vips)
        if vip.listen and vip.sharing.reach.kind is ReachKind.SERVER
    ]


def _seeds_to_nobody(settings: Settings) -> list[str]:
    mesh = settings.mesh
    if mesh.worker_ports is not None or mesh.mdns or not mesh.seeds:
        return []
    note = "workers listen on free ports, which no other host's seeds lead to, and mDNS is off"
    return [
        f'mesh.worker_ports: {note}: give them ports, such as "7947-7962", and let seeds name the first of each host'
    ]
