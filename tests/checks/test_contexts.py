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
        "vip[0].ciphers: OpenSSL knows no TLS 1.2 cipher by NO-SUCH (no cipher match); see openssl-ciphers(1)",
    ]


def test_ciphers_of_either_version_alone_are_fine_and_each_is_tried(pki: Pki) -> None:
    assert faults(pki, {"ciphers": "TLS_AES_128_GCM_SHA256", "min_tls": "1.3"}) == []
    assert faults(pki, {"ciphers": "TLS_AES_128_GCM_SHA256"}) == []
    assert faults(pki, {"ciphers": "ECDHE+AESGCM:TLS_AES_128_GCM_SHA256"}) == []
    assert faults(pki, {"ciphers": "TLS_NOPE:ECDHE+AESGCM"}) == [
        "vip[0].ciphers: OpenSSL knows no TLS 1.3 cipher by TLS_NOPE (no cipher match); see openssl-ciphers(1)"
    ]
