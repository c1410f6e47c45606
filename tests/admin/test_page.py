"""The dashboard page in a real browser, against the real admin server: its numbers, its manners, its looks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from tests.admin.chromium import Page
from tests.admin.numbers import LIVE, NUMBERS, expected, opened, same
from tests.admin.snapshots import REFUSAL, GeneratedNode

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = "<img src=x onerror=\"globalThis.broken='in'\">\u202e</bdi><script>globalThis.broken='in'</script>"


@pytest.fixture
def node() -> GeneratedNode:
    """Some busy minutes, then silence: what the page shows must be what the node says."""
    node = GeneratedNode()
    for _ in range(30):
        node.advance(1)
    node.happen("PeerJoined", "info", "edge-6", "fra1", "edge-6 (fra1) joined")
    return node


@contextmanager
def serving(node: GeneratedNode, http: str = "127.0.0.1:0") -> Iterator[str]:
    with AdminServer(node, AdminSettings(socket=None, http=http)) as server:
        assert server.http_address is not None
        yield server.http_address


async def fetched(address: str, path: str = "/v1/stats") -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return await answer.json()


async def test_every_number_on_the_page_is_the_one_that_stats_gives(page: Page, node: GeneratedNode) -> None:
    node.vips["pay"]["lookups"]["refused"] = {"der": 2}
    node.vips["pay"]["lookups"]["hit_not_resumed"] = 5
    node.gossip["dropped"] = {"malformed": 3}
    node.lose("edge-4")
    node.trouble()
    with serving(node) as address:
        await opened(page, address)
        stats = await fetched(address)
        numbers = await page.evaluate(NUMBERS)
        shown = {str({key: of[key] for key in of if key != "value"}) for of in numbers}
        assert len(shown) == len(numbers), "two places of one number need two names"
        for of in numbers:
            assert same(of["value"], expected(stats, of)), of
        keys = {of["key"] for of in numbers}
        assert keys >= {
            "front.connections.open",
            "connects",
            "failures",
            "open",
            "ends_in_s",
            "count",
            "front.bytes.sent",
        }
        assert keys >= {"resumed", "from_peers", "members", "gossip.lag_ms.p99", "cache.bytes", "node.name"}
        assert keys >= {"handshakes.full", "handshakes.resumed", "lookups.hit_not_resumed", "lookups.refused", "rtt_ms"}
        assert keys >= {"queue", "last_seen_s", "entries", "bytes", "sessions", "gossip.dropped.malformed"}
        assert {of["member"] for of in numbers if of["key"] == "queue"} == {peer["name"] for peer in stats["peers"]}
        assert {of["vip"] for of in numbers if of["key"] == "entries"} == set(stats["vips"])
        assert len([of for of in numbers if of.get("way")]) == len(stats["policy"]["crossings"])


async def test_tiles_say_the_same_in_words(page: Page, node: GeneratedNode) -> None:
    node.lose("edge-4")
    with serving(node) as address:
        await opened(page, address)
        tile = "document.getElementById('tile-{}').innerText.replaceAll('\\n', ' ')"
        assert re.search(r"Members +5 ?of 6", await page.evaluate(tile.format("members")))
        assert re.search(r"Resumed +8\d\.\d ?%", await page.evaluate(tile.format("resumed")))
        assert "edge-4 in fra1 is lost" in await page.evaluate("document.getElementById('verdict').innerText")
        assert await page.evaluate("document.getElementById('verdict').dataset.level") == "bad"


async def test_trouble_before_and_behind_the_node_is_said_in_sentences(page: Page, node: GeneratedNode) -> None:
    with serving(node) as address:
        await opened(page, address)
        verdict = "document.getElementById('verdict').innerText"
        shown = "document.getElementById('{}').getClientRects().length > 0"
        assert "every backend is up" in await page.evaluate(verdict)
        assert not await page.evaluate(shown.format("refusals"))
        node.trouble()
        await page.until(f"/5 things|4 things/.test({verdict})")
        said = await page.evaluate(verdict)
        assert "Backend 10.0.0.22:8080 of shop is down: its clients get another one." in said
        assert "The certificate of checkout for checkout.example ends in 9 days." in said
        assert 'changed nothing: vip[0].sharing.reach: no colo named "fra2"' in said
        assert "edge-9 isn\u2019t heard: it bears the name of another node that lives." in said
        assert "give each node a node.name" in await page.evaluate("document.getElementById('refusals').innerText")
        assert node.front is not None
        node.front["backends"][0]["weight"] = 0  # drained, it is no help to the other's clients
        await page.until(f"{verdict}.includes('Backend 10.0.0.22:8080 of shop is down, and no other is up.')")
        node.front = None
        await page.until(f"!({shown.format('front')}) && !({shown.format('tile-open')})")


async def test_old_numbers_are_never_called_well(page: Page, node: GeneratedNode) -> None:
    """A node that hangs holds the connection open and says nothing, as one that is stopped does."""
    verdict = "document.getElementById('verdict').innerText"
    with serving(node) as address:
        await opened(page, address)
        assert "All well" in await page.evaluate(verdict)
        node.hangs = True
        await page.evaluate(
            "{ const now = performance.now.bind(performance); performance.now = () => now() + 60_000; }"
        )
        await page.until(f"/^No answer from edge-1 since \\d/.test({verdict})")
        assert "Everything below is from then" in await page.evaluate(verdict)
        assert "All well" not in await page.evaluate("document.body.innerText")
        assert await page.evaluate("document.getElementById('verdict').dataset.level") == "bad"
        assert (await page.evaluate("document.title")).startswith("no answer")
        node.hangs = False
        await page.until(f"/^All well/.test({verdict})")


LABELS = r"""{ globalThis.labels = []; const draw = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (words, x, ...rest) {
    if (/^\d+:\d+/.test(words)) {
      const half = this.measureText(words).width / 2 / devicePixelRatio;
      const middle = x / devicePixelRatio;
      labels.push([words, middle - half, middle + half, this.canvas.width / devicePixelRatio]);
    }
    return draw.call(this, words, x, ...rest);
  }; }"""


@pytest.mark.slow
async def test_no_label_of_time_is_cut(page: Page, node: GeneratedNode) -> None:
    with serving(node) as address:
        await opened(page, address)
        await page.evaluate(LABELS)
        moving = asyncio.create_task(traffic(node, 1.7))  # so that a tick is everywhere once
        try:
            await page.until("labels.length > 120")
        finally:
            moving.cancel()
        for words, left, right, wide in await page.evaluate("labels"):
            assert 0 <= left < right <= wide, words


async def test_the_page_follows_the_node_and_works_out_rates(page: Page, node: GeneratedNode) -> None:
    with serving(node) as address:
        await opened(page, address)
        before = float(await page.evaluate("document.body.dataset.uptime"))
        cell = "[...document.querySelectorAll('#policy td')].find((td) => td.dataset.verdict === 'allowed').innerText"
        moving = asyncio.create_task(traffic(node))
        try:
            await page.until(f"Number(document.body.dataset.uptime) > {before}")
            await page.until(f"/[1-9][\\d.]*\\/s/.test({cell})")
            await page.until("/resumed [1-9]/.test(document.querySelector('#vips .chart').getAttribute('aria-label'))")
        finally:
            moving.cancel()
        refused = "[...document.querySelectorAll('#policy td[data-verdict=other_group]')]"
        assert "other group" in await page.evaluate(f"{refused}[0].innerText")


async def traffic(node: GeneratedNode, seconds: float = 0.2) -> None:
    while True:
        node.advance(seconds)
        await asyncio.sleep(0.2)


async def test_it_says_that_the_node_is_away_and_comes_back_by_itself(page: Page, node: GeneratedNode) -> None:
    with serving(node) as address:
        await opened(page, address)
        assert not page.console
    await page.until("document.body.dataset.link === 'away'")
    await page.until("/No answer/.test(document.getElementById('link').innerText)")
    await page.until("/^No answer from edge-1/.test(document.getElementById('verdict').innerText)")
    again = GeneratedNode()
    again.advance(2)
    with serving(again, address):
        await page.until("document.body.dataset.link === 'live' && Number(document.body.dataset.uptime) === 2")
        stats = await fetched(address)
        for of in await page.evaluate(NUMBERS):
            assert same(of["value"], expected(stats, of)), of
        assert await page.evaluate("document.getElementById('link').innerText") == "Live"
    assert not [line for line in page.console if not line.startswith("network:")], "only the browser's own words"


async def test_a_hidden_tab_gives_its_place_back_and_catches_up(page: Page, node: GeneratedNode) -> None:
    """Six tabs of one host are all that a browser connects, and a node has places for sixteen."""
    hide = "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}})"
    change = "document.dispatchEvent(new Event('visibilitychange'))"
    with serving(node) as address:
        await opened(page, address)
        asked = len(page.requests)
        await page.evaluate(f"{hide.format('true')}; {change}")
        await page.until("document.body.dataset.link === 'away'")
        node.advance(30)
        await page.evaluate(f"{hide.format('false')}; {change}")
        await page.until(f"{LIVE} === '{node.uptime_s:g}'")
        assert [urlsplit(request).path for request in page.requests[asked:]] == ["/v1/stream"]


async def test_it_asks_nobody_else_and_complains_of_nothing(page: Page, node: GeneratedNode) -> None:
    with serving(node) as address:
        await opened(page, address)
        await page.look(width=390, height=844, dark=True)
        await page.until("document.documentElement.clientWidth === 390")
        hosts = {urlsplit(request).netloc for request in page.requests}
        assert hosts == {address}
        assert page.console == []


async def test_hostile_names_are_only_text(page: Page, node: GeneratedNode) -> None:
    peer = node.peers_plain[0]
    peer.update(name=HOSTILE, colo=HOSTILE, islands=[{"group": HOSTILE, "differs": HOSTILE}])
    node.peers_plain.append({**node.peers_plain[1], "name": "__proto__", "colo": "constructor"})
    for key in ("from_vip", "from_colo", "to_vip", "to_colo", "verdict"):
        node.crossings[0][key] = HOSTILE
    node.vips[HOSTILE], node.vips["__proto__"] = node.vips["pay"], node.vips["pay"]
    node.gossip["dropped"] = {HOSTILE: 1}
    assert node.front is not None
    node.front["backends"][0].update(vip=HOSTILE, backend=HOSTILE)
    node.front["certificates"][0].update(vip=HOSTILE, name=HOSTILE)
    node.refusals = [{**REFUSAL, "node": HOSTILE, "address": HOSTILE, "text": HOSTILE, "do": HOSTILE}]
    node.happen(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    with serving(node) as address:
        await opened(page, address)
        assert await page.evaluate("globalThis.broken") is None
        assert await page.evaluate("document.querySelectorAll('main img, main script').length") == 0
        for place in ("members", "policy", "events", "cache", "gossip", "verdict", "vips", "front", "refusals"):
            assert "<img src=x" in await page.evaluate(f"document.getElementById('{place}').innerText"), place
        names = await page.evaluate(
            "[...document.querySelectorAll('#members tr[data-member]')].map((row) => row.dataset.member)"
        )
        assert {HOSTILE, "__proto__"} <= set(names)
        assert page.console == []


async def test_the_browser_itself_would_stop_an_inline_script(page: Page, node: GeneratedNode) -> None:
    with serving(node) as address:
        await opened(page, address)
        await page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'broken = 1'}))"
        )
        assert await page.evaluate("globalThis.broken") is None
        assert any("Content Security Policy" in line for line in page.console)


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
async def test_nothing_sticks_out_at_any_width(page: Page, node: GeneratedNode, width: int) -> None:
    node.peers_plain[0]["name"] = "n" * 64
    node.trouble()
    with serving(node) as address:
        await page.look(width=width, height=844)
        await opened(page, address)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        charts = await page.evaluate("[...document.querySelectorAll('.chart canvas')].map((of) => of.clientWidth)")
        assert len(charts) == len(node.vips) + 3
        assert all(100 < chart < width for chart in charts)


CONTRASTS = """(() => {
  const rgb = (css) => css.match(/[\\d.]+/g).map(Number);
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (node) => {
    const back = rgb(getComputedStyle(node).backgroundColor);
    return back.length < 4 || back[3] > 0 ? back : behind(node.parentElement);
  };
  const written = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  const all = [...document.querySelectorAll('body *')];
  const shown = all.filter((node) => written(node) && node.getClientRects().length);
  const contrast = (node) => {
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), node.textContent.slice(0, 30)];
  };
  return shown.map(contrast).sort((x, y) => x[0] - y[0]);
})()"""


@pytest.mark.parametrize("dark", [False, True])
async def test_text_can_be_read_in_both_schemes(page: Page, node: GeneratedNode, dark: bool) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 to 1 at least."""
    node.lose("edge-4")
    node.trouble()
    node.peers_plain[0].update(state="suspect", islands=[{"group": "pay", "differs": "client_auth"}])
    node.gossip["dropped"] = {"malformed": 3}
    with serving(node) as address:
        await page.look(dark=dark)
        await opened(page, address)
        contrasts = await page.evaluate(CONTRASTS)
        assert len(contrasts) > 60
        assert contrasts[0][0] >= 4.5, contrasts[:5]
        luminance = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", luminance)[:3])) < 200) is dark


