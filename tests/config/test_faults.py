"""Faults are sentences for whoever wrote the file."""

# ruff: noqa: E501 - a fault is one line, here as on the screen

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.config import read_settings
from meshcache.config.faults import FAULTS_MAX, place
from meshcache.core.values.topology import VIPS_MAX
from meshcache.errors import ConfigError


def faults_of(plain: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings(plain, Path("/"))
    return caught.value.faults


def shop(**keys: Any) -> dict[str, Any]:
    return {"vip": [{"name": "shop", **keys}]}


@pytest.mark.parametrize(
    "plain,fault",
    [
        ({"vips": []}, 'vips: unknown key; did you mean "vip"?'),
        (shop(sharing={"quote": "1%"}), 'vip[0].sharing.quote: unknown key; did you mean "quota"?'),
        (shop(lifetime_s=1), "vip[0].lifetime_s: unknown key here; it belongs in [vip.sharing]"),
        ({"seeds": []}, "seeds: unknown key here; it belongs in [mesh]"),
        ({"node": {"zzz": 1}}, "node.zzz: unknown key; there is name, colo, state_dir"),
        ({"vip": [{}]}, 'vip[0].name: is missing; give one such as "shop"'),
        ({"node": "edge"}, 'node: must be a table, written as [node] with its keys below, not "edge"'),
        ({"vip": {"name": "shop"}}, 'vip: must be a list of tables, each written as [[vip]], not a table'),
        (shop(client_auth=1), "vip[0].client_auth: must be a table, written as [vip.client_auth] with its keys below, not 1"),
        (shop(client_auth={"ca_file": "x"}), 'vip[0].client_auth.mode: is missing; give one such as "required"'),
        (shop(proxy_protocol="yes"), 'vip[0].proxy_protocol: must be true or false, not "yes"'),
        (shop(listen=[1]), 'vip[0].listen[0]: an address to listen on looks like "0.0.0.0:8443" or "[::1]:8443", not 1'),
        (shop(listen=1), 'vip[0].listen: must be a list such as ["0.0.0.0:8443"], not 1'),
        (shop(ciphers=""), 'vip[0].ciphers: must be text that isn\'t empty such as "ECDHE+AESGCM", not ""'),
        (shop(min_tls="1.1"), 'vip[0].min_tls: must be "1.2" or "1.3", not "1.1"'),
        ({"cache": {"max_sessions": "9"}}, 'cache.max_sessions: must be a whole number such as 100000, not "9"'),
        ({"cache": {"max_sessions": 0}}, "cache.max_sessions: must be at least 1, not 0"),
        ({"server": {"idle_timeout_s": 0}}, "server.idle_timeout_s: must be above 0, not 0"),
        ({"server": {"drain_s": float("nan")}}, "server.drain_s: must be a number such as 10, not nan"),
        ({"mesh": {"key_file": 3}}, 'mesh.key_file: a path is text such as "state/admin.sock", not 3'),
        ({"mesh": {"seeds": ["h:1"] * 257}}, "mesh.seeds: has 257 entries; at most 256 fit"),
        ({"vip": [{"name": f"v{n}"} for n in range(VIPS_MAX + 1)]}, "vip: has 65 entries; at most 64 fit"),
        (shop(ciphers="x" * 4097), "vip[0].ciphers: is too long: at most 4096 characters"),
        (shop(alpn=["é"]), 'vip[0].alpn: a protocol is 1 to 255 ASCII characters, such as "http/1.1" (RFC 7301 section 3.1)'),
    ],
)  # fmt: skip
def test_a_fault_says_where_what_and_what_would_be_right(plain: dict[str, Any], fault: str) -> None:
    assert faults_of(plain) == [fault]


def test_a_bad_name_is_one_fault_and_not_its_consequences_too() -> None:
    assert len(faults_of({"node": {"name": "a b"}, "mesh": {"listen": "x"}})) == 2


def test_a_wrong_file_does_not_flood_the_screen() -> None:
    faults = faults_of({f"key{number}": 1 for number in range(FAULTS_MAX + 5)})
    assert len(faults) == FAULTS_MAX + 1
    assert faults[-1] == "and 5 more faults; is this the right file?"


def test_a_place_reads_as_the_file_does() -> None:
    assert place(("vip", 1, "sharing", "reach")) == "vip[1].sharing.reach"
