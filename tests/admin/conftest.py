"""One browser for all tests of a module: it takes a second to start."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.admin.chromium import Page, chromium


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
