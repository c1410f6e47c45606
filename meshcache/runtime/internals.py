"""What a node is made of, by name: for tests, and for whoever has to find out why one does what it does.

Looks at nothing itself. None of it is an interface: what is changed through it is changed behind the node's back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from meshcache.config import Settings
from meshcache.edges.transport import Transport
from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.runtime.finders import Finders
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.succession.remembered_peers import RememberedPeers
from meshcache.runtime.vip_ports.origin_tokens import Tokens

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Internals(NamedTuple):
    """The parts of a node that runs; `Pump.core` is its core, whose tables and duties are in `MeshCore.duties`."""

    settings: Settings
    lock: AbstractContextManager[object]
    """Held while contexts join, settings change, and the node starts or ends."""
    pump: Pump
    transport: Transport
    vips: AttachedVips
    tokens: Tokens
    finders: Finders | None
    remembered: RememberedPeers
