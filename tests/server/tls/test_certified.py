"""Tests of `server.certified`: which of a VIP's certificates a client gets."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcache_server.tls.certified import certify
from OpenSSL import SSL

from meshcache import ConfigError, VipSettings


class Pki:
    """An authority and files of its certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()

    def pair(self, kind: trustme.KeyType, *names: str) -> dict[str, Path]:
        issued = self.authority.issue_cert(*names, key_type=kind)
        at = self.folder / f"{kind.name}-{names[0]}"
        chain, key = at.with_suffix(".pem"), at.with_suffix(".key")
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.touch(0o600)
        key.write_bytes(issued.private_key_pem.bytes())
        return {"certificate": chain, "private_key": key}


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


RSA, ECDSA = trustme.KeyType.RSA, trustme.KeyType.ECDSA


def vip(first: dict[str, Path], *more: dict[str, Path], **keys: Any) -> VipSettings:
    return VipSettings.model_validate({"name": "shop", **first, "more_certificates": more, **keys})


def key_seen(context: SSL.Context, ciphers: bytes) -> object:
    """The public key that a TLS 1.2 client with these ciphers is shown."""
    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client_context.set_cipher_list(ciphers)
    server, client = SSL.Connection(context), SSL.Connection(client_context)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                one.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))
    certificate = client.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return certificate.public_key()


def test_rsa_and_ecdsa_for_the_same_names_are_one_context_and_the_client_chooses(pki: Pki) -> None:
    (certified,) = certify("vip[0]", vip(pki.pair(RSA, "shop.example"), pki.pair(ECDSA, "shop.example")))
    assert certified.names == ("shop.example",)
    assert isinstance(key_seen(certified.context, b"ECDHE-RSA-AES128-GCM-SHA256"), rsa.RSAPublicKey)
    assert isinstance(key_seen(certified.context, b"ECDHE-ECDSA-AES128-GCM-SHA256"), ec.EllipticCurvePublicKey)


def test_other_names_are_another_context(pki: Pki) -> None:
    shop, pay = certify(
        "vip[0]",
        vip(pki.pair(ECDSA, "shop.example"), pki.pair(ECDSA, "pay.example", "*.pay.example")),
    )
    assert (shop.names, pay.names) == (("shop.example",), ("pay.example", "*.pay.example"))
    assert shop.context is not pay.context
    assert shop.answered.cover("shop.example")
    assert not shop.answered.cover("pay.example")


def test_two_of_one_kind_for_the_same_names_are_refused(pki: Pki) -> None:
    first = pki.pair(ECDSA, "shop.example")
    with pytest.raises(ConfigError) as caught:
        certify("vip[2]", vip(first, first))
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["vip[2].more_certificates[0].certificate"]


def test_every_fault_has_its_place(pki: Pki) -> None:
    shop, pay = pki.pair(ECDSA, "shop.example"), pki.pair(ECDSA, "pay.example")
    with pytest.raises(ConfigError) as caught:
        certify("vip[0]", vip(shop, {**pay, "private_key": shop["private_key"]}, alpn=["http/1.1"]))
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["vip[0].more_certificates[0].private_key"]
    (pki.folder / "empty").write_text("")
    with pytest.raises(ConfigError, match=r"vip\[0\]\.more_certificates\[0\]\.certificate: .*holds no certificate"):
        certify("vip[0]", vip(shop, {**pay, "certificate": pki.folder / "empty"}))


def test_a_vip_behind_balancers_has_a_context_apart(pki: Pki) -> None:
    (certified,) = certify("vip[0]", vip(pki.pair(ECDSA, "shop.example"), proxy_from="10.0.0.0/8"))
    assert certified.apart is not None
    assert certified.apart is not certified.context
