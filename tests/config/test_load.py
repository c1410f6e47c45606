"""`load` returns what holds, or names every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcache.config import load
from meshcache.config.load import FILE_BYTES_MAX, read_config
from meshcache.core.policy.gates import Reach, ReachKind
from meshcache.errors import ConfigError

DESIGN_EXAMPLE = """
[node]
name = "edge-1"
colo = "ams1"
state_dir = "state"

[mesh]
name = "prod"
key_file = "mesh.key"
listen = "0.0.0.0:7946"
mdns = true
interfaces = ["10.0.0.4"]
seeds = ["10.0.0.7:7946", "dns:mesh.prod.svc:7946"]

[cache]
max_sessions = 100_000
max_bytes = "64MiB"

[admin]
socket = "state/admin.sock"
http = "127.0.0.1:9946"

[[vip]]
name = "shop"
listen = ["0.0.0.0:443"]
certificate = "shop.pem"
private_key = "shop.key"
names = ["shop.example"]
backend = "127.0.0.1:8080"
proxy_protocol = false

[vip.sharing]
bind = "name"
group = "storefront"
reach = "colo"
client_certificates = "never"
lifetime_s = 3600
lineage_s = 86400
quota = "25%"
"""


def faults_of(path: Path, text: str, *overrides: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return caught.value.faults


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "meshcache.toml"


def test_the_example_of_the_manual_is_read_as_written(file: Path) -> None:
    file.write_text(DESIGN_EXAMPLE)
    settings = load(file)
    shop = settings.vips[0]
    assert settings.node.colo == "ams1"
    assert settings.mesh.seeds == ("10.0.0.7:7946", "dns:mesh.prod.svc:7946")
    assert settings.cache.max_bytes == 64 * 2**20
    assert shop.group == "storefront"
    assert shop.sharing.reach == Reach(ReachKind.COLO)
    assert shop.sharing.quota == 0.25


def test_relative_paths_count_from_the_file_and_not_from_where_the_command_runs(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(DESIGN_EXAMPLE)
    monkeypatch.chdir("/")
    settings = load(file)
    assert settings.mesh.key_file == file.parent / "mesh.key"
    assert settings.admin.socket == file.parent / "state/admin.sock"
    assert settings.vips[0].certificate == file.parent / "shop.pem"


def test_an_empty_file_is_a_node_with_defaults(file: Path) -> None:
    file.write_text("")
    settings = load(file)
    assert settings.vips == ()
    assert settings.mesh.key_file == file.parent / "mesh.key"
    assert not settings.mesh.mdns


def test_every_fault_is_named_at_once(file: Path) -> None:
    faults = faults_of(
        file,
        """
        [node]
        name = "edge 1"
        colour = "ams1"
        [mesh]
        listen = "localhost"
        mdns = "yes"
        [cache]
        max_bytes = "64MoB"
        max_sessions = 0
        [[vip]]
        name = "shop"
        reach = "colo"
        [vip.sharing]
        reach = "wide"
        quota = "150%"
        [[vip]]
        min_tls = "1.1"
        backend = "127.0.0.1"
        """,
    )
    places = [fault.partition(": ")[0] for fault in faults]
    assert places == [
        "node.name",
        "node.colour",
        "mesh.listen",
        "mesh.mdns",
        "cache.max_sessions",
        "cache.max_bytes",
        "vip[0].sharing.reach",
        "vip[0].sharing.quota",
        "vip[0].reach",
        "vip[1].name",
        "vip[1].backend[0]",
        "vip[1].min_tls",
    ]


def test_a_broken_vip_does_not_hide_what_is_wrong_between_the_others(file: Path) -> None:
    faults = faults_of(file, '[[vip]]\nname = "a"\n[[vip]]\nname = "a"\n[[vip]]\nname = "b"\nmin_tls = 2\n')
    assert [fault.partition(": ")[0] for fault in faults] == ["vip[2].min_tls", "vip[1].name"]


def test_a_syntax_fault_names_file_line_and_column(file: Path) -> None:
    assert faults_of(file, '[node]\nname = "edge-1\n')[0].startswith(f"{file}, line 2, column 15: not TOML: ")


def test_a_file_that_ends_too_soon_is_told_so(file: Path) -> None:
    assert faults_of(file, "[node]\nname =")[0].startswith(f"{file}, at its end: not TOML: ")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"# " + b"x" * FILE_BYTES_MAX, b"x = " + b"[" * 100_000, b"x = " + b"9" * 5000]
)
def test_what_is_no_configuration_is_refused_whole(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"UTF-8|MiB|too deep, or too large"):
        load(file)


def test_a_number_without_end_is_a_fault_and_not_a_crash(file: Path) -> None:
    (fault,) = faults_of(file, f"[cache]\nmax_sessions = 0x{'f' * 9000}\n")
    assert fault.startswith("cache.max_sessions: ")
    assert fault.endswith("a number of that many digits")


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="meshcache init"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="can't be read: is a directory"):
        load(tmp_path)


def test_what_was_read_once_is_not_read_again(file: Path) -> None:
    file.write_text('[node]\nname = "edge-1"\nstate_dir = "state"\n')
    content = read_config(file)
    file.write_text("no TOML")
    settings = load(file, ["node.colo=ams1"], content=content)
    assert (settings.node.name, settings.node.colo) == ("edge-1", "ams1")
    assert settings.node.state_dir == file.parent / "state"
    with pytest.raises(ConfigError, match="not TOML"):
        load(file, content=b"no TOML")
