"""Each kind of value, on both sides of its borders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshcache.config import read_settings, values
from meshcache.core.policy.gates import Reach, ReachKind
from meshcache.errors import ConfigError


@pytest.mark.parametrize(
    "parse,plain,value",
    [
        (values.parse_name, "edge-1.ams_1", "edge-1.ams_1"),
        (values.parse_name, "a" * 64, "a" * 64),
        (values.parse_host_name, "Shop.Example.", "shop.example"),
        (values.parse_bind, "0.0.0.0:443", "0.0.0.0:443"),
        (values.parse_bind, "[::]:0", "[::]:0"),
        (values.parse_bind, "[0:0::1]:65535", "[::1]:65535"),
        (values.parse_target, "App.internal:8080", "app.internal:8080"),
        (values.parse_target, "[::1]:80", "[::1]:80"),
        (values.parse_backend, "10.0.0.6:80", "10.0.0.6:80"),
        (values.parse_backend, "App:80  weight=03", "app:80 weight=3"),
        (values.parse_backend, "[::1]:80 weight=256", "[::1]:80 weight=256"),
        (values.parse_backend, "unix:/run/a b.sock", "unix:/run/a b.sock"),
        (values.parse_backend, "unix:/run/b.sock weight=0", "unix:/run/b.sock weight=0"),
        (values.parse_seed, "dns:mesh.prod.svc:7946", "dns:mesh.prod.svc:7946"),
        (values.parse_seed, "10.0.0.7:7946", "10.0.0.7:7946"),
        (values.parse_hook, "same_region", "same_region"),
        (values.parse_hook, "shop.hooks:SameRegion", "shop.hooks:SameRegion"),
        (values.parse_ip, "10.0.0.4", "10.0.0.4"),
        (values.parse_size, "64MiB", 64 * 2**20),
        (values.parse_size, "1.5 GiB", 3 * 2**29),
        (values.parse_size, "2kB", 2000),
        (values.parse_size, 4096, 4096),
        (values.parse_share, "25%", 0.25),
        (values.parse_share, "100 %", 1.0),
        (values.parse_share, 0.5, 0.5),
        (values.parse_reach, "server", Reach(ReachKind.SERVER)),
        (values.parse_reach, ["ams1", "fra1"], Reach(ReachKind.COLOS, frozenset({"ams1", "fra1"}))),
        (values.parse_reach, Reach(ReachKind.COLO), Reach(ReachKind.COLO)),
    ],
)
def test_what_is_right_is_read(parse: Callable[[object], object], plain: object, value: object) -> None:
    assert parse(plain) == value


@pytest.mark.parametrize("parse", [values.parse_bind, values.parse_target, values.parse_backend, values.parse_seed])
def test_a_port_that_is_too_large_is_called_that(parse: Callable[[object], object]) -> None:
    for port in ("65536", "70000", "9" * 5000):
        with pytest.raises(ValueError, match="a port that is too large; ports are 1 to 65535"):
            parse(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "parse,plain",
    [
        (values.parse_name, ""),
        (values.parse_name, "a" * 65),
        (values.parse_name, "edge 1"),
        (values.parse_name, "-edge"),
        (values.parse_name, "edge\n"),
        (values.parse_name, 1),
        (values.parse_host_name, "*.example"),
        (values.parse_host_name, "bücher.example"),
        (values.parse_host_name, "shop..example"),
        (values.parse_host_name, "-shop.example"),
        (values.parse_host_name, "x" * 64),
        (values.parse_host_name, 3),
        (values.parse_bind, "localhost:443"),
        (values.parse_bind, "10.0.0.1"),
        (values.parse_bind, "10.0.0.1:65536"),
        (values.parse_bind, "10.0.0.1:-1"),
        (values.parse_bind, "10.0.0.1:٣"),
        (values.parse_bind, "::1:443"),
        (values.parse_bind, "[10.0.0.1]:443"),
        (values.parse_bind, "300.0.0.1:443"),
        (values.parse_bind, 443),
        (values.parse_target, "app:0"),
        (values.parse_target, "0.0.0.0:80"),
        (values.parse_target, "app"),
        (values.parse_backend, "10.0.0.6:80 weight=257"),
        (values.parse_backend, "10.0.0.6:80 weight="),
        (values.parse_backend, "10.0.0.6:80 weight=-1"),
        (values.parse_backend, "10.0.0.6:80 weight=1.5"),
        (values.parse_backend, "10.0.0.6:80 weigth=2"),
        (values.parse_backend, "weight=2"),
        (values.parse_backend, "unix:run/b.sock weight=2"),
        (values.parse_backend, 80),
        (values.parse_hook, "shop/hooks.py"),
        (values.parse_hook, "shop:1"),
        (values.parse_hook, "a" * 201),
        (values.parse_hook, 7),
        (values.parse_seed, "dns:mesh"),
        (values.parse_seed, 7),
        (values.parse_ip, "eth0"),
        (values.parse_size, "64MoB"),
        (values.parse_size, -1),
        (values.parse_size, True),
        (values.parse_share, "0%"),
        (values.parse_share, "101%"),
        (values.parse_share, 25),
        (values.parse_share, True),
        (values.parse_share, float("nan")),
        (values.parse_reach, []),
        (values.parse_reach, ["ams 1"]),
        (values.parse_reach, "wide"),
        (values.parse_reach, None),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(parse: Callable[[object], object], plain: object) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse(plain)


def test_an_address_is_split_and_joined_without_loss() -> None:
    for address in ("10.0.0.1:443", "[::1]:443", "app.internal:80"):
        assert values.join_address(*values.split_address(address)) == address
    assert values.split_address("[::1]:443") == ("::1", 443)


def test_a_backend_has_a_weight_also_where_none_is_named() -> None:
    assert values.split_backend("unix:/run/a b.sock") == ("unix:/run/a b.sock", 1)
    assert values.split_backend(values.parse_backend("a:80 weight=7")) == ("a:80", 7)


def test_a_value_is_shown_short_and_without_control_characters() -> None:
    assert values.shown("a\x1b[31mb") == '"a?[31mb"'
    assert len(values.shown("x" * 1000)) == 60
    assert values.shown(True) == "true"
    assert values.shown(1 << 100_000) == "a number of that many digits"
    assert values.shown(["a"] * 100)[-3:] == "..."


def test_a_path_may_begin_with_systemds_folder_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/meshcache.service")
    plain = {"mesh": {"key_file": "$CREDENTIALS_DIRECTORY/mesh.key"}}
    assert read_settings(plain, Path("/etc")).mesh.key_file == Path("/run/credentials/meshcache.service/mesh.key")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(ConfigError, match=r"mesh\.key_file: .*LoadCredential="):
        read_settings(plain, Path("/etc"))
