"""Values that are right alone and wrong together are named, with both places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.config import read_settings
from meshcache.errors import ConfigError


def vip(name: str, *listen: str, sharing: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    pem = {"certificate": "x.pem", "private_key": "x.key"} if listen else {}
    return {"name": name, "listen": list(listen), "sharing": sharing or {}, **pem, **keys}


def faults_of(*vips: dict[str, Any], **tables: Any) -> list[str]:
    try:
        read_settings({"vip": list(vips), **tables}, Path("/"))
    except ConfigError as error:
        return error.faults
    return []


@pytest.mark.parametrize(
    "one,other",
    [
        ("0.0.0.0:443", "10.0.0.1:443"),
        ("10.0.0.1:443", "0.0.0.0:443"),
        ("[::]:443", "[::1]:443"),
    ],
)
def test_two_vips_on_one_address_are_refused_and_wildcards_count(one: str, other: str) -> None:
    assert faults_of(vip("a", one), vip("b", other)) == [
        f"vip[1].listen[0]: {other} is taken by vip[0].listen[0] ({one}); give it an address or port of its own"
    ]


@pytest.mark.parametrize(
    "one,other",
    [
        ("10.0.0.1:443", "10.0.0.2:443"),
        ("10.0.0.1:443", "10.0.0.1:443"),
        ("10.0.0.1:443", "10.0.0.1:444"),
        ("0.0.0.0:443", "[::]:443"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ],
)
def test_addresses_that_do_not_meet_are_fine(one: str, other: str) -> None:
    assert faults_of(vip("a", one), vip("b", other)) == []


def test_a_backend_that_is_our_own_listener_is_refused() -> None:
    for listen, target in (
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("0.0.0.0:8443", "127.0.0.1:8443"),
        ("[::]:8443", "[::1]:8443"),
        ("0.0.0.0:8443", "localhost:8443"),
    ):
        backend = ["unix:/run/b", f"{target} weight=2"]
        (fault,) = faults_of(vip("a", listen), vip("b", "10.0.0.1:444", backend=backend))
        assert fault.startswith(f"vip[1].backend[1]: {target} is where vip[0] of this file listens")
    assert faults_of(vip("a", "10.0.0.1:8443", backend="127.0.0.1:8443")) == []
    assert faults_of(vip("a", "0.0.0.0:8443", backend="app.internal:8443")) == []


def test_a_backend_is_named_once_and_one_of_them_gets_connections() -> None:
    (fault,) = faults_of(vip("a", backend=["10.0.0.1:80", "unix:/run/b", "10.0.0.1:80 weight=2"]))
    assert fault.startswith("vip[0].backend[2]: 10.0.0.1:80 is backend[0] already")
    (fault,) = faults_of(vip("a", backend=["10.0.0.1:80 weight=0", "10.0.0.2:80 weight=0"]))
    assert fault.startswith("vip[0].backend: every one has weight=0")
    assert faults_of(vip("a", backend=["10.0.0.1:80 weight=0", "10.0.0.2:80"])) == []


def test_one_vip_listens_once_on_an_address() -> None:
    (fault,) = faults_of(vip("a", "10.0.0.1:443", "10.0.0.1:443"))
    assert fault.startswith("vip[0].listen[1]: 10.0.0.1:443 is taken by vip[0].listen[0]")


def test_vips_of_one_address_have_one_default_and_one_answer_to_who_is_a_balancer() -> None:
    faults = faults_of(
        vip("a", "10.0.0.1:443", default=True),
        vip("b", "10.0.0.1:443", default=True, proxy_from="10.0.0.0/8"),
    )
    assert [fault.split(":")[0] for fault in faults] == ["vip[1].default", "vip[1].proxy_from"]


def test_the_mesh_and_the_admin_port_are_addresses_too() -> None:
    faults = faults_of(vip("a", "0.0.0.0:7946"), mesh={"listen": "10.0.0.1:7946"}, admin={"http": "127.0.0.1:7946"})
    assert [fault.split(":")[0] for fault in faults] == ["mesh.listen", "admin.http"]


@pytest.mark.parametrize("address", ["0.0.0.0:9946", "[::]:9946", "10.0.0.4:9946"])
def test_an_admin_port_that_others_reach_says_who_may_ask(address: str, tmp_path: Path) -> None:
    (fault,) = faults_of(vip("a"), admin={"http": address})
    assert fault.startswith(f"admin.http: {address} can be reached from other machines: set admin.token_file")
    for said in (False, "admin.token"):
        assert faults_of(vip("a"), admin={"http": address, "token_file": said}) == []
    assert faults_of(vip("a"), admin={"http": "[::1]:9946"}) == []
    (fault,) = faults_of(vip("a"), admin={"http": "127.0.0.1:9946", "certificate": "admin.pem"})
    assert fault.startswith("admin.private_key: is missing")


def test_names_are_given_once() -> None:
    assert faults_of(vip("a"), vip("b"), vip("a"))[0].startswith('vip[2].name: vip[0] is named "a" too')


def test_a_vip_that_listens_needs_a_certificate_and_its_key() -> None:
    faults = faults_of({"name": "a", "listen": ["10.0.0.1:443"]}, {"name": "b", "certificate": "b.pem"})
    assert [fault.split(":")[0] for fault in faults] == [
        "vip[0].certificate",
        "vip[0].private_key",
        "vip[1].private_key",
    ]


def test_the_responder_promises_no_protocol_that_it_does_not_speak() -> None:
    (fault,) = faults_of(vip("a", "10.0.0.1:443", alpn=["h2", "http/1.1", "h3"]))
    assert fault.startswith(
        'vip[0].alpn: VIP "a" has no backend, and the built-in responder does not speak "h2", "h3";'
    )
    assert faults_of(vip("a", "10.0.0.1:443", alpn=["http/1.1", "http/1.0"])) == []


def test_what_a_backend_or_an_attached_context_speaks_is_the_operators_business() -> None:
    assert faults_of(vip("a", "10.0.0.1:443", alpn=["h2", "smtp"], backend="127.0.0.1:8080")) == []
    assert faults_of(vip("a", alpn=["h2"])) == []


def test_quotas_fit_into_the_cache_and_leave_something_for_the_others() -> None:
    third = {"quota": "33.34%"}
    assert faults_of(*(vip(name, sharing={"quota": "50%"}) for name in "ab")) == []
    over = faults_of(*(vip(name, sharing=third) for name in "abc"))
    assert over == [
        "vip[2].sharing.quota: all quotas together are over 100% of the cache (33.34 + 33.34 + 33.34); lower one"
    ]
    nothing_left = faults_of(vip("a", sharing={"quota": "100%"}), vip("b"))
    assert nothing_left[0].startswith("vip[1].sharing.quota: the other quotas leave nothing")


@pytest.mark.parametrize(
    "keys,place,told",
    [
        ({"min_tls": "1.3"}, "vip[1].min_tls", 'is "1.3", but "1.2" in vip[0] ("a")'),
        ({"sharing": {"group": "g", "bind": "certificate"}}, "vip[1].sharing.bind", "certificate"),
        ({"client_auth": {"mode": "required", "ca_file": "ca.pem"}}, "vip[1].client_auth", "not asked for in vip[0]"),
    ],
)
def test_vips_of_one_group_agree_on_security(keys: dict[str, Any], place: str, told: str) -> None:
    group = {"sharing": {"group": "g"}}
    (fault,) = faults_of(vip("a", **group), vip("b", **(group | keys)))
    assert fault.startswith(place)
    assert told in fault
    assert faults_of(vip("a"), vip("b", **{key: value for key, value in keys.items() if key != "sharing"})) == []


def test_a_group_that_bears_another_vips_name_includes_that_vip() -> None:
    (fault,) = faults_of(vip("a", min_tls="1.3"), vip("b", sharing={"group": "a"}))
    assert fault.startswith("vip[1].min_tls")


def test_client_authentication_differs_by_mode_depth_and_revocation() -> None:
    auth = {"mode": "required", "ca_file": "ca.pem"}
    group = {"group": "g"}
    base = vip("a", client_auth=auth, sharing=group)
    assert faults_of(base, vip("b", client_auth=auth, sharing=group)) == []
    for other in ({"mode": "optional"}, {"depth": 2}, {"crl_file": "crl.pem"}):
        assert len(faults_of(base, vip("b", client_auth=auth | other, sharing=group))) == 1


@pytest.mark.parametrize("resumption", ["tickets", "both"])
def test_tickets_beside_a_policy_of_the_operators_are_refused(resumption: str) -> None:
    vips = vip("a"), vip("b", resumption=resumption)
    hooks = {"policies": ["same_region"]}
    told = (
        f"vip[1].resumption: is {resumption}, and a node with a sharing policy of its own can't ask it about tickets: "
        "set it to sessions"
    )
    assert faults_of(*vips, hooks=hooks) == [told]
    assert told in faults_of(*vips, hooks=hooks, node={"name": "-"})  # beside a mistake elsewhere
    assert faults_of(*vips, hooks={"observers": ["statsd"]}) == faults_of(vip("a"), hooks=hooks) == []
