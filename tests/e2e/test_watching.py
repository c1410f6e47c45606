"""The dashboard and the metrics of a real mesh: the demo's six servers, real clients, a real browser."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from meshcache.admin import metrics
from meshcache.admin.client import AdminClient
from meshcache.demo.clients import PythonClient
from meshcache.demo.files import SERVERS, VIPS, DemoFiles, Endpoint, build
from tests.admin.chromium import Page, chromium
from tests.admin.numbers import LIVE, NUMBERS, expected, opened, same
from tests.admin.snapshots import GeneratedNode
from tests.support.material import free_ports
from tests.support.processes import Process, Processes, meshcache
from tests.support.waiting import wait_until, wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP, CHECKOUT, INTRANET = VIPS
WATCHED, NEIGHBOUR, FAR, VICTIM = SERVERS[0], SERVERS[1], SERVERS[3], SERVERS[4]
START_S_MAX = 60.0
"""Six Pythons on two cores that others use too."""


class Watched:
    """The demo's mesh with an HTTP port on one server."""

    def __init__(self, files: DemoFiles, processes: Processes) -> None:
        self.files = files
        self.http = f"{WATCHED.host}:{free_ports(1)[0]}"
        self._processes = processes
        self.of: dict[str, Process] = {}

    def start(self) -> None:
        for server in SERVERS:
            more = ["--set", f"admin.http={self.http}"] if server is WATCHED else []
            if server.name not in self.of or not self.of[server.name].running:
                self.of[server.name] = self._processes.meshcache("serve", self.files.file(server), *more)
        for server in SERVERS:
            wait_until(partial(self.sees_all, server), START_S_MAX, f"{server.name} meets all")
            process = self.of[server.name]  # which listens for clients once it is warm, not when it has met the others
            wait_until(lambda p=process: " ready: " in p.output, START_S_MAX, f"{server.name} is ready")

    def stats(self, server: Any = WATCHED) -> dict[str, Any]:
        return AdminClient(self.files.admin_socket(server)).stats()

    def sees_all(self, server: Any) -> bool:
        return [peer["state"] for peer in self.stats(server)["peers"]] == ["alive"] * (len(SERVERS) - 1)

    def visit(self, *endpoints: tuple[Any, Any]) -> list[str]:
        """One client goes from endpoint to endpoint with what the last one gave it."""
        client, ticket, outcomes = PythonClient(self.files, "1.3"), None, []
        for vip, server in endpoints:
            visit = client.visit(Endpoint(vip, server), ticket)
            ticket = visit.ticket
            outcomes.append(visit.session)
        return outcomes


@pytest.fixture(scope="module")
def mesh() -> Iterator[Watched]:
    with TemporaryDirectory(prefix="mc-") as folder, Processes(Path(folder)) as processes:
        watched = Watched(build(Path(folder), mdns=False), processes)
        watched.start()
        yield watched


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(mesh: Watched) -> AsyncIterator[Page]:
    async with chromium() as page:
        await page.look()
        yield page


def traffic(mesh: Watched) -> None:
    """Every client waits, as a person would, until its session can be where it goes next."""
    for _ in range(5):
        assert mesh.visit((SHOP, FAR), (SHOP, FAR)) == ["full", "local"]
        assert mesh.visit((SHOP, WATCHED), (SHOP, WATCHED)) == ["full", "local"]
    mesh.visit((INTRANET, WATCHED), (SHOP, WATCHED))
    wait_until(lambda: mesh.visit((SHOP, NEIGHBOUR), (SHOP, WATCHED))[1] == "remote", what="a peer's session resumes")


async def test_the_page_shows_what_stats_says_of_a_real_mesh(mesh: Watched, page: Page) -> None:
    traffic(mesh)
    await opened(page, mesh.http)
    before = command(mesh)
    await page.until(f"Number(document.body.dataset.uptime) > {before['node']['uptime_s']}")
    numbers = await page.evaluate(NUMBERS)
    after = command(mesh)
    still = 0
    for of in numbers:
        if of["key"] in ("rtt_ms", "last_seen_s", "queue"):
            continue  # these go up and down, and are the same twice only by chance
        low, high = expected(before, of), expected(after, of)
        if low == high:
            still += 1
            assert same(of["value"], low), of
        else:
            assert min(low, high) <= float(of["value"]) <= max(low, high), of  # a certificate has less and less left
    assert still > 40, "handshakes, sessions, cache and policy rest while nobody visits"
    keys = {of["key"]: of["value"] for of in numbers}
    assert int(keys["resumed"]) >= 6
    assert int(keys["from_peers"]) >= 1
    assert keys["members"] == "6"
    assert "All well" in await page.evaluate("document.getElementById('verdict').innerText")
    assert page.console == []
    assert {re.sub(r"^http://([^/]*)/.*", r"\1", request) for request in page.requests} == {mesh.http}


