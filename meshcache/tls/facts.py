"""Reads from an SSL_CTX what it really is: its certificates, what it asks of clients, its lowest TLS version.

What was configured is not asked: a digest of intentions would let two servers look alike that aren't. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256

from cryptography import x509
from cryptography.x509.oid import NameOID

from meshcache.core.policy.scope import ClientAuth, normal_name
from meshcache.errors import AttachError
from meshcache.tls import libssl
from meshcache.tls.functions import Functions, der_of, ffi
from meshcache.tls.names import sni_callback
from meshcache.tls.revocation import revoked_by

_GET_CHAIN_CERTS, _GET_EXTRA_CHAIN_CERTS = 115, 82
_SELECT_CURRENT_CERT, _SET_CURRENT_CERT = 116, 117
_GET_MIN_PROTO, _GET_MAX_PROTO = 130, 131
_FIRST, _NEXT = 1, 2
"""SSL_CTRL_… and SSL_CERT_SET_… of <openssl/ssl.h>: the manual's names for them are macros over SSL_CTX_ctrl."""

_DISABLED_BY = {0x0301: 1 << 26, 0x0302: 1 << 28, 0x0303: 1 << 27, 0x0304: 1 << 29}
"""SSL_OP_NO_TLSv1 to SSL_OP_NO_TLSv1_3, by protocol version."""

_OP_NO_EXTENDED_MASTER_SECRET = 1
"""SSL_OP_NO_EXTENDED_MASTER_SECRET of <openssl/ssl.h>."""

_RAW_PUBLIC_KEY = 2
"""TLSEXT_cert_type_rpk of <openssl/tls1.h>, RFC 7250."""

_LU_X509, _LU_CRL = 1, 2
"""X509_LU_X509 and X509_LU_CRL of <openssl/x509_vfy.h>."""

FLAGS_OF_NO_CONSEQUENCE = 0x1 | 0x2 | 0x8000 | 0x100000
"""X509_V_FLAG_CB_ISSUER_CHECK, USE_CHECK_TIME, TRUSTED_FIRST and NO_ALT_CHAINS: defaults that differ between OpenSSL 3
and 4 and between Python versions, and say in what order a chain is looked for, not whether one is good."""

CERTIFICATES_MAX = 9
"""Key types that one context can have certificates for (RSA, ECDSA, EdDSA, …): OpenSSL has as many slots."""

_NAMES_REMEMBERED = 256
"""Certificates whose names are kept parsed, for servers that make a context for each connection."""


@dataclass(frozen=True, slots=True)
class ContextFacts:
    """What a session made on this context depends on.

    ``names`` and ``addresses`` are what each of its certificates covers (RFC 9525: no common names), ``identities`` all
    that a client could check of each (`certificate_identities`). ``chain`` is the DER of the certificates, each
    followed by its chain. ``own_callback`` says that the application verifies client certificates with a callback of
    its own, which can't be asked again at resumption.
    """

    names: tuple[str, ...]
    chain: tuple[bytes, ...] = field(repr=False)
    client_auth: ClientAuth
    tls_floor: int
    own_callback: bool
    sni_callback: bool = False
    addresses: tuple[str, ...] = ()
    identities: tuple[tuple[str, ...], ...] = ()
    extended_master_secret: bool = True
    guessed: bool = False


def read_facts(context: object) -> ContextFacts:
    """Read a pyOpenSSL Context or an ssl.SSLContext.

    Raises HookError (see `libssl.find`), and AttachError when there is no certificate, or when clients are asked for
    certificates that no visible authority could have issued: those of a ``capath`` directory are read as they are
    needed, so two servers that trust different ones could not be told apart.
    """
    found = libssl.find(context)
    facts = facts_of(found.library.functions, found.pointer)
    return replace(facts, sni_callback=sni_callback(context) is not None)


