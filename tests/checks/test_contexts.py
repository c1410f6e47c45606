"""OpenSSL has the last word on what reads well."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.checks.pki import Pki, certificate, faults


def test_what_openssl_will_not_take_is_told_in_its_words(pki: Pki) -> None:
    key = rsa.generate_private_key(65537, 1024)
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, "shop.example"))
    assert faults(pki, {"ciphers": "NO-SUCH"}) == [
        "vip[0].certificate: OpenSSL does not take shop.pem: ee key too small",
        "vip[0].ciphers: OpenSSL knows no cipher by this list (no cipher match); see openssl-ciphers(1)",
    ]
