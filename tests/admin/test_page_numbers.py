"""What the page makes of counters, run where it runs: in the browser, with its modules imported by a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from meshcache.admin.server import AdminServer
from meshcache.admin.stream import chart_point
from meshcache.config import AdminSettings
from tests.admin.chromium import Page
from tests.admin.snapshots import GeneratedNode

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def modules(page: Page) -> AsyncIterator[Page]:
    """A page of the right origin whose own life is over, so that only the test's script runs."""
    with AdminServer(GeneratedNode(), AdminSettings(socket=None, http="127.0.0.1:0")) as server:
        await page.goto(f"http://{server.http_address}/static/icon.svg")
        yield page


async def model(page: Page, histories: list[list[dict[str, Any]]], ask: str) -> Any:
    script = f"""(async () => {{
      const {{ Model }} = await import("/static/model.js");
      const model = new Model();
      for (const part of {json.dumps(histories)}) model.history(part);
      const n = (point) => point.n;
      return {ask};
    }})()"""
    return await page.evaluate(script)


def points(*pairs: tuple[float, int | None]) -> list[dict[str, Any]]:
    return [{"at": at, "n": n} for at, n in pairs]


async def test_a_rate_is_what_a_counter_gained_over_five_seconds(modules: Page) -> None:
    rates = await model(modules, [points(*((at, 10 * at) for at in range(12)))], "model.rates(n)[1]")
    assert rates[0] is None
    assert rates[1:] == pytest.approx([10.0] * 11)


async def test_sparse_readings_still_make_rates(modules: Page) -> None:
    """A node that nobody watches is read every five seconds."""
    rates = await model(modules, [points((0, 0), (5.2, 52), (10.4, 104))], "model.rates(n)[1]")
    assert rates == [None, pytest.approx(10), pytest.approx(10)]


async def test_a_hole_in_the_readings_is_a_gap_in_the_line(modules: Page) -> None:
    columns = await model(modules, [points((0, 0), (1, 1), (100, 50), (101, 51))], "model.rates(n)")
    assert columns[1] == [None, pytest.approx(1), None, None, pytest.approx(1)]
    assert columns[0] == sorted(columns[0])


async def test_a_restart_is_never_a_negative_rate(modules: Page) -> None:
    before, after = points((500, 900), (501, 910)), points((0, 0), (1, 4))
    script = "model.rates(n)[1].filter((rate) => rate !== null)"
    rates = await model(modules, [before, after], script)
    assert all(rate >= 0 for rate in rates)


async def test_what_was_gained_counts_on_over_a_restart(modules: Page) -> None:
    restarted = "(model.points = [{at: 500, n: 900}, {at: 501, n: 910}, {at: 2, n: 3}, {at: 3, n: 5}], model.gained(n))"
    assert await model(modules, [], restarted) == 10 + 3 + 2


async def test_the_nodes_own_history_replaces_what_the_page_had(modules: Page) -> None:
    """After a break the node knows the minutes in between, so nothing may be there twice."""
    seen = await model(modules, [points((10, 1), (11, 2)), points((10, 1), (11, 2), (12, 3))], "model.points.map(n)")
    assert seen == [1, 2, 3]


async def verdict(page: Page, node: GeneratedNode, *changes: Callable[[], object]) -> dict[str, Any]:
    """What the page says first, after a quiet second and the given changes."""
    frames = []
    for change in (lambda: None, *changes):
        node.advance(1)
        change()
        stats = json.loads(json.dumps(node.stats()))
        frames.append({"stats": stats, "point": chart_point(stats), "events": []})
    said: dict[str, Any] = await page.evaluate(f"""(async () => {{
      const {{ Model }} = await import("/static/model.js");
      const {{ judge }} = await import("/static/verdict.js");
      const model = new Model();
      for (const frame of {json.dumps(frames)}) model.add(frame);
      const said = judge(model);
      return {{ ...said, problems: said.problems.map(({{ say }}) => say) }};
    }})()""")
    return said


async def test_a_quiet_mesh_is_well(modules: Page) -> None:
    said = await verdict(modules, GeneratedNode(), lambda: None)
    assert said == {"level": "good", "line": said["line"], "problems": []}
    assert "6 members" in said["line"]


async def test_sessions_that_did_not_resume_come_before_what_can_wait(modules: Page) -> None:
    node = GeneratedNode()

    def trouble() -> None:
        node.vips["pay"]["sessions"]["evicted"] += 3
        node.vips["shop"]["lookups"]["hit_not_resumed"] += 2

    said = await verdict(modules, node, trouble)
    assert said["level"] == "bad"
    assert said["problems"][0].startswith("2 sessions were found and still not resumed")
    assert said["problems"][1].startswith("3 sessions were evicted")


