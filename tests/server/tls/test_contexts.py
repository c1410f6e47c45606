"""Tests of `server.contexts`: with real handshakes, for what a context says of itself is not what clients meet."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from meshcache_server.tls.contexts import make_context
from OpenSSL import SSL

from meshcache import ClientAuthSettings, ConfigError, VipSettings
from tests.server.harness import NAME, Certificates


@pytest.fixture
def shop(certificates: Certificates) -> dict[str, Any]:
    return {
        "name": "shop",
        "listen": ["127.0.0.1:0"],
        "certificate": certificates.chain,
        "private_key": certificates.key,
    }


def shake(context: SSL.Context, client: ssl.SSLContext) -> ssl.SSLObject:
    """A whole handshake in memory. Raises what either side raises."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(incoming, outgoing, server_hostname=NAME)
    server = SSL.Connection(context)
    server.set_accept_state()
    for _ in range(4):
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        if outgoing.pending:
            server.bio_write(outgoing.read())
            try:
                with suppress(SSL.WantReadError):
                    server.do_handshake()
            finally:
                with suppress(SSL.WantReadError):
                    incoming.write(server.bio_read(65536))
    with suppress(ssl.SSLWantReadError):
        tls.read(1)  # TLS 1.3 hears here that its certificate was refused
    return tls


def faults(vip: VipSettings) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make_context("vip[0]", vip)
    return caught.value.faults


def test_the_default_is_modern_and_works(shop: dict[str, Any], certificates: Certificates) -> None:
    context = make_context("vip[0]", VipSettings(**shop))
    assert shake(context, certificates.client()).version() == "TLSv1.3"
    old = certificates.client(ssl.TLSVersion.TLSv1_2)
    cipher = shake(context, old).cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-")
    old.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA")
    with pytest.raises(SSL.Error, match="no shared cipher"):
        shake(context, old)


def test_nothing_below_the_lowest_version_is_spoken(shop: dict[str, Any], certificates: Certificates) -> None:
    context = make_context("vip[0]", VipSettings(**shop, min_tls="1.3"))
    assert shake(context, certificates.client()).version() == "TLSv1.3"
    with pytest.raises(SSL.Error, match="protocol"):
        shake(context, certificates.client(ssl.TLSVersion.TLSv1_2))


def test_ciphers_of_both_protocol_versions_are_taken_from_one_list(
    shop: dict[str, Any], certificates: Certificates
) -> None:
    ciphers = "TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
    context = make_context("vip[0]", VipSettings(**shop, ciphers=ciphers))
    new, old = (shake(context, certificates.client(version)) for version in (None, ssl.TLSVersion.TLSv1_2))
    assert new.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"  # type: ignore[index]
    assert old.cipher()[0].endswith("AES256-GCM-SHA384")  # type: ignore[index]


def test_a_version_of_which_the_list_has_no_cipher_keeps_its_default(
    shop: dict[str, Any], certificates: Certificates
) -> None:
    context = make_context("vip[0]", VipSettings(**shop, ciphers="TLS_AES_128_GCM_SHA256"))
    assert shake(context, certificates.client()).cipher()[0] == "TLS_AES_128_GCM_SHA256"  # type: ignore[index]
    old = certificates.client(ssl.TLSVersion.TLSv1_2)
    assert shake(context, old).cipher()[0].startswith("ECDHE-")  # type: ignore[index]
    old.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA")
    with pytest.raises(SSL.Error, match="no shared cipher"):
        shake(context, old)


def test_a_client_cannot_renegotiate(shop: dict[str, Any]) -> None:
    context = make_context("vip[0]", VipSettings(**shop))
    assert context.set_options(0) & SSL.OP_NO_RENEGOTIATION
    assert context.set_options(0) & SSL.OP_NO_TICKET


def test_alpn_picks_ours_by_preference_and_refuses_who_has_none(
    shop: dict[str, Any], certificates: Certificates
) -> None:
    context = make_context("vip[0]", VipSettings(**shop, alpn=["h2", "http/1.1"]))
    client = certificates.client()
    client.set_alpn_protocols(["http/1.1", "h2"])
    assert shake(context, client).selected_alpn_protocol() == "h2"
    assert shake(context, certificates.client()).selected_alpn_protocol() is None
    client.set_alpn_protocols(["smtp"])
    with pytest.raises(Exception, match="no application protocol"):
        shake(context, client)


