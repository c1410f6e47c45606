"""Everything of a mesh and its clients that must not be seen, in every spelling in which it could be."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from meshcache import MeshNode
from meshcache.edges.keyring import Keyring

SHORTEST = 8
"""Bytes of a secret that are looked for: enough to be no accident in megabytes."""


class Secrets:
    """Collects; `found_in` then says which of them are in some bytes."""

    def __init__(self, folder: Path) -> None:
        self._keylog = folder / "client.keylog"
        self.known: dict[str, bytes] = {}

    def watch(self, client: ssl.SSLContext) -> ssl.SSLContext:
        """From now on this client's keys are secrets (TLS 1.2: master keys, TLS 1.3: traffic and exporter secrets)."""
        client.keylog_filename = str(self._keylog)
        return client

    def add_keyring(self, keyring: Keyring) -> None:
        for key in keyring.keys:
            self._add("mesh key", key.secret)
            for what, pair in (("listener", key.listener), ("dialler", key.dialler)):
                self._add(f"secret key of every {what}", pair.secret)

    def add_sessions(self, node: MeshNode) -> int:
        """Ids and DERs of all that a node holds; says how many there are."""
        core = node.internals.pump.core
        count = 0
        for vip in core.local_vips():
            for session_id in core.session_ids(vip.terms.vip):
                self._add("session id", session_id)
                found = core.session_origin(vip.terms.vip, session_id)
                if found is not None:
                    self._add("DER", found[0].der)
                    count += 1
        return count

    def new(self, kind: str) -> bytes:
        """A secret of 32 random bytes, to be told to somebody."""
        secret = os.urandom(32)
        self._add(kind, secret)
        return secret

    def add_ticket_keys(self, node: MeshNode, vip: str = "shop") -> int:
        """The secrets of a VIP's ring, and all that is derived from them for a server; says how many keys there are."""
        pump = node.internals.pump
        found = pump.core.tickets.of_vip(vip, pump.clock())
        opening = () if found is None else found.opening
        for key in opening:
            self._add("ticket key", key.reveal())
            for server in ("nginx", "haproxy", "openssl"):
                for purpose in ("HMAC-SHA-256", "AES-256-CBC"):
                    self._add(f"ticket key of {server}", key.derive(f"{server} {purpose}"))
        edge = node.internals.vips.port(vip).ticket_keys
        for each in edge.opening.values() if edge is not None else ():
            self._add("ticket key at the edge", each.aes)
            self._add("ticket key at the edge", each.mac)
        return len(opening)

    def found_in(self, content: bytes) -> list[str]:
        """What is in it, by kind and by a number; never itself, since this ends in a test's report."""
        self._read_keylog()
        hits = [name for name, secret in self.known.items() if any(form in content for form in _forms(secret))]
        return sorted(hits)

    def __len__(self) -> int:
        self._read_keylog()
        return len(self.known)

    def _read_keylog(self) -> None:
        lines = self._keylog.read_text().splitlines() if self._keylog.exists() else []
        for label, _, secret in (line.split() for line in lines if not line.startswith("#")):
            self._add(label, bytes.fromhex(secret))

    def _add(self, kind: str, secret: bytes) -> None:
        assert len(secret) >= SHORTEST
        if secret not in self.known.values():
            self.known[f"{kind} {len(self.known)}"] = secret


def _forms(secret: bytes) -> Iterable[bytes]:
    """Raw, in hex of both cases, in base64, and as Python writes bytes."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield secret.hex(":").encode()
    yield base64.b64encode(secret).rstrip(b"=")[:-1]
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")[:-1]
    yield repr(secret)[2:-1].encode()
    yield repr(list(secret))[1:-1].encode()
