"""cheroot, CherryPy's server: for its adapter over ``ssl`` and for the one over pyOpenSSL.

server.ssl_adapter = join(BuiltinSSLAdapter("shop.pem", "shop.key"), "meshcache.toml", vip="shop")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from meshcache.contrib.mesh import Mesh

Adapter = TypeVar("Adapter")


def join(adapter: Adapter, file: str | Path, *, vip: str | None = None, required: bool = False) -> Adapter:
    """Let the context of an SSL adapter join.

    The builtin one has an SNI callback that only notes the name for ``SSL_TLS_SNI`` in the WSGI environment, which is
    then not there. One of the application's own is left, and the context without the mesh.
    """
    target: Any = adapter
    if target.context is None:  # pyOpenSSL's makes it when the server binds
        target.context = target.get_context()
    _without_their_sni_callback(target.context)
    Mesh(file, vip=vip, required=required).join(target.context)
    return adapter


def _without_their_sni_callback(context: Any) -> None:
    from cheroot.ssl import builtin

    theirs = getattr(builtin, "_sni_callback", None)
    if theirs is not None and getattr(context, "sni_callback", None) is theirs:
        context.sni_callback = None
