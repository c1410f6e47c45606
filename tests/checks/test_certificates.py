"""A certificate has its key, is of today, is in order and covers what the VIP lists."""

from __future__ import annotations

from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from meshcache.checks import file_notes
from tests.checks.pki import CLIENTS_ONLY, DAY, NOW, Pki, certificate, faults, new_key, settings


def test_a_key_of_another_certificate_is_refused(pki: Pki) -> None:
    pki.key("shop.key", new_key())
    assert faults(pki) == ["vip[0].private_key: shop.key is not the key of the first certificate in shop.pem"]


def test_a_certificate_is_of_today(pki: Pki) -> None:
    key = new_key()
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, "shop.example", start=NOW - 9 * DAY, end=NOW - DAY))
    assert faults(pki)[0].startswith("vip[0].certificate: shop.pem expired on ")
    pki.chain("shop.pem", certificate(key, "shop.example", start=NOW + DAY, end=NOW + 9 * DAY))
    assert faults(pki)[0].startswith("vip[0].certificate: shop.pem is not valid before ")


def test_a_certificate_that_ends_soon_is_a_note(pki: Pki) -> None:
    key = new_key()
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, "shop.example", end=NOW + 13 * DAY))
    assert faults(pki) == []
    assert "ends in 12 days" in file_notes(settings(pki))[0]


def test_every_listed_name_must_be_covered(pki: Pki) -> None:
    assert faults(pki, {"names": ["shop.example", "pay.example", "a.b.shop.example"]}) == [
        "vip[0].names[1]: the certificate does not cover pay.example; it is for shop.example, *.shop.example",
        "vip[0].names[2]: the certificate does not cover a.b.shop.example; it is for shop.example, *.shop.example",
    ]


def test_the_common_name_counts_for_nothing(pki: Pki) -> None:
    key = new_key()
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, subject="shop.example"))
    assert faults(pki, {"names": ["shop.example"]}) == [
        "vip[0].names[0]: the certificate does not cover shop.example; it is for no name at all"
    ]
    assert "no subject alternative name" in file_notes(settings(pki))[0]


def test_a_certificate_for_addresses_is_told_from_one_for_nothing(pki: Pki) -> None:
    key = new_key()
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, ip_address("192.0.2.1"), ip_address("2001:db8::1")))
    assert faults(pki, {"names": ["shop.example"]}) == [
        "vip[0].names[0]: the certificate does not cover shop.example; it is for 192.0.2.1, 2001:db8::1"
    ]
    (note,) = file_notes(settings(pki))
    assert "is for addresses only (192.0.2.1, 2001:db8::1), so clients that send a host name share no sessions" in note


def test_a_certificate_for_clients_is_refused(pki: Pki) -> None:
    key = new_key()
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, "shop.example", usage=CLIENTS_ONLY))
    assert "is not for TLS servers" in faults(pki)[0]


def test_a_chain_is_in_order_and_whole_of_today(pki: Pki) -> None:
    key = new_key()
    pki.key("shop.key", key)
    leaf = certificate(key, "shop.example", issuer="intermediate")
    old = certificate(new_key(), subject="intermediate", issuer="root", end=NOW - DAY / 2)
    pki.chain("shop.pem", leaf, old)
    assert faults(pki)[0].startswith("vip[0].certificate: shop.pem, certificate 2, expired on ")
    pki.chain("shop.pem", leaf, certificate(new_key(), subject="other"))
    assert "certificate 2, is not the issuer of the one before" in faults(pki)[0]


def test_a_certificate_that_covers_no_name_at_all_is_a_fault(pki: Pki) -> None:
    key = new_key()
    nobody = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 90 * DAY)
        .sign(key, SHA256())
    )
    pki.key("shop.key", key)
    pki.chain("shop.pem", nobody)
    (fault,) = faults(pki)
    assert fault.startswith("vip[0].certificate: shop.pem covers no name: ")