async def test_it_can_be_read_without_eyes(page: Page, node: GeneratedNode) -> None:
    with serving(node) as address:
        await opened(page, address)
        unnamed = ":is(.chart, section):not([aria-label], [aria-labelledby])"
        assert await page.evaluate(f"document.querySelectorAll('{unnamed}').length") == 0
        assert await page.evaluate("[...document.querySelectorAll('th')].filter((th) => !th.scope).length") == 0
        assert await page.evaluate("document.querySelectorAll('h1').length") == 1
        assert await page.evaluate("document.documentElement.lang") == "en"
        tree = (await page.send("Accessibility.getFullAXTree"))["nodes"]
        roles = {node_["role"]["value"] for node_ in tree if "role" in node_}
        assert {"main", "banner", "heading", "table", "rowheader", "columnheader", "status"} <= roles


async def test_a_node_alone_with_no_traffic_is_shown_without_a_fault(page: Page) -> None:
    node = GeneratedNode()
    node.vips, node.peers_plain, node.crossings = {}, [], []
    with serving(node) as address:
        await opened(page, address)
        assert "No other member yet" in await page.evaluate("document.getElementById('verdict').innerText")
        assert "\u2013" in await page.evaluate("document.getElementById('tile-resumed').innerText")
        assert page.console == []
