"""One TLS context for each set of names that a VIP has certificates for, with those names and what is stapled to them.

RSA and ECDSA certificates for the same names are in one context, where OpenSSL chooses what the client can verify;
certificates for other names have another, which the server name chooses (`routes`). So a session's name class is that
of the certificate its client saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL

from meshcache import CertificateSettings, ConfigError, VipSettings

from ..names import CertificateNames, names_in
from .contexts import make_context
from .staples import Staples

_Placed = tuple[str, CertificateSettings]


@dataclass(frozen=True, slots=True)
class Certified:
    """A context, the names of its certificates, when the first of them ends (Unix time), and the files it is of.

    ``apart`` is a second context that no node knows, for connections whose sessions are nobody's: a balancer's own.
    """

    context: SSL.Context
    names: tuple[str, ...]
    answered: CertificateNames
    ends_at: float
    apart: SSL.Context | None = None
    listed: bool = field(default=True)
    """Whether OpenSSL calls back for a connection of this context, which pyOpenSSL then has to find."""


def certify(place: str, vip: VipSettings) -> tuple[Certified, ...]:
    """Return the contexts of `vip`, which the configuration has at `place`; the first is for clients that ask for no
    name.

    Raises ConfigError, which names every fault with its place.
    """
    places = [place, *(f"{place}.more_certificates[{at}]" for at in range(len(vip.more_certificates)))]
    placed = list(zip(places, vip.certificates, strict=False))
    if len(placed) < 2:  # the usual case, and one that names what is missing
        leaves = [(at, pair, _leaf(pair.certificate)) for at, pair in placed]
        return (_certified(place, vip, placed, [leaf for _, _, leaf in leaves if leaf]),)
    sets: dict[frozenset[str], list[tuple[_Placed, x509.Certificate]]] = {}
    faults: list[str] = []
    for at, pair in placed:
        leaf = _leaf(pair.certificate)
        if leaf is None:
            faults.append(f"{at}.certificate: {pair.certificate} holds no certificate in PEM that can be read")
            continue
        names = frozenset(name.lower() for name in names_in(leaf))
        kinds = [type(other.public_key()) for _, other in sets.get(names, [])]
        if type(leaf.public_key()) in kinds:
            faults.append(
                f"{at}.certificate: the VIP has a certificate of this kind for the same names already; remove one"
            )
        sets.setdefault(names, []).append(((at, pair), leaf))
    if faults:
        raise ConfigError(faults)
    made = []
    for group in sets.values():
        try:
            made.append(_certified(place, vip, [each for each, _ in group], [leaf for _, leaf in group]))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return tuple(made)


def _certified(place: str, vip: VipSettings, placed: list[_Placed], leaves: list[x509.Certificate]) -> Certified:
    context = make_context(place, vip, placed)
    staples = Staples.load([(f"{at}.ocsp", pair.ocsp, leaf) for (at, pair), leaf in zip(placed, leaves, strict=True)])
    if staples:
        staples.install(context)
    names = tuple(dict.fromkeys(name for leaf in leaves for name in names_in(leaf)))
    return Certified(
        context=context,
        names=names,
        answered=CertificateNames([*vip.names, *names]),
        ends_at=min((leaf.not_valid_after_utc.timestamp() for leaf in leaves), default=0.0),
        apart=make_context(place, vip, placed) if vip.proxy_from else None,
        listed=bool(vip.alpn) or bool(staples),
    )


def _leaf(path: Path) -> x509.Certificate | None:
    """Return the first certificate of a file, or None; `make_context` says what is wrong with it."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None
