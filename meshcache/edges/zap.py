"""Answers libzmq's question whether a connection may be made (ZAP, ZeroMQ RFC 27): only with CURVE and a key of ours.

Pure: frames in, frames out. `authenticator` carries them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

ENDPOINT = "inproc://zeromq.zap.01"
"""Where libzmq looks for the handler of a context; fixed by the RFC, which is why each node has its own context."""

DOMAIN = b"meshcache"
"""Sockets without a domain are not asked about at all; with one, and `ZAP_ENFORCE_DOMAIN`, silence means no."""

_VERSION = b"1.0"
_FRAMES_CURVE = 7


def answer(request: Sequence[bytes], allowed: Collection[bytes]) -> list[bytes]:
    """Return the reply to one request: 200 for CURVE with one of the `allowed` public keys (32 bytes each),
    else 400.
    """
    request_id = request[1] if len(request) > 1 else b""
    status, text = (b"200", b"OK") if _is_member(request, allowed) else (b"400", b"not a member of this mesh")
    return [_VERSION, request_id, status, text, b"", b""]


def _is_member(request: Sequence[bytes], allowed: Collection[bytes]) -> bool:
    if len(request) != _FRAMES_CURVE:
        return False  # NULL has six frames and PLAIN eight
    version, _, domain, _, _, mechanism, public_key = request
    return (version, domain, mechanism) == (_VERSION, DOMAIN, b"CURVE") and public_key in allowed
