"""Makes the core of a node that starts: who it is, in which of its lives, and where its sessions lie."""

from __future__ import annotations

import time
from importlib.metadata import version
from random import SystemRandom

import meshcache.hot as hot
from meshcache.config import Settings
from meshcache.core.cache.vip_cache import VipCache
from meshcache.core.mesh import MeshCore
from meshcache.core.state.tls_edge import TlsEdge
from meshcache.core.values.topology import Identity
from meshcache.runtime.succession.incarnations import IncarnationFile


def new_core(settings: Settings, address: str, edge: TlsEdge | None = None) -> MeshCore:
    """Return a core for a node that peers reach at `address`; its life is numbered anew, in its state folder.

    `edge` is where its handshakes keep things for a while.

    Raises ConfigError for a state folder that can't be had.
    """
    incarnations = IncarnationFile(settings.node.state_dir, settings.node.name)
    identity = Identity(
        mesh=settings.mesh.name,
        node=settings.node.name,
        incarnation=incarnations.next(time.time_ns() // 1_000_000),
        colo=settings.node.colo,
        address=address,
        version=version("meshcache"),
    )
    make_vip_cache = VipCache if hot.compiled is None else hot.compiled.VipCache
    return MeshCore(identity, rng=SystemRandom(), now=time.monotonic(), make_vip_cache=make_vip_cache, edge=edge)
