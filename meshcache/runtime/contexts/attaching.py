"""Turns what a context is and what its VIP's settings say into the terms and scopes under which its sessions travel.

Checks what would make sharing unsafe or useless before anything is changed. Reads no context and keeps nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from meshcache.config import Settings, VipSettings
from meshcache.core.policy.digest_parts import parts_of
from meshcache.core.policy.gates import Terms
from meshcache.core.policy.scope import Names, Security, covers, group_digest
from meshcache.core.values.topology import LocalVip, VipNote
from meshcache.errors import AttachError
from meshcache.tls.facts import ContextFacts

log = logging.getLogger("meshcache.mesh")

FETCH_MS_LEAST = 5.0
"""A fetch that waits for less may end before its answer is here on a busy machine: nobody counts on it."""

_NO_NOTE = VipNote()


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings that hold now: a file's, with what was set while the node runs.

    ``epochs`` are the policy epochs of share groups that have one, ``notes`` say how far each VIP's live policy is.
    """

    settings: Settings
    epochs: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, VipNote] = field(default_factory=dict)

    def joining(self, name: str, facts: ContextFacts) -> JoiningContext:
        """Return a context about to join a VIP. Raises AttachError when there is none of this name."""
        vip = vip_settings(self.settings, name)
        return JoiningContext(vip, facts, self.epochs.get(vip.group, 0))


@dataclass(frozen=True, slots=True)
class JoiningContext:
    """One context about to join one VIP: what was read from it, and what follows. ``epoch`` is its group's."""

    vip: VipSettings
    facts: ContextFacts
    epoch: int = 0

    @property
    def names(self) -> Names:
        facts = self.facts
        return Names(facts.names, self.vip.names, addresses=facts.addresses, identities=facts.identities)

    @property
    def security(self) -> Security:
        chain = self.facts.chain if self.vip.sharing.bind == "certificate" else ()
        facts = self.facts
        return Security(
            self.vip.group, facts.client_auth, facts.tls_floor, self.epoch, chain, facts.extended_master_secret
        )

    @property
    def digest(self) -> bytes:
        return group_digest(self.security)

    def check(self) -> None:
        """Raises AttachError when the certificate doesn't cover a name that the VIP lists, or there is an SNI callback.

        OpenSSL looks sessions up before it calls that: a session that was made without a client certificate would
        resume on the very connection for which the callback was about to ask for one.
        """
        if self.facts.guessed:
            return
        if self.facts.sni_callback:
            raise AttachError(
                f"VIP {self.vip.name}: the context has an SNI callback, which OpenSSL calls after it has chosen to "
                "resume: what it switches to or asks of clients would be passed by. Attach a context without one; "
                "attach_names chooses contexts by server name in its place"
            )
        missing = [name for name in self.vip.names if not covers(self.facts.names, name)]
        if missing:
            raise AttachError(
                f"VIP {self.vip.name}: the context's certificate does not cover {', '.join(missing)}, "
                f"which vip.names lists; it covers {', '.join(self.facts.names) or 'no DNS name'}"
            )

    def check_beside(self, other: JoiningContext) -> None:
        """Raises AttachError when this context and one that is attached can't both be what their settings say.

        Contexts of one VIP must have one digest: else it would depend on which of them a client meets whether it
        resumes. VIPs of one share group must ask clients for certificates in the same way: else one of them would be
        the way around the other's question.
        """
        mine, others = self.security, other.security
        if self.vip.name == other.vip.name and mine != others:
            raise AttachError(
                f"VIP {self.vip.name}: this context differs from one that is attached, in {_difference(mine, others)}; "
                "if that is meant, reload the node first, or detach the other"
            )
        if self.vip.group == other.vip.group and mine.client_auth != others.client_auth:
            raise AttachError(
                f"VIP {self.vip.name}: it is in share group {self.vip.group} with VIP {other.vip.name}, "
                "which asks clients for certificates in another way; give it another group"
            )

    def local_vip(self, settings: Settings, note: VipNote = _NO_NOTE) -> LocalVip:
        """Return what the core needs to know of the VIP."""
        vip, sharing = self.vip, self.vip.sharing
        node, border = settings.node, (vip.group, self.digest, sharing.reach)
        terms = Terms(node.name, node.colo, vip.name, *border, vip.copies_told, vip.push == "all")
        return LocalVip(
            terms=terms,
            lifetime_s=sharing.lifetime_s,
            lineage_s=sharing.lineage_s,
            quota_bytes=quota_bytes(settings, vip.name),
            quota_sessions=int(settings.cache.max_sessions * settings.quota_of(vip.name)),
            export_client_certificates=sharing.client_certificates == "revalidate",
            note=replace(note, parts=parts_of(self.security), both=vip.resumption == "both"),
            rotate_s=None if vip.resumption == "sessions" else sharing.rotate_s,
        )


def with_waits(note: VipNote, vip: VipSettings) -> VipNote:
    """Return the note with how long a handshake that can be paused waits for what is on its way, which a fetch goes on
    with, and whether that leaves time for an answer.
    """
    fetch_ms = 0 if vip.fetch == "off" else vip.fetch_ms
    awaits_ms = int(vip.await_ms + fetch_ms) if vip.await_ms else 0
    return replace(note, awaits_ms=awaits_ms, fetches=awaits_ms > 0 and fetch_ms >= FETCH_MS_LEAST)


def warn_of_few_copies(vip: VipSettings, *, pauses: bool) -> None:
    """Log that clients will resume at the holders only, where that is so."""
    if vip.copies_told and not pauses:
        log.warning("VIP %s: copies = %s, and handshakes here can't wait for a fetch", vip.name, vip.copies)


def vip_settings(settings: Settings, name: str) -> VipSettings:
    """Return the settings of a VIP. Raises AttachError, with the names there are, when there is none of this name."""
    vip = settings.vip(name)
    if vip is None:
        known = ", ".join(each.name for each in settings.vips) or "none"
        if not name:
            raise AttachError(f"say which VIP the context serves (vip=…); the configuration has: {known}")
        raise AttachError(f"there is no VIP {name!r} in the configuration; there is: {known}")
    return vip


def quota_bytes(settings: Settings, name: str) -> int:
    """Return the VIP's part of the cache in bytes."""
    return int(settings.cache.max_bytes * settings.quota_of(name))


def _difference(mine: Security, others: Security) -> str:
    pairs = {
        "client authentication": (mine.client_auth, others.client_auth),
        "the lowest TLS version": (mine.tls_floor, others.tls_floor),
        "the certificate chain": (mine.chain, others.chain),
        "the share group": (mine.group, others.group),
        "the extended master secret": (mine.extended_master_secret, others.extended_master_secret),
    }
    return " and ".join(what for what, (one, other) in pairs.items() if one != other)
