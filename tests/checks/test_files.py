"""Every fault in the files that the settings name is found, with its place, in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from meshcache.checks import file_faults, file_notes
from meshcache.config import Settings, read_settings
from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring
from tests.checks.pki import CLIENTS_ONLY, DAY, NOW, Pki, certificate, new_key, revocations


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    create_keyring(tmp_path / "mesh.key", Keyring.new())
    key = new_key()
    pki = Pki(tmp_path)
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, "shop.example", "*.shop.example"))
    return pki


def settings(pki: Pki, *vips: dict[str, Any], **tables: Any) -> Settings:
    shop = {"certificate": "shop.pem", "private_key": "shop.key"}
    return read_settings(
        {"vip": [{"name": f"vip{at}", **shop, **vip} for at, vip in enumerate(vips or ({},))], **tables}, pki.folder
    )


def faults(pki: Pki, *vips: dict[str, Any], **tables: Any) -> list[str]:
    """The faults, with the folder cut out of their paths so that they read as a table here."""
    return [fault.replace(f"{pki.folder}/", "") for fault in file_faults(settings(pki, *vips, **tables))]


def test_good_files_have_no_faults_and_nothing_to_note(pki: Pki) -> None:
    names = {"names": ["shop.example", "www.shop.example"], "ciphers": "ECDHE+AESGCM"}
    assert faults(pki, names) == []
    assert file_notes(settings(pki, names)) == []


def test_nothing_is_made_by_looking(pki: Pki) -> None:
    before = sorted(pki.folder.iterdir())
    file_faults(settings(pki))
    assert sorted(pki.folder.iterdir()) == before


def test_missing_files_are_named_all_at_once(pki: Pki) -> None:
    auth = {"mode": "required", "ca_file": "ca.pem", "crl_file": "crl.pem"}
    gone = {"certificate": "a.pem", "private_key": "a.key", "client_auth": auth}
    assert faults(pki, gone, mesh={"key_file": "b.key"}) == [
        "mesh.key_file: key file b.key: there is no such file; `meshcache key new FILE` makes one",
        "vip[0].certificate: there is no file a.pem",
        "vip[0].private_key: there is no file a.key",
        "vip[0].client_auth.ca_file: there is no file ca.pem",
        "vip[0].client_auth.crl_file: there is no file crl.pem",
    ]


def test_keys_that_others_can_read_are_refused(pki: Pki) -> None:
    (pki.folder / "shop.key").chmod(0o640)
    (pki.folder / "mesh.key").chmod(0o644)
    assert [fault.partition(", so")[0] for fault in faults(pki)] == [
        "mesh.key_file: key file mesh.key: its mode is 0644",
        "vip[0].private_key: shop.key has mode 0640",
    ]


def test_a_key_of_another_certificate_is_refused(pki: Pki) -> None:
    pki.key("shop.key", new_key())
    assert faults(pki) == ["vip[0].private_key: shop.key is not the key of the first certificate in shop.pem"]


def test_a_key_with_a_passphrase_is_refused(pki: Pki) -> None:
    pki.key("shop.key", new_key(), password=b"secret")
    (fault,) = faults(pki)
    assert fault.startswith("vip[0].private_key: shop.key has a passphrase")


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


def test_what_openssl_will_not_take_is_told_in_its_words(pki: Pki) -> None:
    key = rsa.generate_private_key(65537, 1024)
    pki.key("shop.key", key)
    pki.chain("shop.pem", certificate(key, "shop.example"))
    assert faults(pki, {"ciphers": "NO-SUCH"}) == [
        "vip[0].certificate: OpenSSL does not take shop.pem: ee key too small",
        "vip[0].ciphers: OpenSSL knows no cipher by this list (no cipher match); see openssl-ciphers(1)",
    ]


@pytest.mark.parametrize(
    "content", [b"", b"garbage\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_garbage_is_told_and_never_shown(pki: Pki, content: bytes) -> None:
    pki.write("shop.pem", content)
    pki.write("shop.key", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    told = faults(pki)
    assert told[0].startswith("vip[0].certificate: shop.pem holds no certificate in PEM")
    assert told[1] == "vip[0].private_key: shop.key holds no private key in PEM that can be read"


def test_a_pipe_in_the_place_of_a_key_does_not_hang(pki: Pki) -> None:
    (pki.folder / "shop.key").unlink()
    os.mkfifo(pki.folder / "shop.key", 0o600)
    assert faults(pki) == ["vip[0].private_key: shop.key is not a regular file"]


def test_a_state_folder_must_be_one(pki: Pki) -> None:
    pki.write("state", b"")
    assert faults(pki) == ["node.state_dir: state is not a folder"]


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


def test_a_reach_without_the_own_colo_is_a_note(pki: Pki) -> None:
    listed = {"sharing": {"reach": ["ams1", "fra1"]}}
    assert "vip[0].sharing.reach" in file_notes(settings(pki, listed, node={"colo": "lon1"}))[0]
    assert file_notes(settings(pki, listed, node={"colo": "ams1"})) == []
