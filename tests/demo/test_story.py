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

from meshcache.demo.story import DEMO_S_MAX
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

DEMO = ["-m", "meshcache", "demo"]

LAST_HINT = re.compile(r"^  cat \S+\n", re.MULTILINE)

WITHOUT_MULTICAST = """\
from meshcache.cli.main import main
from meshcache.demo import story
story.has_multicast = lambda: False
main(["demo", "--keep"])
"""


def start(processes: Processes, folder: Path, *arguments: str) -> Process:
    """Python with `arguments`, and the demo's files inside `folder`, to see what it leaves."""
    (folder / "t").mkdir()
    return processes.start([sys.executable, *arguments], env={**os.environ, "TMPDIR": str(folder / "t")})


def test_the_demo_holds_ends_by_itself_and_leaves_nothing(processes: Processes, folder: Path) -> None:
    started = time.monotonic()
    demo = start(processes, folder, *DEMO)
    me = psutil.Process(demo.popen.pid)
    servers = wait_until(lambda: len(found := me.children()) >= 6 and found)

    code = demo.wait(within_s=DEMO_S_MAX + 60)

    assert code == 0, demo.output
    assert time.monotonic() - started < DEMO_S_MAX + 60
    assert "by mDNS on the loopback interface" in demo.output
    assert "visits went as the policies say" in demo.output
    assert "edge-2 is killed" in demo.output
    assert "FAILED" not in demo.output
    assert not [server for server in servers if server.is_running()]
    assert list((folder / "t").iterdir()) == []


def test_a_signal_ends_it_once_but_a_terminal_that_closes_where_it_was_started_to_outlive_that(
    processes: Processes,
) -> None:
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
    stopped = [
        processes.start([sys.executable, "-c", code.replace("SIGHUP", number)]) for number in ("SIGINT", "SIGTERM")
    ]
    assert [each.wait() for each in (closed, outlives, *stopped)] == [0, 0, 0, 0]
    assert [each.output.strip() for each in (closed, *stopped)] == ["servers ended"] * 3
    assert "still there" in outlives.output


def test_kept_up_it_says_what_to_try_and_goes_with_all_its_servers(processes: Processes, folder: Path) -> None:
    demo = start(processes, folder, "-c", WITHOUT_MULTICAST)
    wait_until(lambda: LAST_HINT.search(demo.output) or not demo.running, within_s=DEMO_S_MAX)
    servers = psutil.Process(demo.popen.pid).children()
    assert len(servers) == 5
    assert "two seeds stand in for mDNS" in demo.output
    for hint in ("stats --watch --socket", "peers --socket", "policy show --socket", "-sess_out", "-sess_in"):
        assert hint in demo.output

    (address,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/)$", demo.output, re.MULTILINE)
    with urllib.request.urlopen(address, timeout=5) as page:
        assert b"<title>" in page.read()

    demo.send(signal.SIGTERM)
    demo.send(signal.SIGTERM)  # an impatient hand must not keep it from ending its servers

    assert demo.wait() == 130
    assert not [server for server in servers if server.is_running()]
    assert list((folder / "t").iterdir()) == []
