"""Defaults that follow from other values, and settings that a program builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from meshcache.config import (
    CacheSettings,
    MeshSettings,
    NodeSettings,
    Settings,
    SharingSettings,
    VipSettings,
    changed_keys,
    load,
    needs_restart,
)
from meshcache.config.settings import default_node_name
from meshcache.errors import ConfigError
from tests.config.test_load import faults_of


def test_two_nodes_of_one_file_have_state_and_socket_of_their_own(file: Path) -> None:
    file.write_text("")
    one, two = load(file, ["node.name=edge-1"]), load(file, ["node.name=edge-2"])
    assert one.node.state_dir == file.parent / "state/edge-1"
    assert one.admin.socket == file.parent / "state/edge-1/admin.sock"
    assert one.admin.socket != two.admin.socket


def test_without_a_state_folder_there_is_a_socket_only_where_one_is_named(file: Path) -> None:
    file.write_text("")
    nowhere = load(file, ["node.state_dir=false"])
    assert (nowhere.node.state_dir, nowhere.admin.socket) == (None, None)
    assert load(file, ["node.state_dir=false", "admin.socket=/run/a.sock"]).admin.socket == Path("/run/a.sock")


def test_the_socket_moves_with_the_state_folder_even_beside_other_admin_settings(file: Path) -> None:
    file.write_text('[node]\nstate_dir = "var"\n[admin]\nhttp = "127.0.0.1:9946"\n')
    assert load(file).admin.socket == file.parent / "var/admin.sock"


def test_the_socket_can_be_turned_off(file: Path) -> None:
    file.write_text("[admin]\nsocket = false\n")
    assert load(file).admin.socket is None


def test_mdns_speaks_where_the_mesh_listens_unless_that_is_everywhere(file: Path) -> None:
    file.write_text('[mesh]\nlisten = "127.0.0.1:0"\n')
    mesh = load(file).mesh
    assert (mesh.mdns, mesh.interfaces) == (True, ("127.0.0.1",))
    file.write_text('[mesh]\nlisten = "0.0.0.0:7946"\nmdns = true\n')
    assert "mesh.interfaces" in faults_of(file, file.read_text())[0]


def test_a_program_can_build_settings_and_is_held_to_the_same_checks() -> None:
    settings = Settings(
        node=NodeSettings(name="a"),
        cache=CacheSettings(max_sessions=10),
        vip=(VipSettings(name="shop"), VipSettings(name="pay", sharing=SharingSettings(quota=0.25))),
    )
    assert settings.admin.socket is None  # nobody asked for files in the program's folder
    assert settings.quota_of("pay") == 0.25
    assert settings.quota_of("shop") == 0.75
    with pytest.raises(ConfigError, match="a name of its own"):
        Settings(vip=(VipSettings(name="shop"), VipSettings(name="shop")))


def test_a_socket_path_that_unix_could_not_bind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "meshcache.toml"
    (fault,) = faults_of(file, f'[node]\nname = "n"\nstate_dir = "/{"x" * 97}"\n')
    assert fault.startswith("admin: socket is 109 bytes long")
    file.write_text(f'[node]\nname = "n"\nstate_dir = "/{"x" * 95}"\n')
    assert load(file).admin.socket is not None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "meshcache.toml"


@pytest.mark.parametrize(
    "host,name",
    [
        ("edge-1.ams.example", "edge-1.ams.example"),
        ("Büro PC", "B-ro-PC"),
        ("-x-", "x"),
        ("", "node"),
        ("a" * 70, "a" * 64),
    ],
)
def test_the_default_name_is_the_hosts_made_fit(monkeypatch: pytest.MonkeyPatch, host: str, name: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert default_node_name() == name
    assert NodeSettings().name == name


def test_a_vip_is_found_by_its_name() -> None:
    settings = Settings(vip=(VipSettings(name="shop"), VipSettings(name="pay")))
    found = settings.vip("pay")
    assert found is settings.vips[1]
    assert settings.vip("py") is None


def test_what_needs_a_restart_stays_as_it_is_in_a_node_that_runs() -> None:
    running = Settings(
        node=NodeSettings(name="edge-1"),
        mesh=MeshSettings(name="prod", listen="127.0.0.1:1", seeds=["127.0.0.1:2"]),
    )
    other = Settings(
        node=NodeSettings(name="edge-2"),
        mesh=MeshSettings(name="test", listen="127.0.0.1:3", advertise="10.0.0.4:1", seeds=["127.0.0.1:4"]),
        vip=[VipSettings(name="shop")],
    )
    taken = other.without_restart(running)
    assert (taken.node, taken.admin) == (running.node, running.admin)
    assert (taken.mesh.name, taken.mesh.listen, taken.mesh.advertise) == ("prod", "127.0.0.1:1", None)
    assert (taken.mesh.seeds, taken.vips) == (other.mesh.seeds, other.vips)


def test_options_are_of_a_hook_that_is_named() -> None:
    hooks = {"policies": ["same_region"], "options": {"same_region": {"max_age_s": 60}}}
    settings = Settings.model_validate({"hooks": hooks})
    assert settings.hooks.options_of("same_region") == {"max_age_s": 60}
    assert settings.hooks.options_of("other") == {}
    with pytest.raises(ValidationError, match="no hook is named statsd here; there is: same_region"):
        Settings.model_validate({"hooks": hooks | {"options": {"statsd": {}}}})


def test_hooks_change_with_a_restart_only() -> None:
    running, taken = Settings(), Settings.model_validate({"hooks": {"observers": ["statsd"]}})
    assert taken.without_restart(running).hooks == running.hooks
    assert needs_restart(changed_keys(running, taken)) == ["hooks.observers"]


def test_where_one_string_will_do_a_list_may_be_a_string() -> None:
    mesh = {"seeds": "127.0.0.1:2", "interfaces": "127.0.0.1"}
    hooks = {"policies": "one", "discoveries": "two", "observers": "three", "tiers": "four"}
    made = Settings.model_validate({"mesh": mesh, "hooks": hooks})
    assert (made.mesh.seeds, made.mesh.interfaces) == (("127.0.0.1:2",), ("127.0.0.1",))
    named = (made.hooks.policies, made.hooks.discoveries, made.hooks.observers, made.hooks.tiers)
    assert named == (("one",), ("two",), ("three",), ("four",))
