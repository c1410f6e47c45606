"""Lets OpenSSL itself try a VIP's certificate, key and ciphers, which finds what no reading of files would."""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL

from meshcache.checks.certificates import placed_certificates
from meshcache.config import VipSettings

_SHOWN_CHARS = 100


def cipher_faults(place: str, vip: VipSettings) -> list[str]:
    """Check whether OpenSSL knows any TLS 1.2 cipher of the VIP's list, and all of TLS 1.3."""
    names = [] if vip.ciphers is None else vip.ciphers.split(":")
    tls13 = [name for name in names if name.startswith("TLS_")]
    tls12 = [name for name in names if not name.startswith("TLS_")]
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    faults = []
    for version, some, use in (("1.2", tls12, context.set_cipher_list), ("1.3", tls13, context.set_tls13_ciphersuites)):
        try:
            if some:
                use(":".join(some).encode())
        except (SSL.Error, UnicodeEncodeError) as error:
            faults.append(
                f"{place}.ciphers: OpenSSL knows no TLS {version} cipher by {':'.join(some)[:_SHOWN_CHARS]} "
                f"({_reason(error)}); see openssl-ciphers(1)"
            )
    return faults


def chain_faults(place: str, vip: VipSettings) -> list[str]:
    """Return what OpenSSL has against a certificate that reads well, such as a key below its security level."""
    return [fault for at, pair in placed_certificates(place, vip) for fault in _refused(at, pair.certificate)]


def _refused(place: str, certificate: Path) -> list[str]:
    try:
        SSL.Context(SSL.TLS_SERVER_METHOD).use_certificate_chain_file(str(certificate))
    except SSL.Error as error:
        return [f"{place}.certificate: OpenSSL does not take {certificate}: {_reason(error)}"]
    return []


def _reason(error: Exception) -> str:
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return str(entries[-1][-1]) if entries else type(error).__name__
