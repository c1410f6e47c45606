"""The host names that a VIP answers to: those its certificate covers, and those its configuration lists."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509


class CertificateNames:
    """Host names with at most one left-most wildcard label each (RFC 9525 section 6.3), compared in lower case."""

    __slots__ = ("_exact", "_parents")

    def __init__(self, names: Iterable[str]) -> None:
        normal = {name.lower().removesuffix(".") for name in names}
        self._parents = frozenset(name[2:] for name in normal if name.startswith("*."))
        self._exact = frozenset(name for name in normal if not name.startswith("*."))

    def cover(self, host: str) -> bool:
        """Return whether `host`, in lower case and without a final dot, is one of these names."""
        return host in self._exact or host.partition(".")[2] in self._parents


def names_in(certificate: x509.Certificate) -> list[str]:
    """Return DNS names and IP addresses from the certificate's subjectAltName;
    the common name doesn't count (RFC 9525).
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(_address, names.get_values_for_type(x509.IPAddress))]


def _address(address: object) -> str:
    """Return it as a Host field has it: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{address}]" if ":" in str(address) else str(address)
