"""The dashboard's files and how they are served; `test_page` looks at them in a browser."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from tests.admin.snapshots import GeneratedNode

ROOT = Path(__file__).parent.parent.parent
STATIC = files("meshcache.admin").joinpath("static")


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    with AdminServer(GeneratedNode(), AdminSettings(socket=None, http="127.0.0.1:0")) as server:
        async with aiohttp.ClientSession(f"http://{server.http_address}") as session:
            yield session


async def test_the_page_comes_with_a_strict_policy_and_only_for_reading(session: aiohttp.ClientSession) -> None:
    for path in ("/", *(f"/static/{file.name}" for file in STATIC.iterdir())):
        async with session.get(path) as answer:
            assert answer.status == 200
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';")
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            tag = answer.headers["ETag"]
        async with session.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        async with session.get(path, headers={"If-None-Match": '"another"'}) as answer:
            assert answer.status == 200
        async with session.head(path) as answer:
            assert answer.status == 200
        async with session.post(path) as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    "path", ["/static/", "/static/../server.py", "/static/%2e%2e/server.py", "/static/x.js", "/index.html"]
)
async def test_only_the_named_files_are_served(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(URL(path, encoded=True)) as answer:
        assert answer.status == 404


async def test_a_page_elsewhere_whose_name_points_here_gets_nothing(session: aiohttp.ClientSession) -> None:
    """DNS rebinding would let any site that an operator visits read the mesh."""
    for path in ("/", "/v1/stream", "/metrics"):
        async with session.get(path, headers={"Host": "evil.example:9946"}) as answer:
            assert answer.status == 403


def own_files() -> dict[str, str]:
    return {file.name: file.read_text() for file in STATIC.iterdir() if not file.name.startswith("uPlot")}


def test_the_page_has_no_way_to_turn_text_into_markup() -> None:
    ways = re.compile(
        r"(inner|outer)HTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\b|new Function"
    )
    assert not {name for name, text in own_files().items() if ways.search(text)}
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", own_files()["index.html"])


def test_the_page_names_no_other_host() -> None:
    allowed = {"http://www.w3.org/2000/svg"}
    found = {link for text in own_files().values() for link in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text)}
    assert found <= allowed


def test_the_charts_library_is_the_release_with_its_licence() -> None:
    """uPlot 1.6.32 from the npm registry, unchanged."""
    digests = {
        "uPlot.esm.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    }
    assert {name: hashlib.sha256(STATIC.joinpath(name).read_bytes()).hexdigest() for name in digests} == digests
    assert "Permission is hereby granted, free of charge" in STATIC.joinpath("uPlot.LICENSE").read_text()


def test_every_file_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "static/*" in project["tool"]["setuptools"]["package-data"]["meshcache.admin"]
    assert all(file.is_file() for file in STATIC.iterdir()), "the pattern doesn't reach into folders"


def test_a_snapshot_fits_what_docs_say_it_holds() -> None:
    """The example in docs/watching.md is what a client may rely on, so the generated one has the same names."""
    page = (ROOT / "docs/watching.md").read_text()
    documented = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    node = GeneratedNode()
    node.advance(1)
    generated = node.stats()
    assert set(documented) == set(generated)
    for part in ("node", "cache", "gossip"):
        assert set(documented[part]) == set(generated[part]), part
    assert set(documented["vips"]["shop"]) == set(generated["vips"]["shop"])
    assert set(documented["policy"]["crossings"][0]) == set(generated["policy"]["crossings"][0])