def command(mesh: Watched) -> dict[str, Any]:
    """What `meshcache stats --json` prints."""
    done = meshcache("stats", "--json", "--socket", mesh.files.admin_socket(WATCHED))
    assert done.returncode == 0, done.stderr
    stats: dict[str, Any] = json.loads(done.stdout)
    return stats


async def test_the_matrix_shows_the_demos_borders(mesh: Watched, page: Page) -> None:
    await opened(page, mesh.http)
    cells = await page.evaluate(
        "[...document.querySelectorAll('#policy td')].map((td) => [td.dataset.from, td.dataset.to, td.dataset.verdict])"
    )
    verdicts = {(source, target): verdict for source, target, verdict in cells}
    assert verdicts["shop@ams1", "shop in fra1"] == "allowed"
    assert verdicts["shop@ams1", "checkout in ams1"] == "allowed"
    assert verdicts["shop@ams1", "checkout in fra1"] == "receiver_reach"
    assert verdicts["checkout@ams1", "shop in fra1"] == "sender_reach"
    assert verdicts["intranet@ams1", "shop in ams1"] == "other_group"


async def test_the_metrics_of_a_real_node_have_the_names_that_alerts_and_grafana_use(mesh: Watched) -> None:
    """They are checked against a generated page; this holds that one to the truth."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{mesh.http}/metrics") as answer:
        real = await answer.text()
    generated = generate_latest(metrics.registry_of(GeneratedNode().stats)).decode()
    kinds = r"^# TYPE (meshcache_\w+ \w+)$"
    absent = {"meshcache_last_reload_ok gauge", "meshcache_last_reload_seconds gauge"}  # until it is reloaded
    absent |= {"meshcache_ticket_exports_total counter", "meshcache_ticket_export_stale_seconds gauge"}  # it has none
    promised = set(re.findall(kinds, generated, re.MULTILINE))
    assert promised >= absent
    assert set(re.findall(kinds, real, re.MULTILINE)) == promised - absent
    counted = re.search(r'meshcache_handshakes_total\{result="local",vip="shop"\} (\S+)', real)
    assert counted is not None
    assert float(counted[1]) == mesh.stats()["vips"]["shop"]["handshakes"]["local"]


async def test_a_real_snapshot_has_the_names_that_docs_promise(mesh: Watched) -> None:
    page = (Path(__file__).parent.parent.parent / "docs/watching.md").read_text()
    promised = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    real = mesh.stats()
    missing = [path for path in names_in(promised) if not is_in(path, real)]
    assert not missing


def names_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path of names in the example; the inside of some depends on what happened."""
    happened = {"islands", "refusals", "backends", "reload", "refused", "dropped", "kinds", "faults", "ended_badly"}
    happened |= {"hooks", "contexts_changed", "tiers", "ticket_exports", "ended_badly_by"}
    if path and (path[-1] in happened or path == ("front", "bytes")):
        yield path
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from names_in(value[0], (*path, 0))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from names_in(inner, (*path, name))
    else:
        yield path


def is_in(path: tuple[str | int, ...], value: Any) -> bool:
    try:
        for name in path:
            value = value[name]
    except (KeyError, IndexError):
        return False
    return True


async def test_the_page_outlives_a_restart_and_tells_of_a_lost_member(mesh: Watched, page: Page) -> None:
    await opened(page, mesh.http)
    mesh.of[VICTIM.name].kill()
    await page.until(
        f"document.querySelector('[data-member={VICTIM.name}] .state').dataset.state !== 'alive'", seconds=30
    )
    assert VICTIM.name in await page.evaluate("document.getElementById('verdict').innerText")
    await page.until(f"document.getElementById('events').innerText.includes('{VICTIM.name} (fra1)')")
    mesh.of[WATCHED.name].kill()
    await page.until("document.body.dataset.link === 'away'")
    gone_at = float(await page.evaluate("document.body.dataset.uptime"))
    await asyncio.to_thread(mesh.start)
    await page.until(f"{LIVE} < {gone_at} && document.body.dataset.link === 'live'", seconds=30)
    await page.until("document.querySelector('#tile-members [data-value]').dataset.value === '6'")
    await wait_until_async(lambda: mesh.stats()["node"]["uptime_s"] > 0)
    assert not [line for line in page.console if not line.startswith("network:")], "only the browser's own words"
