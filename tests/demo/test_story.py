"""The demo as a stranger runs it: exit code, what it prints, how long it takes, and that it leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from meshcache.demo.story import DEMO_S_MAX
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

DEMO = ["-m", "meshcache", "demo"]

LAST_HINT = re.compile(r"^  cat \S+\n", re.MULTILINE)

WITHOUT_MULTICAST = """\
from meshcache.demo import story
story.has_multicast = lambda: False
raise SystemExit(story.run(keep=True))
"""


def start(processes: Processes, folder: Path, *arguments: str) -> Process:
    """Python with `arguments`, and the demo's files inside `folder`, to see what it leaves."""
    (folder / "t").mkdir()
    return processes.start([sys.executable, *arguments], env={**os.environ, "TMPDIR": str(folder / "t")})


def test_the_demo_holds_ends_by_itself_in_under_a_minute_and_leaves_nothing(processes: Processes, folder: Path) -> None:
    started = time.monotonic()
    demo = start(processes, folder, *DEMO)
    me = psutil.Process(demo.popen.pid)
    servers = wait_until(lambda: len(found := me.children()) >= 6 and found)

    code = demo.wait(within_s=90)

    assert code == 0, demo.output
    assert time.monotonic() - started < DEMO_S_MAX + 5
    assert "visits went as the policies say" in demo.output
    assert "edge-2 is killed" in demo.output
    assert "FAILED" not in demo.output
    assert not [server for server in servers if server.is_running()]
    assert list((folder / "t").iterdir()) == []


def test_a_terminal_that_closes_ends_it_once_unless_it_was_started_to_outlive_that(processes: Processes) -> None:
    code = (
        "import contextlib, os, signal\n"
        "from meshcache.demo.story import _ended_by_signals\n"
        "with contextlib.suppress(KeyboardInterrupt), _ended_by_signals():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        print('still there')\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        print('servers ended')\n"
    )
    closed = processes.start([sys.executable, "-c", code])
    outlives = processes.start(["nohup", sys.executable, "-c", code])
    assert (closed.wait(), outlives.wait()) == (0, 0)
    assert closed.output.strip() == "servers ended"
    assert "still there" in outlives.output


@pytest.mark.parametrize(
    ("arguments", "way", "ending"),
    [
        ([*DEMO, "--keep"], "by mDNS on the loopback interface", signal.SIGINT),
        (["-c", WITHOUT_MULTICAST], "two seeds stand in for mDNS", signal.SIGTERM),
    ],
)
def test_kept_up_it_says_what_to_try_and_goes_with_all_its_servers(
    processes: Processes, folder: Path, arguments: list[str], way: str, ending: signal.Signals
) -> None:
    demo = start(processes, folder, *arguments)
    wait_until(lambda: LAST_HINT.search(demo.output) or not demo.running, within_s=90)
    servers = psutil.Process(demo.popen.pid).children()
    assert len(servers) == 5
    assert way.lower() in demo.output.lower()
    for hint in ("stats --watch --socket", "peers --socket", "policy show --socket", "-sess_out", "-sess_in"):
        assert hint in demo.output

    (address,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/)$", demo.output, re.MULTILINE)
    with urllib.request.urlopen(address, timeout=5) as page:
        assert b"<title>" in page.read()

    demo.send(ending)
    demo.send(ending)  # an impatient hand must not keep it from ending its servers

    assert demo.wait(within_s=20) == 130
    assert not [server for server in servers if server.is_running()]
    assert list((folder / "t").iterdir()) == []
