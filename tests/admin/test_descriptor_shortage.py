"""A process that has no descriptor left: its admin interface waits, says it once, and answers when there is room."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from meshcache.admin.descriptor_shortage import AGAIN_S, DescriptorShortage
from tests.support.material import Authority, write_key, write_nodes
from tests.support.mesh import Mesh
from tests.support.processes import Processes
from tests.support.waiting import wait_until

SCARCE = {"message": "socket.accept() out of system resource", "exception": OSError(24, "Too many open files")}


class Loop:
    """As much of a loop as is asked for."""

    now = 1000.0
    passed_on = 0

    def time(self) -> float:
        return self.now

    def default_exception_handler(self, _context: object) -> None:
        self.passed_on += 1


def test_a_lasting_scarcity_is_one_line_and_a_later_one_another(caplog: pytest.LogCaptureFixture) -> None:
    loop, shortage = Loop(), DescriptorShortage()
    for _ in range(1000):
        loop.now += 1
        shortage(loop, SCARCE)  # type: ignore[arg-type]
    assert len(caplog.records) == 1
    loop.now += AGAIN_S + 1
    shortage(loop, SCARCE)  # type: ignore[arg-type]
    assert (len(caplog.records), loop.passed_on) == (2, 0)


@pytest.mark.parametrize("context", [{"message": "x"}, {"message": "accept", "exception": OSError(5, "I/O")}])
def test_other_faults_go_the_usual_way(context: dict[str, object]) -> None:
    loop = Loop()
    DescriptorShortage()(loop, context)  # type: ignore[arg-type]
    assert loop.passed_on == 1


@pytest.mark.timeout(60)
def test_a_node_without_descriptors_waits_says_it_once_and_answers_when_there_is_room(
    folder: Path, authority: Authority, processes: Processes
) -> None:
    authority.write(folder)
    write_key(folder)
    (node,) = write_nodes(folder, ["edge-1"])
    mesh = Mesh(processes)
    process = mesh.start(node)
    mesh.wait_until_ready(node)
    written = len(process.output)
    before = resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    command = [sys.executable, "-m", "meshcache", "stats", "--json", "--socket", str(node.admin_socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as stats:
        wait_until(lambda: len(process.output) > written, what="it says so")
        resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE, before)
        out, _ = stats.communicate(timeout=30)
    assert (stats.returncode, b'"edge-1"' in out) == (0, True), out
    (line,) = process.output[written:].splitlines()
    assert line.count("no connection to the admin interface can be accepted: too many open files") == 1
    assert logging.getLevelName(logging.WARNING) in line