def test_every_fault_is_named_with_its_place(shop: dict[str, Any], tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("not PEM")
    broken.chmod(0o600)
    auth = ClientAuthSettings(mode="required", ca_file=tmp_path / "missing.pem")
    vip = VipSettings(**shop | {"certificate": broken, "private_key": broken}, ciphers="NO-SUCH", client_auth=auth)
    found = faults(vip)
    assert [fault.partition(":")[0] for fault in found] == [
        "vip[0].certificate",
        "vip[0].private_key",
        "vip[0].ciphers",
        "vip[0].client_auth",
    ]
    assert "missing.pem can't be read: no such file" in found[3]


def test_what_is_no_file_is_named_and_a_fifo_hangs_nobody(shop: dict[str, Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for place in (tmp_path, tmp_path / "fifo"):
        found = faults(VipSettings(**shop | {"certificate": place, "private_key": place}))
        assert [f"{place} is not a regular file" in fault for fault in found] == [True, True]


def test_a_key_that_does_not_fit_or_that_all_can_read_is_refused(
    shop: dict[str, Any], tmp_path: Path, certificates: Certificates
) -> None:
    other = tmp_path / "other.key"
    other.write_bytes(trustme.CA().issue_cert(NAME).private_key_pem.bytes())
    other.chmod(0o644)
    assert "chmod 600" in faults(VipSettings(**shop | {"private_key": other}))[0]
    other.chmod(0o600)
    assert "vip[0].private_key: OpenSSL refuses it" in faults(VipSettings(**shop | {"private_key": other}))[0]


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(shop: dict[str, Any], tmp_path: Path) -> None:
    plain = serialization.load_pem_private_key(Path(shop["private_key"]).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.touch(0o600)
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"sesame"),
        )
    )
    assert "passphrase" in faults(VipSettings(**shop | {"private_key": locked}))[0]


def client_with_certificate(
    certificates: Certificates, authority: trustme.CA
) -> tuple[ssl.SSLContext, x509.Certificate]:
    leaf = authority.issue_cert("anna@shop.example")
    client = certificates.client()
    leaf.configure_cert(client)
    return client, x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())


def crl_of(authority: trustme.CA, *revoked: x509.Certificate) -> bytes:
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(now - timedelta(days=1)).next_update(now + timedelta(days=1))
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(now - timedelta(hours=1)).build())
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


def test_client_certificates_are_asked_for_and_checked(
    shop: dict[str, Any], certificates: Certificates, tmp_path: Path
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    ca_file = tmp_path / "clients.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    good, _ = client_with_certificate(certificates, authority)
    bad, _ = client_with_certificate(certificates, stranger)
    for mode, without_is_fine in (("required", False), ("optional", True)):
        auth = ClientAuthSettings(mode=mode, ca_file=ca_file)
        context = make_context("vip[0]", VipSettings(**shop, client_auth=auth))
        assert shake(context, good).version() == "TLSv1.3"
        with pytest.raises(SSL.Error, match="verify failed"):
            shake(context, bad)
        if without_is_fine:
            assert shake(context, certificates.client()).version() == "TLSv1.3"
        else:
            with pytest.raises(SSL.Error, match="did not return a certificate"):
                shake(context, certificates.client())


def test_a_revoked_client_certificate_is_refused(
    shop: dict[str, Any], certificates: Certificates, tmp_path: Path
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    ca_file, crl_file = tmp_path / "clients.pem", tmp_path / "crl.pem"
    ca_file.write_bytes(authority.cert_pem.bytes() + other.cert_pem.bytes())
    good, _ = client_with_certificate(certificates, authority)
    revoked, certificate = client_with_certificate(certificates, authority)
    other_revoked, other_certificate = client_with_certificate(certificates, other)
    crl_file.write_bytes(b"a list of two\n" + crl_of(authority, certificate) + crl_of(other, other_certificate))
    auth = ClientAuthSettings(mode="required", ca_file=ca_file, crl_file=crl_file)
    context = make_context("vip[0]", VipSettings(**shop, client_auth=auth))
    assert shake(context, good).version() == "TLSv1.3"
    for client in (revoked, other_revoked):
        with pytest.raises(SSL.Error, match="verify failed"):
            shake(context, client)


def test_a_crl_file_without_a_list_is_refused(shop: dict[str, Any], certificates: Certificates, tmp_path: Path) -> None:
    crl_file = tmp_path / "crl.pem"
    crl_file.write_text("nothing")
    auth = ClientAuthSettings(mode="required", ca_file=certificates.authority_file, crl_file=crl_file)
    assert "holds no revocation list" in faults(VipSettings(**shop, client_auth=auth))[0]


def test_a_chain_deeper_than_allowed_is_refused(
    shop: dict[str, Any], certificates: Certificates, tmp_path: Path
) -> None:
    authority = trustme.CA()
    below = authority.create_child_ca()
    ca_file = tmp_path / "clients.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    client = certificates.client()
    below.issue_cert("anna@shop.example").configure_cert(client)
    allowed = ClientAuthSettings(mode="required", ca_file=ca_file, depth=1)
    assert shake(make_context("vip[0]", VipSettings(**shop, client_auth=allowed)), client).version() == "TLSv1.3"
    refused = ClientAuthSettings(mode="required", ca_file=ca_file, depth=0)
    with pytest.raises(SSL.Error, match="verify failed"):
        shake(make_context("vip[0]", VipSettings(**shop, client_auth=refused)), client)
