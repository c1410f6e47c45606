"""The other side of the comparison: a context with OpenSSL's own in-process session cache in place of the mesh.

For benchmarks only. A server that wants this has no use for meshcache.
"""

from __future__ import annotations

from OpenSSL import SSL

_CONTEXT_ID = b"benchmarks: OpenSSL's own cache"


def use_own_cache(context: SSL.Context) -> None:
    """Stateful sessions in OpenSSL's own cache: the same kind of session as with the mesh, so that costs compare.

    OpenSSL's default of two TLS 1.3 tickets for a full handshake stays: pyOpenSSL has no call for it. A resumed
    handshake makes one in any case.
    """
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_session_id(_CONTEXT_ID)
