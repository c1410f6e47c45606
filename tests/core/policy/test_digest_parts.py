"""Which setting differs, told by hashes of the single settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcache.core.policy.digest_parts import PARTS_BYTES_MAX, UNNAMED, asks_clients, differing, parts_of, with_values
from meshcache.core.policy.scope import ClientAuth, Security, group_digest

BASE = Security("shop", ClientAuth(1, 3, (b"a" * 32,), b"r" * 32), 0x0303)


@pytest.mark.parametrize(
    "changed, named",
    [
        (replace(BASE, client_auth=replace(BASE.client_auth, mode=3)), ("how clients are asked for certificates",)),
        (replace(BASE, client_auth=replace(BASE.client_auth, depth=4)), ("how clients are asked for certificates",)),
        (
            replace(BASE, client_auth=replace(BASE.client_auth, authorities=(b"b" * 32,))),
            ("the authorities of client certificates",),
        ),
        (
            replace(BASE, client_auth=replace(BASE.client_auth, revocation=b"")),
            ("the revocation lists of client certificates",),
        ),
        (replace(BASE, tls_floor=0x0304), ("the lowest TLS version",)),
        (replace(BASE, epoch=1), ("the policy epoch",)),
        (replace(BASE, chain=(b"leaf",)), ("what sessions are bound to",)),
        (replace(BASE, epoch=1, tls_floor=0x0304), ("the lowest TLS version", "the policy epoch")),
    ],
)
def test_every_setting_in_the_digest_is_named_when_it_differs(changed: Security, named: tuple[str, ...]) -> None:
    assert group_digest(BASE) != group_digest(changed)
    assert differing(parts_of(BASE), parts_of(changed)) == named
    assert differing(parts_of(changed), parts_of(BASE)) == named


def test_two_chains_differ_in_the_chain() -> None:
    one, other = replace(BASE, chain=(b"leaf",)), replace(BASE, chain=(b"renewed",))
    assert differing(parts_of(one), parts_of(other)) == ("the certificate chain",)


def test_parts_are_the_same_on_nodes_of_every_version() -> None:
    auth = replace(BASE.client_auth, authorities=(b"a" * 32, b"b" * 32))
    recorded = "b1f5783b2eea7d8c0725d1a10b19797934069224377e0d4fa6e75aef1271cf25"
    assert parts_of(replace(BASE, client_auth=auth, chain=(b"leaf", b"root"))).hex() == recorded


def test_equal_settings_have_equal_parts_that_fit() -> None:
    assert parts_of(BASE) == parts_of(replace(BASE))
    assert len(parts_of(BASE)) <= PARTS_BYTES_MAX


@pytest.mark.parametrize("parts", [b"", b"abc", parts_of(BASE), parts_of(BASE) + b"more"])
def test_what_a_peer_does_not_tell_is_not_guessed(parts: bytes) -> None:
    assert differing(parts_of(BASE), parts) == (UNNAMED,)


def test_whether_clients_are_asked_can_be_told() -> None:
    assert asks_clients(parts_of(BASE))
    assert not asks_clients(parts_of(Security("shop", ClientAuth(), 0x0304)))
    assert not asks_clients(b"")


@pytest.mark.parametrize(
    "changed, told",
    [
        (replace(BASE, tls_floor=0x0304), "the lowest TLS version (TLS 1.2 here, TLS 1.3 there)"),
        (replace(BASE, epoch=7), "the policy epoch (0 here, 7 there)"),
        (replace(BASE, epoch=5000), "the policy epoch (0 here, #"),
        (
            replace(BASE, client_auth=replace(BASE.client_auth, mode=3)),
            "how clients are asked for certificates (optional, depth 3 here, required, depth 3 there)",
        ),
        (replace(BASE, client_auth=replace(BASE.client_auth, revocation=b"")), "here, none there)"),
        (replace(BASE, chain=(b"leaf",)), "what sessions are bound to (name here, certificate there)"),
        (replace(BASE, extended_master_secret=False), "extended master secret (yes here, no there)"),
    ],
)
def test_both_values_are_told_as_far_as_hashes_tell(changed: Security, told: str) -> None:
    (words,) = with_values(parts_of(BASE), parts_of(changed))
    assert told in words


def test_what_a_peer_makes_up_is_shown_as_a_hash_or_not_at_all() -> None:
    assert with_values(parts_of(BASE), b"") == (UNNAMED,)
    assert with_values(parts_of(BASE), parts_of(BASE)) == (UNNAMED,)
    (words,) = with_values(parts_of(BASE), b"\x1b[2J" + parts_of(BASE)[4:])
    assert words.endswith("#1b5b324a there)")
