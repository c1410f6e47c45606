"""What the admin interface's tests share: a plain node behind its sockets, and one browser for a module (a second to
start)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from meshcache.admin.client import AdminClient
from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from tests.admin.chromium import Page, chromium
from tests.admin.nodes import PlainNode


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Page]:
    async with chromium() as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Page) -> Page:
    await browser.goto("about:blank")
    await browser.look()
    browser.requests.clear()
    browser.console.clear()
    return browser


@pytest.fixture
def node() -> PlainNode:
    return PlainNode()


@pytest.fixture
def server(node: PlainNode, tmp_path: Path) -> Iterator[AdminServer]:
    settings = AdminSettings(socket=tmp_path / "state/admin.sock", http="127.0.0.1:0")
    with AdminServer(node, settings) as running:
        yield running


@pytest.fixture
def client(server: AdminServer, tmp_path: Path) -> AdminClient:
    return AdminClient(tmp_path / "state/admin.sock")
