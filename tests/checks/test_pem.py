"""A file that can't be used is told with its reason, and never shown."""

from __future__ import annotations

import os

import pytest

from tests.checks.pki import Pki, faults, new_key


def test_keys_that_others_can_read_are_refused(pki: Pki) -> None:
    (pki.folder / "shop.key").chmod(0o640)
    (pki.folder / "mesh.key").chmod(0o644)
    assert [fault.partition(", so")[0] for fault in faults(pki)] == [
        "mesh.key_file: key file mesh.key: its mode is 0644",
        "vip[0].private_key: shop.key: its mode is 0640",
    ]


def test_a_key_with_a_passphrase_is_refused(pki: Pki) -> None:
    pki.key("shop.key", new_key(), password=b"secret")
    (fault,) = faults(pki)
    assert fault.startswith("vip[0].private_key: shop.key has a passphrase")


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


@pytest.mark.parametrize("place", ["certificate", "private_key"])
def test_a_folder_in_the_place_of_a_file_is_told(pki: Pki, place: str) -> None:
    name = {"certificate": "shop.pem", "private_key": "shop.key"}[place]
    (pki.folder / name).unlink()
    (pki.folder / name).mkdir(mode=0o700)
    assert faults(pki) == [f"vip[0].{place}: {name} is not a regular file"]
