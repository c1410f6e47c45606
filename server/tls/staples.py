"""OCSP responses that are sent along with a certificate, from files (RFC 6066 section 8).

Fetches nothing. A response that isn't for its certificate is a fault; one that has become old is no longer sent, since
clients refuse a connection for it where they would have taken one without.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from OpenSSL import SSL

from meshcache import ConfigError

RESPONSE_BYTES_MAX = 64 * 1024
"""Responses have one or two kilobytes, of which most is the responder's certificate."""

log = logging.getLogger("meshcache.server")


@dataclass(frozen=True, slots=True)
class Staple:
    """One response in DER, and until when it is good (Unix time)."""

    response: bytes
    until: float


class Staples:
    """The responses of one context, by the DER of the certificate."""

    def __init__(self, by_certificate: dict[bytes, Staple]) -> None:
        self._by_certificate = by_certificate

    def __bool__(self) -> bool:
        return bool(self._by_certificate)

    @classmethod
    def load(cls, placed: Iterable[tuple[str, Path | None, x509.Certificate]]) -> Self:
        """Read the files that are named. Raises ConfigError, which names every fault with its place."""
        faults: list[str] = []
        staples: dict[bytes, Staple] = {}
        for place, path, certificate in placed:
            if path is None:
                continue
            try:
                staples[certificate.public_bytes(Encoding.DER)] = _staple(path, certificate)
            except OSError as error:
                faults.append(f"{place}: {path} can't be read: {(error.strerror or str(error)).lower()}")
            except ValueError as error:
                faults.append(f"{place}: {path} {error}")
        if faults:
            raise ConfigError(faults)
        return cls(staples)

    def install(self, context: SSL.Context) -> None:
        """Answer the status requests of clients of this context."""
        context.set_ocsp_server_callback(self._answer)

    def _answer(self, connection: SSL.Connection, _data: object) -> bytes:
        certificate = connection.get_certificate(as_cryptography=True)
        staple = None if certificate is None else self._by_certificate.get(certificate.public_bytes(Encoding.DER))
        return staple.response if staple is not None and time.time() < staple.until else b""


def _staple(path: Path, certificate: x509.Certificate) -> Staple:
    with path.open("rb") as file:
        content = file.read(RESPONSE_BYTES_MAX + 1)
    try:
        response = ocsp.load_der_ocsp_response(content)
        status = response.response_status
    except ValueError:
        raise ValueError("holds no OCSP response in DER that can be read") from None
    if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError(f"says {status.name.lower()}; ask the authority again")
    if response.serial_number != certificate.serial_number:
        raise ValueError("is the answer for another certificate; ask for this one")
    if response.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        raise ValueError("says that the certificate is revoked; get another")
    until = response.next_update_utc.timestamp() if response.next_update_utc is not None else float("inf")
    if until < time.time():
        log.warning("%s is out of date and not sent; fetch a newer one", path)
    return Staple(content, until)
