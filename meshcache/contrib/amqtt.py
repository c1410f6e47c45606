"""amqtt: a Broker class whose TLS listeners join.

broker = join(Broker, "meshcache.toml", vip="mqtt")(config)
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, TypeVar

from meshcache.contrib.mesh import Mesh

Broker = TypeVar("Broker", bound=type[Any])


def join(broker: Broker, file: str | Path, *, vip: str | None = None, required: bool = False) -> Broker:
    """Return a subclass of a Broker class whose contexts join.

    amqtt asks every client for a certificate, wanted or not: give each TLS listener a ``cafile``, or its context stays
    without the mesh, since nobody could tell whether two servers trust the same authorities.
    """
    mesh = Mesh(file, vip=vip, required=required)

    class Joined(broker):  # type: ignore[valid-type,misc]
        @staticmethod
        def _create_ssl_context(listener: Any) -> ssl.SSLContext:
            context: ssl.SSLContext = broker._create_ssl_context(listener)  # noqa: SLF001 - amqtt has no other place
            return mesh.join(context)

    Joined.__name__ = Joined.__qualname__ = broker.__name__
    return Joined  # type: ignore[return-value]
