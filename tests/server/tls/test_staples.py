"""Tests of `server.staples`: what clients that ask for a certificate's status are given."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp
from meshcache_server.tls.certified import certify
from OpenSSL import SSL

from meshcache import ConfigError, VipSettings

HOUR = datetime.timedelta(hours=1)


class Answers:
    """An authority that answers for its certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("shop.example")
        (folder / "shop.pem").write_bytes(issued.cert_chain_pems[0].bytes())
        (folder / "shop.key").touch(0o600)
        (folder / "shop.key").write_bytes(issued.private_key_pem.bytes())
        self.leaf = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())

    def answer(
        self,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        leaf: x509.Certificate | None = None,
        left: datetime.timedelta = HOUR,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        issuer = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        key = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        revoked = now if status is ocsp.OCSPCertStatus.REVOKED else None
        response = (
            ocsp.OCSPResponseBuilder()
            .add_response(leaf or self.leaf, issuer, hashes.SHA256(), status, now - 2 * HOUR, now + left, revoked, None)
            .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
            .sign(key, hashes.SHA256())  # type: ignore[arg-type]
            .public_bytes(Encoding.DER)
        )
        (self.folder / "shop.ocsp").write_bytes(response)
        return response

    def vip(self) -> VipSettings:
        files = {"certificate": "shop.pem", "private_key": "shop.key", "ocsp": "shop.ocsp"}
        return VipSettings.model_validate({"name": "shop", **{key: self.folder / at for key, at in files.items()}})


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(tmp_path)


def status_seen(context: SSL.Context) -> bytes:
    seen: list[bytes] = []

    def look(_connection: SSL.Connection, response: bytes, _data: object) -> bool:
        seen.append(response)
        return True

    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_ocsp_client_callback(look)
    server, client = SSL.Connection(context), SSL.Connection(client_context)
    server.set_accept_state()
    client.set_connect_state()
    client.request_ocsp()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            for step in (one.do_handshake, lambda one=one, other=other: other.bio_write(one.bio_read(65536))):
                try:
                    step()
                except SSL.WantReadError:
                    continue
    return seen[0]


def test_a_client_that_asks_gets_the_authoritys_answer(answers: Answers) -> None:
    response = answers.answer()
    (certified,) = certify("vip[0]", answers.vip())
    assert status_seen(certified.context) == response
    assert certified.listed


def test_an_answer_that_has_become_old_is_not_sent(answers: Answers, caplog: pytest.LogCaptureFixture) -> None:
    answers.answer(left=-HOUR)
    (certified,) = certify("vip[0]", answers.vip())
    assert status_seen(certified.context) == b""
    assert "out of date" in caplog.text


def test_an_answer_that_is_of_no_use_is_a_fault(answers: Answers) -> None:
    other = x509.load_pem_x509_certificate(answers.authority.issue_cert("pay.example").cert_chain_pems[0].bytes())
    for spoil, words in (
        (lambda: answers.answer(ocsp.OCSPCertStatus.REVOKED), "revoked"),
        (lambda: answers.answer(leaf=other), "another certificate"),
        (lambda: (answers.folder / "shop.ocsp").write_bytes(b"no"), "no OCSP response"),
        (lambda: (answers.folder / "shop.ocsp").unlink(), "can't be read"),
    ):
        spoil()
        with pytest.raises(ConfigError, match=rf"vip\[0\]\.ocsp: .*{words}"):
            certify("vip[0]", answers.vip())
