"""How long and how much a client's connection may cost, where no setting says so."""

from __future__ import annotations

LINGER_S = 2.0
"""After close_notify, for the client to close too: closing a socket with unread bytes in it resets the connection, and
the client may lose what it had not read yet (RFC 9112 section 9.6). nginx waits up to 5 s."""

UNSENT_BYTES_MAX = 4 * 1024 * 1024
"""Applications pause when a client stalls, with one read from their side in flight (a few hundred KiB). More than this
is TLS's own answers to a client that asks (key updates) and does not read."""


HOLD_S = 0.1
"""So long a client must be silent before its TLS 1.3 session tickets go out alone; else they go with the first bytes
that it is sent. A client that only writes and closes never reads them, and with an unread ticket its own kernel turns
the close into a reset and throws away what it hadn't sent yet. One that doesn't read has no use for a ticket either."""
