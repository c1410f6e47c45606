"""Twisted: certificate options whose context joins, and an endpoint of the mesh for whoever is told where to listen.

    options = join(CertificateOptions(…), "meshcache.toml", vip="shop")
    endpoint = SSL4ServerEndpoint(reactor, 8443, options)

Importing this lets ``serverFromString`` know ``mesh:``, with all that ``ssl:`` takes and the mesh's file and VIP:

    mesh:8443:privateKey=shop.key:certKey=shop.pem:file=meshcache.toml:vip=shop
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import twisted.plugins

from meshcache.contrib.mesh import Mesh

Options = TypeVar("Options")

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\s*", re.DOTALL)


def join(options: Options, file: str | Path, *, vip: str | None = None, required: bool = False) -> Options:
    """Let the context of CertificateOptions join, now."""
    target: Any = options
    Mesh(file, vip=vip, required=required).join(target.getContext())
    return options


def endpoint(
    reactor: Any,
    port: str,
    *,
    file: str,
    vip: str | None = None,
    privateKey: str = "server.pem",  # noqa: N803 - as in ssl:
    certKey: str | None = None,  # noqa: N803
    extraCertChain: str | None = None,  # noqa: N803
    interface: str = "",
    backlog: str = "50",
) -> Any:
    """Return the endpoint that ``mesh:…`` stands for."""
    from OpenSSL import crypto
    from twisted.internet.endpoints import SSL4ServerEndpoint
    from twisted.internet.ssl import Certificate, CertificateOptions, KeyPair

    certificate, *chain = _PEM.findall(Path(certKey or privateKey).read_bytes())
    if extraCertChain is not None:
        chain += _PEM.findall(Path(extraCertChain).read_bytes())
    options = CertificateOptions(
        privateKey=KeyPair.load(Path(privateKey).read_bytes(), crypto.FILETYPE_PEM).original,
        certificate=Certificate.loadPEM(certificate).original,
        extraCertChain=[Certificate.loadPEM(each).original for each in chain] or None,
    )
    joined = join(options, file, vip=vip)
    make: Any = SSL4ServerEndpoint
    return make(reactor, int(port), joined, backlog=int(backlog), interface=interface)


_PLUGINS = str(Path(__file__).parent / "twisted_plugins")
if _PLUGINS not in twisted.plugins.__path__:  # where Twisted looks for endpoint parsers
    twisted.plugins.__path__.append(_PLUGINS)
