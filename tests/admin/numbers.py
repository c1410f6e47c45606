"""The numbers on the dashboard page, and what `stats` says that each of them should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.admin.chromium import Page

LIVE = "document.body?.dataset.link === 'live' && document.body.dataset.uptime"
NUMBERS = """[...document.querySelectorAll('[data-key][data-value]')].map((node) => ({
  vip: node.closest('[data-vip]')?.dataset.vip, member: node.closest('[data-member]')?.dataset.member,
  backend: node.closest('[data-backend]')?.dataset.backend, refusal: node.closest('[data-refusal]')?.dataset.refusal,
  certificate: node.closest('[data-certificate]')?.dataset.certificate,
  way: node.dataset.to && [node.dataset.from, node.dataset.to], key: node.dataset.key, value: node.dataset.value}))"""


async def opened(page: Page, address: str) -> None:
    await page.goto(f"http://{address}/")
    await page.until(LIVE)


def at_path(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def expected(stats: dict[str, Any], shown: dict[str, Any]) -> Any:
    """What `/v1/stats` says of a number on the page."""
    vips, key = stats["vips"], shown["key"]
    resumed = {vip: sum(of["handshakes"][how] for how in ("local", "remote", "pulled")) for vip, of in vips.items()}
    if shown.get("way"):
        (from_, to) = shown["way"]
        ways = {
            (f"{way['from_vip']}@{way['from_colo']}", f"{way['to_vip']} in {way['to_colo']}"): way["sessions"]
            for way in stats["policy"]["crossings"]
        }
        return ways[from_, to]
    if row := next((row for row in ("backend", "certificate", "refusal") if shown.get(row)), None):
        return in_row(stats, row, shown[row])[key]
    if shown.get("member"):
        return next(peer for peer in stats["peers"] if peer["name"] == shown["member"])[key]
    if shown.get("vip"):
        return resumed[shown["vip"]] if key == "handshakes.resumed" else at_path(vips[shown["vip"]], key)
    if key.startswith("lookups."):
        return sum(lookup_total(of["lookups"][key.removeprefix("lookups.")]) for of in vips.values())
    made_up: dict[str, Callable[[], int]] = {
        "duplicate": lambda: sum(of["sessions"]["duplicate"] for of in vips.values()),
        "resumed": lambda: sum(resumed.values()),
        "from_peers": lambda: sum(of["handshakes"]["remote"] + of["handshakes"]["pulled"] for of in vips.values()),
        "front.bytes.received": lambda: sum(of["received"] for of in stats["front"]["bytes"].values()),
        "front.bytes.sent": lambda: sum(of["sent"] for of in stats["front"]["bytes"].values()),
        "members": lambda: 1 + sum(peer["state"] == "alive" for peer in stats["peers"]),
    }
    return made_up[key]() if key in made_up else at_path(stats, key)


def in_row(stats: dict[str, Any], kind: str, named: str) -> Any:
    """What a row of the front's tables is about."""
    if kind == "backend":
        return next(of for of in stats["front"]["backends"] if f"{of['vip']} {of['backend']}" == named)
    if kind == "certificate":
        soonest = sorted(stats["front"]["certificates"], key=lambda of: of["ends_in_s"])
        return soonest[json.loads(named)[2]]
    node, reason, by_peer = json.loads(named)
    return next(of for of in stats["refusals"] if (of["node"], of["reason"], of["by_peer"]) == (node, reason, by_peer))


def same(shown: str, wanted: float | str) -> bool:
    return shown == wanted if isinstance(wanted, str) else float(shown) == wanted


def lookup_total(result: int | dict[str, int]) -> int:
    return sum(result.values()) if isinstance(result, dict) else result
