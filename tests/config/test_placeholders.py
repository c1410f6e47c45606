from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache import ConfigError
from meshcache.config.load import read_settings
from meshcache.config.placeholders import filled_in
from meshcache.config.settings import default_node_name


def test_placeholders_are_filled_in_wherever_the_node_itself_is_told_of() -> None:
    plain = {"node": {"name": "{host}-{worker}"}, "mesh": {"seeds": ["{host}:1"]}, "admin": {"socket": "{pid}.sock"}}
    assert filled_in(plain, {"worker": 3}) == {
        "node": {"name": f"{default_node_name()}-3"},
        "mesh": {"seeds": [f"{default_node_name()}:1"]},
        "admin": {"socket": f"{os.getpid()}.sock"},
    }


def test_a_vip_is_the_same_on_every_server_and_other_braces_stay() -> None:
    plain = {"vip": [{"name": "{host}"}], "node": {"name": "{rack}"}}
    assert filled_in(plain, {}) == plain


def test_an_override_has_placeholders_too_and_an_unknown_one_is_a_fault() -> None:
    assert read_settings({}, Path("/"), ["node.name=web-{worker}"]).node.name == "web-0"
    with pytest.raises(ConfigError, match=r"node\.name"):
        read_settings({"node": {"name": "web-{rack}"}}, Path("/"))
