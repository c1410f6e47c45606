"""What a session is bound to: every setting that matters moves the context, nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.policy.scope import (
    CONTEXT_BYTES,
    ClientAuth,
    Names,
    Security,
    covers,
    group_digest,
    name_class,
    normal_name,
    session_id_context,
)

AUTH = ClientAuth(mode=3, depth=2, authorities=(b"a" * 32, b"b" * 32), revocation=b"r" * 32)
SECURITY = Security("storefront", AUTH, 0x0303, epoch=4, chain=(b"leaf", b"root"))
RECORDED = "031820d13564b1d72647d4eebee3753f98acc3b179f557b4b1e58ca34d9c0c6a"
"""The digest of SECURITY: nodes of different versions must agree on it, so it never changes."""

RECORDED_CONTEXT = "66c33ba8a0f76800b7332a018c32c72348a4d1e9270a59e630121b584d1c1d52"
"""The session id context of SECURITY under the name shop.example, for the same reason."""

RECORDED_CLASS = "identities:f87a3664d9b9df29ee4cc5be06aab7a0a6086a380da58afc78693c1fd97c4368"

NAMES = Names(certificate=("shop.example", "*.cdn.example"), listed=("shop.example", "www.shop.example"))


@pytest.mark.parametrize(
    "other",
    [
        replace(SECURITY, group="intranet"),
        replace(SECURITY, tls_floor=0x0304),
        replace(SECURITY, epoch=5),
        replace(SECURITY, extended_master_secret=False),
        replace(SECURITY, chain=()),
        replace(SECURITY, chain=(b"leafr", b"oot")),
        replace(SECURITY, client_auth=ClientAuth()),
        replace(SECURITY, client_auth=replace(AUTH, mode=1)),
        replace(SECURITY, client_auth=replace(AUTH, depth=3)),
        replace(SECURITY, client_auth=replace(AUTH, authorities=(b"a" * 32,))),
        replace(SECURITY, client_auth=replace(AUTH, authorities=(b"a" * 64,))),
        replace(SECURITY, client_auth=replace(AUTH, revocation=b"")),
    ],
)
def test_every_setting_that_must_agree_moves_the_digest(other: Security) -> None:
    assert group_digest(other) != group_digest(SECURITY)
    assert session_id_context(group_digest(other), "name:x") != session_id_context(group_digest(SECURITY), "name:x")


def test_equal_settings_have_equal_digests_on_every_node() -> None:
    twin = Security("storefront", replace(AUTH), 0x0303, 4, (b"leaf", b"root"))
    assert group_digest(twin) == group_digest(SECURITY)
    assert group_digest(SECURITY).hex() == RECORDED
    assert session_id_context(group_digest(SECURITY), "name:shop.example").hex() == RECORDED_CONTEXT


def test_the_context_fits_openssl_and_differs_by_name_class() -> None:
    digest = group_digest(SECURITY)
    contexts = {session_id_context(digest, name) for name in ("name:a.example", "name:b.example", "listed:a.example")}
    assert len(contexts) == 3
    assert {len(context) for context in contexts} == {CONTEXT_BYTES}


@pytest.mark.parametrize("sni", ["shop.example", "SHOP.example", "shop.example.", "www.shop.example"])
def test_listed_names_are_one_class(sni: str) -> None:
    assert name_class(NAMES, sni) == "listed:shop.example,www.shop.example"


@pytest.mark.parametrize("sni", ["a.cdn.example", "A.CDN.EXAMPLE."])
def test_another_covered_name_is_a_class_of_its_own(sni: str) -> None:
    assert name_class(NAMES, sni) == "name:a.cdn.example"
    assert name_class(NAMES, "b.cdn.example") != name_class(NAMES, sni)


@pytest.mark.parametrize(
    "sni", ["other.example", "cdn.example", "x.a.cdn.example", "", ".", "xshop.example", "127.0.0.1"]
)
def test_a_name_neither_covered_nor_listed_shares_nothing(sni: str) -> None:
    assert name_class(NAMES, sni) is None


def test_without_sni_the_class_is_the_set_of_names_in_any_order() -> None:
    turned = Names(certificate=("*.CDN.example", "shop.example", "shop.example."))
    assert name_class(NAMES, None) == name_class(turned, None) == "certificate:*.cdn.example,shop.example"


def test_an_address_that_the_certificate_covers_is_a_class_of_its_own_in_any_spelling() -> None:
    names = Names(("shop.example",), addresses=("192.0.2.1", "2001:db8::1"))
    assert name_class(names, "192.0.2.1") == "address:192.0.2.1"
    assert name_class(names, "2001:DB8:0::1") == name_class(names, "[2001:db8::1]") == "address:2001:db8::1"
    for other in ("192.0.2.2", "2001:db8::2", "192.0.2.1.5", "[192.0.2.1", "1", "2001:db8::1%eth0"):
        assert name_class(names, other) in (None, "address:192.0.2.1")
    assert name_class(Names(("192.0.2.1",)), "192.0.2.1") == "name:192.0.2.1", "which some write as a DNS name"


def test_without_sni_every_identity_of_every_certificate_counts() -> None:
    def nameless(*identities: tuple[str, ...]) -> str | None:
        return name_class(Names((), identities=identities), None)

    told = [
        nameless(("ip:192.0.2.1",)),
        nameless(("ip:192.0.2.2",)),
        nameless(("ip:192.0.2.1", "ip:192.0.2.2")),
        nameless(("ip:192.0.2.1",), ("ip:192.0.2.2",)),
        nameless(("dns:a.example", "ip:192.0.2.1")),
        nameless(("dns:a.example",)),
        nameless(("dns:a.example",), ("dns:b.example",)),
        nameless(("dns:a.example", "dns:b.example")),
        nameless(("dns:a.example,b.example",)),
        nameless(("sha256:00",)),
    ]
    assert len(set(told)) == len(told)
    assert None not in told
    assert nameless(("ip:192.0.2.2", "ip:192.0.2.1")) == told[2]
    assert nameless(("ip:192.0.2.2",), ("ip:192.0.2.1",)) == told[3]
    assert told[5] == name_class(Names(("a.example",)), None) == "certificate:a.example", "as 0.1.0 names it"
    assert nameless(("ip:192.0.2.1",), ("dns:a.example", "dns:b.example")) == RECORDED_CLASS


def test_a_certificate_of_which_nothing_is_known_shares_nothing() -> None:
    assert name_class(Names(()), None) is None
    assert name_class(Names((), identities=((),)), None) is None
    assert name_class(Names((), identities=(("ip:192.0.2.1",), ())), None) is None


def test_a_client_cannot_name_itself_into_another_class() -> None:
    for forged in ("certificate:shop.example", "listed:shop.example,www.shop.example", "name:shop.example"):
        assert name_class(NAMES, forged) is None
        assert name_class(Names(certificate=(forged,)), forged) == "name:" + forged


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("shop.example", "shop.example", True),
        ("Shop.Example", "sHOP.eXAMPLE", True),
        ("*.shop.example", "a.shop.example", True),
        ("*.shop.example", "a.b.shop.example", False),
        ("*.shop.example", "shop.example", False),
        ("*.shop.example", ".shop.example", False),
        ("a*.shop.example", "ab.shop.example", False),
        ("*", "localhost", False),
        ("*.", "localhost", False),
        ("shop.example", "sho.example", False),
    ],
)
def test_a_wildcard_stands_for_exactly_one_label(pattern: str, name: str, covered: bool) -> None:
    assert covers([pattern], name) is covered


def test_only_ascii_letters_have_cases() -> None:
    kelvin = "\N{KELVIN SIGN}iosk.example"
    assert kelvin.lower() == "kiosk.example"
    assert normal_name(kelvin) != "kiosk.example"
    assert name_class(Names(certificate=("kiosk.example",)), kelvin) is None


@given(st.text(max_size=80))
def test_any_sni_is_answered(sni: str) -> None:
    assert name_class(NAMES, sni) in (None, "name:" + normal_name(sni), "listed:shop.example,www.shop.example")


def test_a_chain_stays_out_of_repr() -> None:
    assert "leaf" not in repr(SECURITY)
