"""docs/configuration.md has every key with the default that holds, and its examples can be used."""

from __future__ import annotations

import json
import re
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from meshcache.config import (
    AdminSettings,
    CacheSettings,
    CertificateSettings,
    ClientAuthSettings,
    ExportSettings,
    HealthSettings,
    HooksSettings,
    LogSettings,
    MeshSettings,
    NodeSettings,
    ServerSettings,
    SharingSettings,
    VipSettings,
    read_settings,
)

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
TABLES: dict[str, type[BaseModel]] = {
    "## [node]": NodeSettings,
    "## [mesh]": MeshSettings,
    "## [cache]": CacheSettings,
    "## [admin]": AdminSettings,
    "## [server]": ServerSettings,
    "## [log]": LogSettings,
    "## [hooks]": HooksSettings,
    "## [[tickets.export]]": ExportSettings,
    "## [[vip]]": VipSettings,
    "### [[vip.more_certificates]]": CertificateSettings,
    "### [vip.health]": HealthSettings,
    "### [vip.client_auth]": ClientAuthSettings,
    "### [vip.sharing]": SharingSettings,
}


def rows(heading: str) -> dict[str, str]:
    """Key and default of each row of the table below `heading`."""
    section = re.split(r"\n#+ ", PAGE.split(f"\n{heading}\n")[1])[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_explained_and_none_that_does_not_exist(heading: str) -> None:
    inner = {"client_auth", "sharing", "more_certificates", "health"}  # tables of their own
    assert set(rows(heading)) == set(TABLES[heading].model_fields) - inner


@pytest.mark.parametrize("heading", TABLES)
def test_every_default_that_is_a_value_is_the_one_that_holds(heading: str) -> None:
    for key, told in rows(heading).items():
        default = TABLES[heading].model_fields[key].default
        if told.startswith("`") and default not in (None, PydanticUndefined):
            written = tomllib.loads(f"value = {told.strip('`')}")["value"]
            assert plain(read_settings(nested(heading, key, written), Path("/")), heading, key) == plain(
                read_settings(nested(heading, None, None), Path("/")), heading, key
            ), key


def nested(heading: str, key: str | None, value: Any) -> dict[str, Any]:
    table = heading.strip("#[] ")
    content = {} if key is None else {key: value}
    if table == "vip":
        return {"vip": [{"name": "x", **content}]}
    if table == "tickets.export":
        export = {"vip": "x", "format": "haproxy", "path": "/run/x", **content}
        return {"vip": [{"name": "x", "resumption": "tickets"}], "tickets": {"export": [export]}}
    if table.startswith("vip."):
        return {"vip": [{"name": "x", table.removeprefix("vip."): content}]}
    return {table: content}


def plain(settings: BaseModel, heading: str, key: str) -> Any:
    content: Any = settings
    for step in heading.strip("#[] ").split("."):
        content = {"vip": lambda at: at.vips[0], "export": lambda at: at.export[0]}.get(step, attrgetter(step))(content)
    return getattr(content, key)


def test_the_example_of_a_whole_file_is_right() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    settings = read_settings(tomllib.loads(example), Path("/etc/meshcache"))
    assert settings.vips[0].group == "storefront"
    assert json.loads(settings.mesh.model_dump_json())["seeds"] == ["10.0.0.7:7946", "dns:mesh.prod.svc:7946"]


def test_the_overrides_that_are_shown_work() -> None:
    overrides = re.findall(r"`--set '?([^`']+)'?`", PAGE)
    assert "node.name=edge-2" in overrides
    plain_file = {"vip": [{"name": "shop", "certificate": "x", "private_key": "x"}]}
    settings = read_settings(plain_file, Path("/"), [each for each in overrides if each != "KEY=VALUE"])
    assert settings.vips[0].listen == ("10.0.0.4:443",)
