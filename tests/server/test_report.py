"""Tests of `server.report`: what one server process tells of itself, and a reload that is asked for."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meshcache_server.tls import streams

from meshcache.admin.client import AdminClient
from tests.server.deployment import Deployment, deploy
from tests.support.fronts import free_port
from tests.support.processes import Processes, meshcache
from tests.support.waiting import wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def get(url: str, host: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_server_is_seen_from_outside_and_says_how_a_reload_ended(shop: Deployment) -> None:
    dead = free_port()
    admin = '[admin]\nsocket = "admin.sock"\nhttp = "127.0.0.1:0"\nhosts = ["edge-1.internal"]'
    backend = f'backend = ["127.0.0.1:{dead}"]\n[vip.health]\ninterval_s = 0.05\nfall = 1'
    shop.write(admin, backend)
    process = shop.start()
    found = re.search(r"dashboard: (http://\S+)/,", process.output)
    assert found
    client = AdminClient(shop.folder / "admin.sock")

    def front() -> dict[str, Any]:
        return dict(client.stats()["front"])

    wait_until(lambda: not front()["backends"][0]["up"])
    (certificate,) = front()["certificates"]
    assert certificate["vip"] == "shop"
    assert certificate["name"] == "shop.example"
    assert certificate["ends_in_s"] > 3600
    assert front()["connections"] == {"open": 0, "max": 10_000}
    assert front()["reload"] is None
    assert front()["steps"] == streams.path()
    page = (Path(__file__).parents[2] / "docs/watching.md").read_text()
    documented = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    told = client.stats()
    assert set(documented) == set(told), "the page names all that there is, and no more"
    for part in ("node", "front", "cache", "transport"):
        assert set(documented[part]) == set(told[part]), part

    url = found[1]
    assert get(f"{url}/healthz") == (200, '{"ok":true}')
    assert get(f"{url}/readyz") == (200, '{"ready":true}')
    assert get(f"{url}/healthz", "edge-1.internal:9946")[0] == 200
    status, said = get(f"{url}/metrics", "elsewhere.internal")
    assert status == 403
    assert "[admin] hosts" in json.loads(said)["error"]
    assert f'meshcache_backend_up{{backend="127.0.0.1:{dead}",vip="shop"}} 0.0' in get(f"{url}/metrics")[1]

    def reload() -> tuple[int, str]:
        done = meshcache("reload", "--socket", shop.folder / "admin.sock")
        return done.returncode, done.stdout + done.stderr

    shop.write(admin.replace('hosts = ["edge-1.internal"]', "hosts = []"), backend + "\n[vip.sharing]\nlifetime_s = 60")
    code, said = reload()
    assert code == 0
    assert "reloaded; changed: vip.shop.listen, vip.shop.sharing.lifetime_s" in said  # it has its port now
    assert "only a restart changes admin.hosts" in said
    assert front()["reload"]["ok"]

    shop.write(admin, 'min_tls = "1.1"')
    code, said = reload()
    assert code == 1
    assert "vip[0].min_tls" in said
    assert not front()["reload"]["ok"]
    assert "meshcache_last_reload_ok 0.0" in get(f"{url}/metrics")[1]

    shop.write(admin, backend + "\n[vip.sharing]\nlifetime_s = 60")
    assert reload()[0] == 0
    assert front()["reload"]["ok"]
