"""Makes the TLS context of a VIP from its settings; leaves session sharing to `MeshNode.attach`.

Everything a context can be refused for is found here, before any client meets it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from meshcache import ConfigError, VipSettings

from .stream import StreamError, reason_of

T = TypeVar("T")


class CertificateFiles(Protocol):
    """A certificate's two files."""

    @property
    def certificate(self) -> Path | None:
        """PEM: the server's certificate first."""

    @property
    def private_key(self) -> Path | None:
        """PEM."""


PlacedCertificate = tuple[str, CertificateFiles]
"""With its place in the configuration, such as ``vip[0].more_certificates[1]``."""


class _Pair(NamedTuple):
    certificate: Path | None
    private_key: Path | None


CIPHERS_TLS12 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Without ``ciphers``: forward secrecy and AEAD only (RFC 9325 section 4.2). TLS 1.3 has nothing else anyway."""

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_MODES = {"optional": SSL.VERIFY_PEER, "required": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT}

_OPTIONS = (
    SSL.OP_NO_TICKET  # a ticket is good only where its key is; the mesh shares sessions instead
    | SSL.OP_NO_COMPRESSION  # CRIME (RFC 7525 section 3.3)
    | SSL.OP_NO_RENEGOTIATION  # TLS 1.2: a client could ask for a full handshake's work again and again
    | SSL.OP_CIPHER_SERVER_PREFERENCE
)


def make_context(place: str, vip: VipSettings, certificates: Sequence[PlacedCertificate] = ()) -> SSL.Context:
    """Return a context for `vip`, which the configuration has at `place` (such as ``vip[0]``). Not attached to a node
    yet.

    It has these certificates of the VIP, each of another kind, or the VIP's first.

    Raises ConfigError, which names every fault with its place.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 34 kB less for each idle connection (SSL_CTX_set_mode(3))
    context.set_min_proto_version(_VERSIONS[vip.min_tls])
    faults: list[str] = []
    for at, pair in certificates or [(place, _first_of(vip))]:
        _attempt(faults, f"{at}.certificate", _use_certificate, context, pair.certificate)
        _attempt(faults, f"{at}.private_key", _use_private_key, context, pair.private_key)
    for key, step in (("ciphers", _use_ciphers), ("client_auth", _use_client_auth), ("alpn", _use_alpn)):
        _attempt(faults, f"{place}.{key}", step, context, vip)
    if faults:
        raise ConfigError(faults)
    return context


def _first_of(vip: VipSettings) -> _Pair:
    return _Pair(vip.certificate, vip.private_key)


def _attempt(
    faults: list[str], place: str, step: Callable[[SSL.Context, T], None], context: SSL.Context, value: T
) -> None:
    try:
        step(context, value)
    except (SSL.Error, crypto.Error) as error:
        faults.append(f"{place}: OpenSSL refuses it: {reason_of(error)}")
    except OSError as error:
        faults.append(f"{place}: {error.filename} can't be read: {(error.strerror or str(error)).lower()}")
    except (ValueError, TypeError) as error:
        faults.append(f"{place}: {error}")


def _use_certificate(context: SSL.Context, certificate: Path | None) -> None:
    path = _readable(certificate, "a certificate in PEM")
    context.use_certificate_chain_file(str(path))


def _use_private_key(context: SSL.Context, private_key: Path | None) -> None:
    path = _readable(private_key, "a private key in PEM, without a passphrase")
    if stat.S_IMODE(path.stat().st_mode) & 0o007:
        raise ValueError(f"everyone can reach {path}; it must be 0600: chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except TypeError:
        raise ValueError(f"{path} has a passphrase, which a server can't type; store the key without one") from None
    except Exception:  # noqa: BLE001  # whatever the parser found, a part of the key could be in its words
        raise ValueError(f"{path} holds no private key in PEM that can be read") from None
    context.use_privatekey(key)  # type: ignore[arg-type]  # OpenSSL says which kinds it has no use for
    context.check_privatekey()


def _use_ciphers(context: SSL.Context, vip: VipSettings) -> None:
    """One list for both protocol versions, which OpenSSL keeps apart: names of TLS 1.3 begin with ``TLS_``. A version
    that the list has none of keeps its default.
    """
    names = (vip.ciphers or "").split(":")
    tls13 = [name for name in names if name.startswith("TLS_")]
    tls12 = [name for name in names if name and not name.startswith("TLS_")]
    context.set_cipher_list((":".join(tls12) or CIPHERS_TLS12).encode())
    if tls13:
        context.set_tls13_ciphersuites(":".join(tls13).encode())


def _use_client_auth(context: SSL.Context, vip: VipSettings) -> None:
    auth = vip.client_auth
    if auth is None:
        return
    authorities = x509.load_pem_x509_certificates(_readable(auth.ca_file, "authorities in PEM").read_bytes())
    context.load_verify_locations(str(auth.ca_file))
    for authority in authorities:
        context.add_client_ca(authority)
    if auth.crl_file is not None:
        _use_revocations(context, auth.crl_file)
    if auth.depth is not None:
        context.set_verify_depth(auth.depth)
    context.set_verify(_MODES[auth.mode])


def _use_revocations(context: SSL.Context, path: Path) -> None:
    """Check the whole chain, as nginx does: a list for the leaf alone would let a revoked authority go on."""
    store = context.get_cert_store()
    begin, pem = b"-----BEGIN X509 CRL-----", path.read_bytes()
    blocks = [begin + rest for rest in pem.split(begin)[1:]]
    if store is None or not blocks:
        raise ValueError(f"crl_file {path} holds no revocation list in PEM")
    for block in blocks:
        store.add_crl(x509.load_pem_x509_crl(block))
    store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL)


def _use_alpn(context: SSL.Context, vip: VipSettings) -> None:
    if not vip.alpn:
        return
    ours = [protocol.encode() for protocol in vip.alpn]

    def select(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
        """Return the first of ours that the client has;
        without one, RFC 7301 section 3.2 wants the handshake to fail.
        """
        for protocol in ours:
            if protocol in offered:
                return protocol
        raise StreamError("no application protocol in common")

    context.set_alpn_select_callback(select)


def _readable(path: Path | None, what: str) -> Path:
    """Return the path of a file that can be read, and say what is wrong else: OpenSSL's own words are no help."""
    if path is None:
        raise ValueError(f"is missing; name a file with {what}")
    if path.exists() and not path.is_file():  # opening a FIFO would hang the server
        raise ValueError(f"{path} is not a regular file; name one with {what}")
    path.open("rb").close()
    return path
