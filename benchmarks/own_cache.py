"""The other side of the comparison: a context with OpenSSL's own in-process session cache, or its own tickets,
in place of the mesh.

For benchmarks only: a server that wants this has no use for meshcache.
"""

from __future__ import annotations

from OpenSSL import SSL

from meshcache.config.vip import TICKETS
from meshcache.tls import libssl

_CONTEXT_ID = b"benchmarks: OpenSSL's own cache"


def use_own_cache(context: SSL.Context) -> None:
    """Stateful sessions in OpenSSL's own cache, as many tickets as with the mesh, so that costs compare."""
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_session_id(_CONTEXT_ID)
    found = libssl.find(context)  # pyOpenSSL has no call for the number of tickets
    found.library.functions.SSL_CTX_set_num_tickets(found.pointer, TICKETS)


def use_own_tickets(context: SSL.Context) -> None:
    """OpenSSL's own tickets, one for a handshake, under a key that it keeps for ever; for benchmarks only."""
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"benchmarks: OpenSSL's own tickets"[:32])
    found = libssl.find(context)
    found.library.functions.SSL_CTX_clear_options(found.pointer, SSL.OP_NO_TICKET)
    found.library.functions.SSL_CTX_set_num_tickets(found.pointer, 1)
