"""Guesses what the contexts of a VIP will be before there is one, so that its sessions can come from the node's start.

A wrong guess costs the sessions that came by it: when the first context joins, what it really is counts. What can't be
guessed from the settings alone is left until then.
"""

from __future__ import annotations

from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from meshcache.config import VipSettings
from meshcache.core.policy.scope import ClientAuth
from meshcache.tls.facts import ContextFacts

_VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}


def guessed_facts(vip: VipSettings) -> ContextFacts | None:
    """Return what a context as these settings describe it would be; None where that takes more than the settings.

    Whom it trusts among clients is known when it is made; so is a chain that the settings don't name.
    """
    chain: tuple[bytes, ...] = ()
    if vip.client_auth is not None or vip.more_certificates:
        return None
    if vip.sharing.bind == "certificate":
        chain = _chain(vip)
        if not chain:
            return None
    return ContextFacts(
        names=(),
        chain=chain,
        client_auth=ClientAuth(),
        tls_floor=_VERSIONS[vip.min_tls],
        own_callback=False,
        guessed=True,
    )


def _chain(vip: VipSettings) -> tuple[bytes, ...]:
    if vip.certificate is not None:
        with suppress(OSError, ValueError):
            certificates = x509.load_pem_x509_certificates(vip.certificate.read_bytes())
            return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
    return ()
