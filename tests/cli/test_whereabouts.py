"""What is read without pydantic is what the configuration says with it, and whatever isn't plain is left to that."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcache.cli.whereabouts import FILE_BYTES_MAX, plain_socket
from meshcache.config.load import load_whereabouts
from meshcache.errors import ConfigError

VIP = '[[vip]]\nname = "shop"\n'

PLAIN = [
    '[node]\nname = "edge-1"\n' + VIP,
    '[node]\nname = "edge-1"\ncolo = "ams1"\n[admin]\n',
    '[node]\nname = "edge-1"\nstate_dir = "kept/here"\n',
    '[node]\nname = "edge-1"\nstate_dir = "/dev/null"\n[admin]\nsocket = "a.sock"\n',
    '[node]\nname = "edge-1"\n[admin]\nsocket = "../beside/a.sock"\n' + VIP,
]

CAREFUL = [
    "",
    "[node\n",
    "node = 7\n",
    "[admin]\nsocket = 'admin.sock'\n",
    '[node]\nname = "{host}"\n',
    "[node]\nname = 7\n",
    '[node]\nname = "edge_1"\n',
    '[node]\nname = "edge-1\n"\n',
    '[node]\nname = "edge-1"\nnmae = "edge-2"\n',
    '[node]\nname = "edge-1"\ncolo = ""\n',
    '[node]\nname = "edge-1"\nstate_dir = false\n',
    '[node]\nname = "edge-1"\nstate_dir = ""\n',
    '[node]\nname = "edge-1"\nstate_dir = "state/{worker}"\n',
    '[node]\nname = "edge-1"\n[admin]\nsocket = false\n',
    '[node]\nname = "edge-1"\n[admin]\nsocket = "$CREDENTIALS_DIRECTORY/a.sock"\n',
    '[node]\nname = "edge-1"\n[admin]\nhttp = "127.0.0.1:9946"\n',
    '[node]\nname = "edge-1"\n[[admin]]\nsocket = "a.sock"\n',
    '[node]\nname = "edge-1"\n#' + "x" * FILE_BYTES_MAX,
]


@pytest.mark.parametrize("content", PLAIN)
def test_a_plain_file_is_read_as_the_configuration_would(content: str, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "meshcache.toml"
    file.parent.mkdir()
    file.write_text(content)
    assert plain_socket(file) is None, "there is none"
    socket = load_whereabouts(file).admin.socket
    assert socket is not None
    socket.parent.resolve().mkdir(parents=True, exist_ok=True)
    socket.parent.resolve().joinpath(socket.name).touch()
    assert plain_socket(file) == socket


@pytest.mark.parametrize("content", CAREFUL)
def test_any_other_is_left_to_the_configuration(content: str, tmp_path: Path) -> None:
    file = tmp_path / "meshcache.toml"
    file.write_text(content)
    for place in ("admin.sock", "a.sock", "state/edge-1/admin.sock", "state/edge_1/admin.sock", "state/0/admin.sock"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    assert plain_socket(file) is None


def test_no_file_is_left_to_it_too(tmp_path: Path) -> None:
    assert plain_socket(tmp_path / "meshcache.toml") is None
    with pytest.raises(ConfigError, match="no such file"):
        load_whereabouts(tmp_path / "meshcache.toml")
