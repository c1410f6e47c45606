"""`[[tickets.export]]`: what can be said, and what is refused with words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.config import Settings, changed_keys, read_settings
from meshcache.config.tickets import SETTLE_S_MAX
from meshcache.core.values.limits import Limits
from meshcache.errors import ConfigError

SHOP = {"name": "shop", "resumption": "tickets"}
NGINX = {"vip": "shop", "format": "nginx", "path": "/run/meshcache/shop"}


def read(*exports: dict[str, Any], vip: dict[str, Any] | None = None) -> Settings:
    plain = {"vip": [SHOP | (vip or {})], "tickets": {"export": list(exports)}}
    return read_settings(plain, Path("/etc/meshcache"))


def faults(*exports: dict[str, Any], vip: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(*exports, vip=vip)
    return raised.value.faults


def test_a_command_is_words_or_text_that_no_shell_sees() -> None:
    (export,) = read(NGINX | {"command": "sh -c 'nginx -t && nginx -s reload'"}).tickets.export
    assert export.command == ("sh", "-c", "nginx -t && nginx -s reload")
    (export,) = read(NGINX | {"command": ["nginx", "-s", "reload"]}).tickets.export
    assert export.command == ("nginx", "-s", "reload")
    (fault,) = faults(NGINX | {"command": "nginx 'x"})
    assert fault.startswith("tickets.export[0].command: ")
    assert faults(NGINX | {"command": [""]})
    assert faults(NGINX | {"command": ["a\0b"]})


def test_relative_paths_count_from_the_file() -> None:
    assert read(NGINX | {"path": "keys"}).tickets.export[0].path == Path("/etc/meshcache/keys")


def test_a_vip_whose_keys_may_not_leave_the_process_is_refused_with_the_reason() -> None:
    asks = {"client_auth": {"mode": "optional", "ca_file": "ca.pem"}}
    for vip, words in (
        ({"resumption": "sessions"}, "has no ticket keys"),
        ({"sharing": {"reach": "server"}}, "never leave this process"),
        (asks, "client certificates"),
        ({"name": "pay"}, 'no VIP "shop" in this file; there is: pay'),
    ):
        (fault,) = faults(NGINX, vip=vip)
        assert fault.startswith("tickets.export[0].vip: ")
        assert words in fault
    assert read(NGINX, vip={"resumption": "both"}).tickets.export


def test_two_exports_write_to_two_places() -> None:
    assert faults(NGINX, NGINX) == [
        "tickets.export[1].path: tickets.export[0] writes to /run/meshcache/shop too",
    ]


def test_a_server_that_takes_no_keys_is_named_as_such() -> None:
    (fault,) = faults(NGINX | {"format": "hitch"})
    assert fault.startswith("tickets.export[0].format: Hitch")
    assert 'must be "nginx", "haproxy", "openssl"' in faults(NGINX | {"format": "apache"})[0]


def test_the_runtime_socket_is_haproxys_and_one_of_two_ways() -> None:
    runtime = {"haproxy_socket": "/run/haproxy/admin.sock"}
    assert read(NGINX | {"format": "haproxy"} | runtime).tickets.export[0].haproxy_socket
    assert "is for format" in faults(NGINX | runtime)[0]
    assert "leave one out" in faults(NGINX | {"format": "haproxy", "command": "true"} | runtime)[0]
    assert "bytes long" in faults(NGINX | {"format": "haproxy", "haproxy_socket": "/" + "x" * 108})[0]


@pytest.mark.parametrize("path", ['/run/a"b', "/run/a b", "/run/a;b", "/run/a\nb", "/run/$a"])
def test_a_path_that_could_end_a_line_of_the_servers_file_is_refused(path: str) -> None:
    assert "leave out spaces and quotes" in faults(NGINX | {"path": path})[0]


def test_a_wrong_table_says_how_it_is_written() -> None:
    with pytest.raises(ConfigError) as raised:
        read_settings({"tickets": {"export": {"vip": "shop"}}}, Path("/"))
    assert "[[tickets.export]]" in raised.value.faults[0]


def test_no_server_goes_on_encrypting_with_a_key_for_longer_than_the_mesh_would() -> None:
    assert SETTLE_S_MAX + Limits().ticket_spread_s <= Limits().ticket_overrun_s


def test_exports_change_without_a_restart() -> None:
    assert changed_keys(read(), read(NGINX)) == ["tickets.export"]
    assert read(NGINX).without_restart(read()).tickets.export
