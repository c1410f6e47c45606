"""Certificates to be judged: any name, any time, any fault, made on the spot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshcache.checks import file_faults
from meshcache.config import Settings, read_settings

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Pki:
    """Writes PEM files into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: bytes, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def key(self, name: str, key: Key, mode: int = 0o600, password: bytes | None = None) -> Path:
        encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
        return self.write(name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), mode)

    def chain(self, name: str, *certificates: x509.Certificate) -> Path:
        return self.write(name, b"".join(each.public_bytes(Encoding.PEM) for each in certificates), 0o644)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    key: Key,
    *names: str | IPv4Address | IPv6Address,
    subject: str = "server",
    issuer: str | None = None,
    start: datetime = NOW - DAY,
    end: datetime = NOW + 90 * DAY,
    usage: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer or subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_alternative, names))), False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    return builder.sign(key, SHA256())


def _alternative(name: str | IPv4Address | IPv6Address) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


def revocations(key: Key, next_update: datetime, issuer: str = "ca") -> x509.CertificateRevocationList:
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer))
        .last_update(next_update - 30 * DAY)
        .next_update(next_update)
        .sign(key, SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


CLIENTS_ONLY = ExtendedKeyUsageOID.CLIENT_AUTH


def settings(pki: Pki, *vips: dict[str, Any], **tables: Any) -> Settings:
    shop = {"certificate": "shop.pem", "private_key": "shop.key"}
    return read_settings(
        {"vip": [{"name": f"vip{at}", **shop, **vip} for at, vip in enumerate(vips or ({},))], **tables}, pki.folder
    )


def faults(pki: Pki, *vips: dict[str, Any], **tables: Any) -> list[str]:
    """The faults, with the folder cut out of their paths so that they read as a table here."""
    return [fault.replace(f"{pki.folder}/", "") for fault in file_faults(settings(pki, *vips, **tables))]
