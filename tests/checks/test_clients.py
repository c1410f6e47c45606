"""Client certificates are checked with what is of today, and alike within a share group."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from meshcache.checks import file_notes
from tests.checks.pki import DAY, NOW, Pki, certificate, faults, new_key, revocations, settings


def test_stale_authorities_and_revocations_are_refused(pki: Pki) -> None:
    key = new_key()
    pki.chain("ca.pem", certificate(key, subject="ca", end=NOW - DAY / 2))
    pki.write("crl.pem", revocations(key, NOW - DAY).public_bytes(Encoding.PEM))
    told = faults(pki, {"client_auth": {"mode": "required", "ca_file": "ca.pem", "crl_file": "crl.pem"}})
    assert told[0].startswith("vip[0].client_auth.ca_file: ca.pem, certificate 1, expired on ")
    assert told[1].startswith("vip[0].client_auth.crl_file: crl.pem, list 1, was to be replaced by ")
    pki.write("crl.pem", b"nothing")
    assert (
        "holds no revocation list"
        in faults(pki, {"client_auth": {"mode": "required", "ca_file": "shop.pem", "crl_file": "crl.pem"}})[0]
    )


def test_the_end_of_a_revocation_list_is_said_before_it_comes(pki: Pki) -> None:
    """One that lasts 30 days should have been replaced a fifth of that before its end."""
    key = new_key()
    pki.chain("ca.pem", certificate(key, subject="ca"))
    asking = {"client_auth": {"mode": "required", "ca_file": "ca.pem", "crl_file": "crl.pem"}}
    pki.write("crl.pem", revocations(key, NOW + 7 * DAY).public_bytes(Encoding.PEM))
    assert file_notes(settings(pki, asking)) == []
    pki.write("crl.pem", revocations(key, NOW + 5 * DAY).public_bytes(Encoding.PEM))
    (note,) = file_notes(settings(pki, asking))
    assert note.startswith("vip[0].client_auth.crl_file: ")
    assert "crl.pem, list 1, ends at " in note
    assert "every client certificate is refused" in note


def test_one_group_has_one_set_of_authorities_whatever_the_files_are_called(pki: Pki) -> None:
    ours, theirs = certificate(new_key(), subject="ours"), certificate(new_key(), subject="theirs")
    pki.chain("a.pem", ours, theirs)
    pki.chain("b.pem", theirs, ours)
    pki.chain("c.pem", theirs)

    def vip(ca_file: str) -> dict[str, Any]:
        return {"sharing": {"group": "g"}, "client_auth": {"mode": "required", "ca_file": ca_file}}

    assert faults(pki, vip("a.pem"), vip("b.pem")) == []
    (fault,) = faults(pki, vip("a.pem"), vip("c.pem"))
    assert fault.startswith("vip[1].client_auth.ca_file: c.pem and a.pem of vip[0] hold different entries")
