"""A server whose wall clock jumps by days while it runs: tickets resume all the same, and end where they should."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from meshcache.admin.client import AdminClient
from tests.support import programs
from tests.support.material import Node
from tests.support.mesh import Mesh
from tests.support.programs import s_client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SOURCE = Path(programs.__file__).with_name("wall_clock.c")
DAYS = 3 * 86400


def shim(folder: Path) -> Path:
    """Compile what is preloaded, or skip."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed to give a process another wall clock")
    library = folder / "wall_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True, timeout=120)
    return library


def encrypting(node: Node) -> str:
    keys = [key for ring in AdminClient(node.admin_socket).tickets() for key in ring["keys"]]
    return next((str(key["name"]) for key in keys if key["state"] == "encrypts"), node.name)


def test_tickets_resume_whatever_a_wall_clock_says_and_end_all_the_same(
    mesh: Mesh, make_nodes: Callable[..., list[Node]], folder: Path
) -> None:
    off = folder / "off"
    off.write_text("0")
    env = os.environ | {"LD_PRELOAD": str(shim(folder)), "WALL_CLOCK_OFF": str(off)}
    nodes = make_nodes("edge-1", "edge-2", more="lifetime_s = 300\nrotate_s = 300\n")
    for node, its in zip(nodes, (None, env), strict=True):
        node.file.write_text(node.file.read_text().replace("[[vip]]\n", '[[vip]]\nresumption = "tickets"\n', 1))
        mesh.start(node, env=its)
    mesh.wait_until_met(nodes)
    wait_until(lambda: encrypting(nodes[0]) == encrypting(nodes[1]), what="both encrypt with one key")
    today = datetime.now(UTC).date()
    for jump_s in (DAYS, -DAYS, 0):
        off.write_text(str(jump_s))
        for maker, opener in (nodes, nodes[::-1]):
            for tls in ("1.2", "1.3"):
                pem = str(folder / f"{maker.name}-{tls}.pem")
                s_client(maker.tls, folder, tls, "-sess_out", pem)
                answer, resumed = s_client(opener.tls, folder, tls, "-sess_in", pem)
                assert (resumed, answer["session"], answer["origin"]) == (True, "remote", maker.name), (jump_s, tls)
    off.write_text(str(-DAYS))
    AdminClient(nodes[0].admin_socket).withdraw(vip="shop")
    for node in nodes:
        wait_until(partial(is_over, node, folder), what="a withdraw ends it, on any clock")
    days = {line[:10] for line in mesh.of["edge-2"].output.splitlines() if line[:2] == "20"}
    assert min(days) < str(today - timedelta(days=1)), f"its clock did jump: {days}"
    assert [mesh.shop(node)["handshakes"]["failed"] for node in nodes] == [0, 0]


def is_over(node: Node, folder: Path) -> bool:
    return not s_client(node.tls, folder, "1.3", "-sess_in", str(folder / "edge-1-1.3.pem"))[1]