def facts_of(functions: Functions, pointer: int) -> ContextFacts:
    """Return what `read_facts` does, for a context that is already found."""
    certificates = _certificates(functions, pointer)
    if not certificates:
        raise AttachError("the context has no certificate yet: load it before the context joins a VIP")
    if _takes_raw_keys(functions, pointer):
        raise AttachError(
            "the context takes or shows raw public keys (RFC 7250), which sessions can't be bound to: "
            "leave them out of its certificate types, or don't attach it"
        )
    each = [certificate_identities(leaf) for leaf, _ in certificates]
    return ContextFacts(
        names=_common(each, "dns:"),
        addresses=_common(each, "ip:"),
        identities=tuple(sorted({tuple(sorted(identities)) for identities in each})),
        chain=tuple(der for leaf, chain in certificates for der in (leaf, *chain)),
        client_auth=_client_auth(functions, pointer),
        tls_floor=_tls_floor(functions, pointer),
        own_callback=bool(functions.SSL_CTX_get_verify_callback(pointer)),
        extended_master_secret=not functions.SSL_CTX_get_options(pointer) & _OP_NO_EXTENDED_MASTER_SECRET,
    )


def _takes_raw_keys(functions: Functions, pointer: int) -> bool:
    types, count = ffi.new("char *[1]"), ffi.new("size_t[1]")
    for ask in (functions.SSL_CTX_get0_client_cert_type, functions.SSL_CTX_get0_server_cert_type):
        if ask(pointer, types, count) and types[0] and _RAW_PUBLIC_KEY in ffi.unpack(types[0], count[0]):
            return True
    return False


# Certificates


def _certificates(functions: Functions, pointer: int) -> list[tuple[bytes, list[bytes]]]:
    """Return every certificate with its chain.
    OpenSSL shows one at a time, the current one, which is restored after.
    """
    current = functions.SSL_CTX_get0_certificate(pointer)
    found: list[tuple[bytes, list[bytes]]] = []
    step = _FIRST
    while len(found) < CERTIFICATES_MAX and functions.SSL_CTX_ctrl(pointer, _SET_CURRENT_CERT, step, ffi.NULL) == 1:
        leaf = functions.SSL_CTX_get0_certificate(pointer)
        found.append((der_of(functions.i2d_X509, leaf), _chain(functions, pointer)))
        step = _NEXT
    if current:
        functions.SSL_CTX_ctrl(pointer, _SELECT_CURRENT_CERT, 0, ffi.cast("void *", current))
    functions.ERR_clear_error()
    return found


def _chain(functions: Functions, pointer: int) -> list[bytes]:
    """Return the current certificate's own chain, or the context's extra certificates where it has none."""
    stack = ffi.new("uintptr_t[1]")
    for which, argument in ((_GET_CHAIN_CERTS, 0), (_GET_EXTRA_CHAIN_CERTS, 1)):
        functions.SSL_CTX_ctrl(pointer, which, argument, stack)
        if stack[0]:
            break
    return [der_of(functions.i2d_X509, certificate) for certificate in _items(functions, stack[0])]


def _common(each: list[frozenset[str]], kind: str) -> tuple[str, ...]:
    """Return identities of one kind that every certificate has: which of them a client gets depends on the client."""
    first, *others = each
    return tuple(sorted(one.removeprefix(kind) for one in first.intersection(*others) if one.startswith(kind)))


