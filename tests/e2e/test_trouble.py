"""Real processes in trouble: a killed origin, a stopped peer, a restart, a wrong key, a policy that changes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.material import Authority, Node, write_key, write_nodes
from tests.support.mesh import Mesh
from tests.support.programs import s_client
from tests.support.waiting import wait_until

Make = Callable[..., list[Node]]


def up(mesh: Mesh, nodes: list[Node]) -> None:
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)


def session_from(mesh: Mesh, node: Node, folder: Path, name: str, to: list[Node]) -> str:
    """A new session of this node's, once all of `to` have it."""
    saved = str(folder / f"{name}.pem")
    before = {other.name: mesh.shop(other)["sessions"]["received"] for other in to}
    made, _ = s_client(node.tls, folder, "1.3", "-sess_out", saved)
    assert (made["server"], made["session"]) == (node.name, "full")
    for other in to:
        wait_until(lambda o=other: mesh.shop(o)["sessions"]["received"] > before[o.name], what=f"{other.name} has it")
    return saved


def test_the_sessions_of_a_killed_server_live_on_and_it_comes_back(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    first, second, third = nodes = make_nodes("edge-1", "edge-2", "edge-3")
    up(mesh, nodes)
    saved = session_from(mesh, first, folder, "before", [second, third])

    mesh.of["edge-1"].kill()

    for node in (second, third):
        there, resumed = s_client(node.tls, folder, "1.3", "-sess_in", saved)
        assert (there["server"], there["session"], there["origin"], resumed) == (node.name, "remote", "edge-1", True)
    wait_until(lambda: "edge-1" not in mesh.alive(second), what="the loss is noticed")

    mesh.start(first)
    mesh.wait_until_met(nodes)
    again = session_from(mesh, first, folder, "after", [second, third])
    there, resumed = s_client(second.tls, folder, "1.3", "-sess_in", again)
    assert (there["session"], resumed) == ("remote", True)
    wait_until(
        lambda: s_client(first.tls, folder, "1.3", "-sess_in", saved)[0]["session"] == "remote",
        what="what it made in its earlier life comes back to it from its peers",
    )


@pytest.mark.slow
@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_server_that_is_killed_and_starts_with_an_earlier_clock_is_heard_at_once(
    mesh: Mesh, make_nodes: Make, folder: Path, state: str
) -> None:
    first, second = nodes = make_nodes("edge-1", "edge-2")
    up(mesh, nodes)
    session_from(mesh, first, folder, "before", [second])
    mesh.of["edge-1"].kill()
    if state == "lost":
        shutil.rmtree(first.admin_socket.parent)
    earlier = folder / "earlier"
    earlier.mkdir()
    # What the number of a life is made of, and no more: OpenSSL in the same process has the machine's clock.
    (earlier / "sitecustomize.py").write_text(
        "import time\nns = time.time_ns\ntime.time_ns = lambda: ns() - 7_200 * 10**9\n"
    )
    mesh.start(first, env={**os.environ, "PYTHONPATH": str(earlier)})
    mesh.wait_until_met(nodes)
    again = session_from(mesh, first, folder, "after", [second])
    there, resumed = s_client(second.tls, folder, "1.3", "-sess_in", again)
    assert (there["session"], there["origin"], resumed) == ("remote", "edge-1", True)
    log = mesh.of["edge-1"].output
    assert ("this node goes on as life" in log) == (state == "lost"), log


def test_a_server_that_is_told_to_end_leaves_and_exits_with_0(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    first, second = nodes = make_nodes("edge-1", "edge-2")
    up(mesh, nodes)
    saved = session_from(mesh, first, folder, "kept", [second])

    mesh.of["edge-1"].send(signal.SIGTERM)

    assert mesh.of["edge-1"].wait() == 0
    assert not first.admin_socket.exists()
    wait_until(lambda: "edge-1" not in mesh.alive(second), what="it said goodbye")
    assert s_client(second.tls, folder, "1.3", "-sess_in", saved)[0]["session"] == "remote"


def test_a_tightened_policy_holds_at_once_and_the_cache_is_kept(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    first, second = nodes = make_nodes("edge-1", "edge-2")
    up(mesh, nodes)
    from_first = session_from(mesh, first, folder, "first", [second])
    own = session_from(mesh, second, folder, "own", [first])
    assert s_client(second.tls, folder, "1.3", "-sess_in", from_first)[0]["session"] == "remote"

    second.file.write_text(second.file.read_text().replace('reach = "colo"', 'reach = "server"'))
    mesh.of["edge-2"].send(signal.SIGHUP)

    wait_until(
        lambda: s_client(second.tls, folder, "1.3", "-sess_in", from_first)[0]["session"] == "full",
        what="a session that was shared before is refused now",
    )
    assert s_client(second.tls, folder, "1.3", "-sess_in", own)[0]["session"] == "local"
    wait_until(
        lambda: s_client(first.tls, folder, "1.3", "-sess_in", own)[0]["session"] == "full",
        what="the other end hears of it and gives up what it was sent",
    )


def test_a_broken_file_on_sighup_changes_nothing(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    (node,) = make_nodes("edge-1")
    process = mesh.start(node)
    mesh.wait_until_ready(node)
    node.file.write_text(node.file.read_text() + "\nnonsense = 1\n")

    process.send(signal.SIGHUP)

    wait_until(lambda: "nonsense" in process.output, what="the fault is in the log")
    assert s_client(node.tls, folder, "1.3")[0]["session"] == "full"
    assert process.running


def test_renewed_certificates_are_served_after_sighup_and_old_sessions_go_on(
    mesh: Mesh, make_nodes: Make, folder: Path
) -> None:
    (node,) = make_nodes("edge-1")
    process = mesh.start(node)
    mesh.wait_until_ready(node)
    saved = str(folder / "old.pem")
    s_client(node.tls, folder, "1.3", "-sess_out", saved)

    renewed = Authority.new()
    renewed.write(folder)  # ca.pem as well: from now on only the new certificate verifies
    process.send(signal.SIGHUP)

    wait_until(lambda: s_client(node.tls, folder, "1.3")[0]["session"] == "full", what="the new certificate is served")
    assert s_client(node.tls, folder, "1.3", "-sess_in", saved)[0]["session"] == "local"


def test_a_node_with_another_key_gets_nothing_and_gives_nothing(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    (insider,) = make_nodes("edge-1")
    write_key(folder, "other")
    (outsider,) = write_nodes(folder, ["outsider"], key="other.key")
    outsider.file.write_text(
        outsider.file.read_text().replace("seeds = [", f"seeds = ['127.0.0.1:{insider.mesh_port}', ")
    )
    for node in (insider, outsider):
        mesh.start(node)
    mesh.wait_until_ready(insider, outsider)

    saved = str(folder / "inside.pem")
    s_client(insider.tls, folder, "1.3", "-sess_out", saved)

    wait_until(lambda: "another mesh key" in mesh.of["edge-1"].output, what="the refusal is in the log")
    assert s_client(outsider.tls, folder, "1.3", "-sess_in", saved)[0]["session"] == "full"
    assert mesh.alive(insider) == mesh.alive(outsider) == set()
    assert mesh.shop(outsider)["sessions"]["received"] == 0


def test_a_stopped_server_costs_the_others_nothing_and_catches_up(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    first, second, stopped = nodes = make_nodes("edge-1", "edge-2", "edge-3")
    up(mesh, nodes)
    mesh.of["edge-3"].stop()
    saved = [session_from(mesh, first, folder, f"while-{n}", [second]) for n in range(3)]
    for each in saved:
        assert s_client(second.tls, folder, "1.3", "-sess_in", each)[0]["session"] == "remote"

    mesh.of["edge-3"].send(signal.SIGCONT)

    mesh.wait_until_met(nodes)
    for each in saved:
        wait_until(
            lambda e=each: s_client(stopped.tls, folder, "1.3", "-sess_in", e)[0]["session"] in ("remote", "local"),
            what="it catches up",
        )
