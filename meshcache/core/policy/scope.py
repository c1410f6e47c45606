"""Computes what a session is bound to: the session id context, and the digest of settings that nodes compare.

OpenSSL compares session id contexts on resumption and nothing else that matters here: not the server name, not the
client CAs, not the ciphers (SSL_CTX_set_session_id_context(3)). So everything that must agree goes into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address

_TAG_GROUP = b"meshcache/1 group"
_TAG_SCOPE = b"meshcache/1 scope"

CONTEXT_BYTES = 32
"""SSL_MAX_SID_CTX_LENGTH of OpenSSL: exactly one SHA-256."""

_DIGESTS_REMEMBERED = 256
"""Of settings that are in use: servers with a context for each connection ask for the same ones again and again."""


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """How a context asks for client certificates, as read from the context itself and not from what was configured.

    ``mode`` is OpenSSL's verify mode (0: not asked), ``depth`` its verify depth (-1: OpenSSL's own), ``authorities``
    the sorted SHA-256 of every trusted CA and of every CA name sent to clients, ``revocation`` a SHA-256 over the CRLs
    and the verification flags, or empty.
    """

    mode: int = 0
    depth: int = -1
    authorities: tuple[bytes, ...] = ()
    revocation: bytes = b""


@dataclass(frozen=True, slots=True)
class Security:
    """Settings of a VIP that must be equal wherever its share group's sessions resume.

    ``tls_floor`` is the lowest protocol version (0x0303 for TLS 1.2), ``epoch`` the share group's policy epoch,
    ``chain`` the DER of the certificate chain with ``bind = "certificate"`` and empty otherwise. Without
    ``extended_master_secret`` (RFC 7627) OpenSSL answers a session that has one by ending the handshake.
    Cipher lists are left out on purpose: OpenSSL 3 and 4 differ in their defaults, and every session's cipher is
    checked where it resumes.
    """

    group: str
    client_auth: ClientAuth
    tls_floor: int
    epoch: int = 0
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    extended_master_secret: bool = True


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a VIP: what its certificates cover, and the list that counts as one class.

    ``certificate`` and ``addresses`` are the host names and IP addresses that each of them covers. ``identities`` are
    for each certificate all that a client could check, with its kind, such as ``dns:a.example`` or ``ip:192.0.2.1``;
    by default the host names.
    """

    certificate: tuple[str, ...]
    listed: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    identities: tuple[tuple[str, ...], ...] = ()


@lru_cache(maxsize=_DIGESTS_REMEMBERED)
def group_digest(security: Security) -> bytes:
    """Return the 32 bytes that nodes compare before they exchange a share group's sessions."""
    auth = security.client_auth
    return _hash(
        _TAG_GROUP,
        security.group.encode(),
        b"%d,%d" % (auth.mode, auth.depth),
        _hash(*auth.authorities),
        auth.revocation,
        b"%d,%d" % (security.tls_floor, security.epoch),
        _hash(*security.chain),
        *(() if security.extended_master_secret else (b"no extended master secret",)),
    )


def session_id_context(digest: bytes, name_class: str) -> bytes:
    """Return the 32 bytes to set on a connection of this name class, in the share group with this `group_digest`."""
    return _hash(_TAG_SCOPE, digest, name_class.encode())


def name_class(names: Names, server_name: str | None) -> str | None:
    """Return the class within which a session resumes, or None when a connection with this SNI shares nothing.

    A listed name is in the class of all listed names; another name, or an address, that the certificate covers is a
    class of its own; without SNI the class is all that a client could have checked. An address is no server name (RFC
    6066 section 3), but many clients send one. The forms can't collide: a host name has no colon.
    """
    if server_name is None:
        return _nameless_class(names)
    name = normal_name(server_name)
    if name in map(normal_name, names.listed):
        return "listed:" + ",".join(sorted({normal_name(listed) for listed in names.listed}))
    if covers(names.certificate, name):
        return "name:" + name
    address = normal_address(name)
    return "address:" + address if address in names.addresses else None


def _nameless_class(names: Names) -> str | None:
    """Return the class of a connection without SNI: every identity of every certificate,
    for which one it met isn't known.
    """
    each = {frozenset(one) for one in names.identities} or {frozenset("dns:" + name for name in names.certificate)}
    if frozenset() in each:
        return None  # of a certificate that nothing is known of, nothing is shared
    hosts = sorted({normal_name(name) for name in _only_host_names(each)})
    if hosts:
        return "certificate:" + ",".join(hosts)
    return "identities:" + _hash(*sorted(_hash(*sorted(map(str.encode, one))) for one in each)).hex()


def _only_host_names(each: set[frozenset[str]]) -> list[str]:
    """Return the host names, where all certificates have the same and nothing else (0.1.0 knows no
    other class than that).
    """
    first, *others = each
    plain = not others and all(one.startswith("dns:") and "," not in one for one in first)
    return [one.removeprefix("dns:") for one in first] if plain else []


def covers(certificate_names: Iterable[str], name: str) -> bool:
    """Return whether a certificate with these subject names is good for `name` (RFC 9525 section 6.3).

    A wildcard stands for exactly one left-most label and is never part of one.
    """
    name = normal_name(name)
    label, _, parent = name.partition(".")
    for pattern in map(normal_name, certificate_names):
        if pattern == name or (label and parent and pattern == "*." + parent):
            return True
    return False


def normal_name(name: str) -> str:
    """Return a host name as it is compared: lower case, without the dot that may end it.

    Only ASCII letters have cases here (RFC 4343): a Kelvin sign is no K, whatever Unicode's tables say.
    """
    return (name.lower() if name.isascii() else name).removesuffix(".")


def normal_address(name: str) -> str | None:
    """Return an IP address as it is compared, also from brackets; None for whatever isn't one."""
    try:
        return str(ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


def _hash(*parts: bytes) -> bytes:
    """SHA-256 over parts that can't run into each other: each is preceded by its length."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()