@lru_cache(maxsize=_NAMES_REMEMBERED)
def certificate_identities(der: bytes) -> frozenset[str]:
    """Return all that a client could check of a certificate, each with its kind, in the form in which they are
    compared.

    ``dns:`` and ``ip:`` of the subjectAltName; without a host name there also ``cn:``, which older clients then take;
    without host name and address the certificate itself, ``sha256:``, for it can only be known as a whole.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        identities = set(map(_identity, _alternative_names(certificate)))
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        identities, common = set(), []
    kinds = {one.partition(":")[0] for one in identities}
    if "dns" not in kinds:
        identities |= {f"cn:{name.value!r}" for name in common}
    if not kinds & {"dns", "ip"}:
        identities.add("sha256:" + sha256(der).hexdigest())
    return frozenset(identities)


def _alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _identity(name: x509.GeneralName) -> str:
    match name:
        case x509.DNSName():
            return "dns:" + normal_name(name.value)
        case x509.IPAddress():
            return f"ip:{name.value}"
        case x509.OtherName():
            return f"other:{name.type_id.dotted_string}={name.value.hex()}"
        case x509.DirectoryName():
            return "directory:" + name.value.public_bytes().hex()
        case _:
            return f"{type(name).__name__}:{name.value}"


# Client authentication


def _client_auth(functions: Functions, pointer: int) -> ClientAuth:
    mode = functions.SSL_CTX_get_verify_mode(pointer)
    if mode == 0:
        return ClientAuth()  # what isn't asked for can't differ, whatever authorities a system's bundle holds
    authorities, lists = _trusted(functions, pointer)
    if not authorities:
        raise AttachError(
            "the context asks for client certificates, but no authority that could issue one is loaded: "
            "load them from a file (a directory is read only as needed and can't be compared between servers)"
        )
    names = functions.SSL_CTX_get_client_CA_list(pointer)
    sent = {sha256(b"name" + der_of(functions.i2d_X509_NAME, name)).digest() for name in _items(functions, names)}
    return ClientAuth(
        mode=mode,
        depth=functions.SSL_CTX_get_verify_depth(pointer),
        authorities=tuple(sorted(authorities | sent)),
        revocation=_revocation(functions, pointer, lists),
    )


def _trusted(functions: Functions, pointer: int) -> tuple[set[bytes], set[bytes]]:
    """SHA-256 of every trusted certificate and of what every revocation list in the context's store revokes."""
    store = functions.SSL_CTX_get_cert_store(pointer)
    authorities: set[bytes] = set()
    lists: set[bytes] = set()
    for item in _items(functions, functions.X509_STORE_get0_objects(store) if store else 0):
        kind = functions.X509_OBJECT_get_type(item)
        if kind == _LU_X509:
            der = der_of(functions.i2d_X509, functions.X509_OBJECT_get0_X509(item))
            authorities.add(sha256(b"certificate" + der).digest())
        elif kind == _LU_CRL:
            lists.add(revoked_by(der_of(functions.i2d_X509_CRL, functions.X509_OBJECT_get0_X509_CRL(item))))
    return authorities, lists


def _revocation(functions: Functions, pointer: int, lists: set[bytes]) -> bytes:
    """One hash over the revocation lists and the verification flags in force, those of the store and the context's."""
    store = functions.SSL_CTX_get_cert_store(pointer)
    parameters = (functions.X509_STORE_get0_param(store), functions.SSL_CTX_get0_param(pointer))
    flags = 0
    for each in parameters:
        flags |= functions.X509_VERIFY_PARAM_get_flags(each) & ~FLAGS_OF_NO_CONSEQUENCE
    return sha256(b"%d" % flags + b"".join(sorted(lists))).digest() if flags or lists else b""


# Versions


_NO_OLD_TLS_FROM_LEVEL = 1
"""From this security level on OpenSSL refuses TLS 1.0 and 1.1, whose handshakes are signed over SHA-1, whatever the
bounds say (SSL_CTX_set_security_level(3)): so a default context, at level 1 or 2, accepts TLS 1.2 at the lowest."""


def _tls_floor(functions: Functions, pointer: int) -> int:
    """Return the lowest version that bounds, options and security level accept; a bound of 0 is OpenSSL's own."""
    lowest = functions.SSL_CTX_ctrl(pointer, _GET_MIN_PROTO, 0, ffi.NULL)
    highest = functions.SSL_CTX_ctrl(pointer, _GET_MAX_PROTO, 0, ffi.NULL) or max(_DISABLED_BY)
    options = functions.SSL_CTX_get_options(pointer)
    if functions.SSL_CTX_get_security_level(pointer) >= _NO_OLD_TLS_FROM_LEVEL:
        options |= _DISABLED_BY[0x0301] | _DISABLED_BY[0x0302]
    allowed = (version for version, disabled in _DISABLED_BY.items() if not options & disabled)
    floor = next((version for version in allowed if lowest <= version <= highest), None)
    if floor is None:
        raise AttachError("the context allows no version of TLS")
    return floor


def _items(functions: Functions, stack: int) -> Iterator[int]:
    """Yield the elements of one of OpenSSL's stacks; none for NULL."""
    for index in range(functions.OPENSSL_sk_num(stack) if stack else 0):
        yield functions.OPENSSL_sk_value(stack, index)
