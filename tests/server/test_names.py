"""Tests of `server.names`."""

from __future__ import annotations

import pytest
import trustme
from cryptography import x509
from meshcache_server.names import CertificateNames, names_in

NAMES = CertificateNames(["Shop.Example.", "*.cdn.example", "10.0.0.1"])


@pytest.mark.parametrize("host", ["shop.example", "a.cdn.example", "10.0.0.1"])
def test_names_and_one_wildcard_label_are_covered(host: str) -> None:
    assert NAMES.cover(host)


@pytest.mark.parametrize(
    "host", ["example", "a.shop.example", "cdn.example", "a.b.cdn.example", "evil-shop.example", "", "*"]
)
def test_nothing_else_is(host: str) -> None:
    assert not NAMES.cover(host)


def test_names_are_those_of_the_subject_alternative_name() -> None:
    leaf = trustme.CA().issue_cert("shop.example", "*.shop.example", "127.0.0.1", "::1", common_name="ignored.example")
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    assert names_in(certificate) == ["shop.example", "*.shop.example", "127.0.0.1", "[::1]"]
