"""Reads PEM files: certificates, revocation lists, private keys; says in plain words why one can't be used.

Never shows what is in a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from meshcache.edges.secrecy import why_exposed

FILE_BYTES_MAX = 4 * 2**20
"""Debian's whole bundle of public authorities takes 220 kB; what is larger is another file."""

P = ParamSpec("P")
T = TypeVar("T")


class UnusableError(Exception):
    """Why a file can't be used and what would be right; the caller knows its place in the configuration."""


def attempt(faults: list[str], place: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Return what `read` gives, or None with its reason added to `faults`, so that the next check still runs."""
    try:
        return read(*args, **kwargs)
    except UnusableError as error:
        faults.append(f"{place}: {error}")
        return None


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates in a PEM file, in its order; at least one. Raises UnusableError."""
    content = read_file(path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UnusableError(f"{path} holds no certificate in PEM that can be read ({_reason(error)})") from None


def read_revocations(path: Path) -> list[x509.CertificateRevocationList]:
    """Return the revocation lists in a PEM file; at least one. Raises UnusableError."""
    blocks = _pem_blocks(read_file(path), b"X509 CRL")
    if not blocks:
        raise UnusableError(f"{path} holds no revocation list in PEM (BEGIN X509 CRL)")
    try:
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError as error:
        raise UnusableError(f"{path} holds a revocation list that can't be read ({_reason(error)})") from None


def read_private_key(path: Path) -> PrivateKeyTypes:
    """Return the private key in a PEM file that nobody else can read. Raises UnusableError, never with the key."""
    content = read_file(path, secret=True)
    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        raise UnusableError(f"{path} has a passphrase, which a server can't type; store the key without one") from None
    except Exception:  # noqa: BLE001 - whatever the parser found, a part of the key could be in its words
        raise UnusableError(f"{path} holds no private key in PEM that can be read") from None


def read_file(path: Path, *, secret: bool = False) -> bytes:
    """Return what is in a regular file, which nobody else can read if it is `secret`. Raises UnusableError."""
    try:
        # O_NONBLOCK: opening a FIFO that somebody put here must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UnusableError(f"there is no file {path}") from None
    except OSError as error:
        raise UnusableError(f"{path} can't be opened: {(error.strerror or str(error)).lower()}") from None
    try:
        _check(path, os.fstat(descriptor), secret=secret)  # before `fdopen`, which takes no folder
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(content) > FILE_BYTES_MAX:
        raise UnusableError(f"{path} is larger than {FILE_BYTES_MAX // 2**20} MiB, which no such file is")
    return content


def _check(path: Path, status: os.stat_result, *, secret: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnusableError(f"{path} is not a regular file")
    why = why_exposed(path, status) if secret else None
    if why is not None:
        raise UnusableError(f"{path}: {why}")


def _pem_blocks(content: bytes, label: bytes) -> list[bytes]:
    begin, end = b"-----BEGIN %s-----" % label, b"-----END %s-----" % label
    return [begin + part.partition(end)[0] + end + b"\n" for part in content.split(begin)[1:]]


def _reason(error: Exception) -> str:
    return str(error).partition(".")[0].partition("\n")[0][:100] or type(error).__name__