async def test_drops_count_when_they_are_many(modules: Page) -> None:
    node = GeneratedNode()
    few = await verdict(modules, node, lambda: node.gossip["dropped"].update(unknown_sender=10))
    assert few["level"] == "good"
    many = await verdict(modules, node, lambda: node.gossip["dropped"].update(unknown_sender=21))
    assert many["problems"] == ["Gossip was dropped in the last minutes: unknown sender 11."]


async def test_what_a_lost_member_cannot_be_sent_is_no_trouble_of_its_own(modules: Page) -> None:
    node = GeneratedNode()

    def lose() -> None:
        node.lose("edge-4")
        node.gossip["dropped"].update(not_sent=500, peer_blocked=20)

    said = await verdict(modules, node, lose)
    assert [problem.split(":")[0] for problem in said["problems"]] == ["edge-4 in fra1 is lost"]


async def test_a_server_that_starts_is_told_from_one_that_stops(modules: Page) -> None:
    node = GeneratedNode()
    assert node.front is not None
    node.front["ready"] = False
    assert "it is stopping" in (await verdict(modules, node))["problems"][0]
    said = await verdict(modules, node, lambda: setattr(node, "warm", False))
    assert said["problems"] == [
        "The server starts: it waits for its peers\u2019 sessions, and takes no connections yet."
    ]


async def test_faults_and_hooks_that_fail_are_said(modules: Page) -> None:
    node = GeneratedNode()
    well = {"name": "statsd", "kind": "observer", "resting": False, "counts": {"calls": 3}, "last_fault": ""}
    rests = {**well, "name": "same_region", "kind": "policy", "resting": True, "last_fault": "took 12 ms"}

    def trouble() -> None:
        node.faults = {"shop": {"new_session": 2}}
        node.hooks = [well, rests, {**well, "counts": {"not_loaded": 1}, "last_fault": "no module named statsd"}]

    said = await verdict(modules, node, trouble)
    assert said["problems"] == [
        "new session of shop failed 2 times since the start, each a full handshake: please report it, with the log.",
        "The policy hook same_region rests after it failed, so whatever it is asked is refused: took 12 ms",
        "The observer hook statsd isn\u2019t loaded: no module named statsd",
    ]


async def test_an_island_is_named_with_its_group(modules: Page) -> None:
    node = GeneratedNode()
    said = await verdict(modules, node, lambda: node.peers_plain[0]["islands"].append({"group": "pay"}))
    assert said["level"] == "bad"
    assert said["problems"] == [
        "edge-2 in ams1 has other settings for group pay: nothing of that group is shared with it."
    ]


async def test_a_long_list_of_problems_ends_in_a_number(modules: Page) -> None:
    node = GeneratedNode()
    node.peers_plain = [{**node.peers_plain[0], "name": f"n{i}", "state": "lost", "rtt_ms": None} for i in range(20)]
    said = await verdict(modules, node)
    assert said["line"] == "20 things need a look"
    assert len(said["problems"]) == 9
    assert said["problems"][-1] == "and 12 more"


async def test_numbers_become_words(modules: Page) -> None:
    wanted = {
        "percent(0, 0)": "\u2013",
        "percent(0, 9)": "0",
        "percent(9, 9)": "100",
        "percent(99999, 100000)": "99.9",
        "percent(1, 100000)": "<0.1",
        "percent(1, 3)": "33.3",
        "rate(0)": "0",
        "rate(0.01)": "<0.1",
        "rate(1234.5)": "1,235",
        "rate(null)": "\u2013",
        "ms(0.04)": "<0.1",
        "bytes(1023)": "1023 B",
        "bytes(1536)": "1.5 KiB",
        "bytes(64 * 2 ** 20)": "64.0 MiB",
        "bytesOf(3 * 2 ** 20, 64 * 2 ** 20)": "3.0 of 64.0 MiB",
        "bytesOf(1536, 64 * 2 ** 20)": "1.5 KiB of 64.0 MiB",
        "span(0.44)": "0.4 s",
        "span(59.6)": "1 min",
        "span(7260)": "2 h 1 min",
        "span(180000)": "2 d 2 h",
        "words('other_group')": "other group",
    }
    calls = ", ".join(f"format.{call}" for call in wanted)
    words = await modules.evaluate(f"import('/static/format.js').then((format) => [{calls}])")
    assert dict(zip(wanted, words, strict=True)) == wanted
