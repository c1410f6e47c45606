"""Workers of one host with one file: they meet without seeds or mDNS, and nothing that goes wrong stops a handshake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import meshcache
from meshcache import ConfigError, MeshcacheError, MeshNode
from meshcache.workers.naming import worker_settings
from tests.nodes import alive
from tests.support.material import free_ports, write_key
from tests.support.waiting import wait_until
from tests.tls.world import client_context, server_context, visit

WORKER = """
import sys
from meshcache import MeshNode
with MeshNode.for_worker(sys.argv[1]) as node:
    print(node.name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(folder: Path) -> Path:
    write_key(folder)
    path = folder / "meshcache.toml"
    path.write_text(
        '[node]\nname = "web"\n[mesh]\nkey_file = "mesh.key"\nlisten = "127.0.0.1:7946"\nmdns = false\n'
        '[[vip]]\nname = "shop"\n'
    )
    return path


@pytest.fixture
def workers(file: Path) -> Iterator[list[str]]:
    """The names of two other processes' nodes."""
    with ExitStack() as stack:
        names = []
        for _ in range(2):
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout is not None
            names.append(process.stdout.readline().strip())
        yield names


def test_workers_find_each_other_and_are_shown_as_one_host(file: Path, workers: list[str]) -> None:
    with MeshNode.for_worker(file) as node:
        wait_until(lambda: alive(node) == set(workers))
        hosts = {peer["host"] for peer in node.peers()}
        assert hosts == {node.stats()["node"]["host"]}
        assert hosts.pop().startswith("web.")
        assert len({*workers, node.name}) == 3


def test_a_seed_that_names_the_first_worker_of_another_host_leads_to_all_of_them(file: Path) -> None:
    """Without mDNS: each host has a state folder of its own, and a second worker on any free port."""
    ports, nodes = free_ports(2), []
    with ExitStack() as stack:
        for at, name in enumerate(("web-1", "web-2")):
            host = file.with_name(f"{name}.toml")
            own, other = ports[at], ports[1 - at]
            mesh = f'worker_ports = "{own}-{own}"\nseeds = ["127.0.0.1:{other}"]\nmdns = false\n'
            host.write_text(file.read_text().replace("mdns = false\n", mesh).replace('"web"', f'"{name}"'))
            two = [MeshNode.for_worker(host, more) for more in ((), ("cache.max_sessions=1000",))]
            nodes += [stack.enter_context(node) for node in two]
        everybody = {node.name for node in nodes}
        wait_until(lambda: all(alive(node) == everybody - {node.name} for node in nodes))
        addresses = {peer["name"]: peer["address"] for peer in nodes[0].peers()}
        assert addresses[nodes[2].name] == f"127.0.0.1:{ports[1]}"


def test_one_process_has_one_node_however_often_it_asks(file: Path) -> None:
    node = MeshNode.for_worker(file)
    with node:
        assert MeshNode.for_worker(str(file)) is node
        assert MeshNode.for_worker(file).start() is node
    with MeshNode.for_worker(file) as again:
        assert again is not node
        assert again.name == node.name, "the slot was free again"


def test_a_second_node_of_one_process_has_another_slot(file: Path) -> None:
    with MeshNode.for_worker(file) as one, MeshNode.for_worker(file, ["node.colo=fra1"]) as other:
        assert one.name != other.name


def test_a_forked_child_gets_its_own_and_the_parent_keeps_its_slot(file: Path) -> None:
    with MeshNode.for_worker(file) as node:
        pid = os.fork()
        if pid == 0:
            own = MeshNode.for_worker(file)
            os._exit(int(own is node) + int(own.name == node.name))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_slot_is_free_no_sooner_than_its_worker_has_left(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one has the same name and the same socket: at HUP gunicorn starts it while the former says goodbye."""
    node, numbers = MeshNode.for_worker(file).start(), []

    def take() -> None:
        slot = worker_settings(file)[1]
        numbers.append(slot.number)
        slot.release()

    close = node.internals.transport.close
    monkeypatch.setattr(node.internals.transport, "close", lambda: (take(), close()))
    node.close()
    take()
    assert numbers == [1, 0]


def test_a_start_that_fails_can_be_tried_again(file: Path) -> None:
    key = file.parent / "mesh.key"
    key.rename(key.with_suffix(".away"))
    with pytest.raises(MeshcacheError):
        MeshNode.for_worker(file).start()
    key.with_suffix(".away").rename(key)
    MeshNode.for_worker(file).start().close()


class TestNotRequired:
    def test_without_a_running_node_a_context_shakes_hands_in_full(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        node = MeshNode.from_file(file, ["mesh.listen=127.0.0.1:0", "admin.socket=false"])
        context, client = server_context("stdlib"), client_context()
        assert node.attach(context, vip="shop", required=False) is context
        with node:
            assert node.attach(context, vip="shop", required=False) is context
            node.attach(server_context("stdlib"), vip="nosuch", required=False)
            assert node.stats()["left_out"] == {"new": 1, "AttachError": 1}
            session = visit(context, client).session
            assert visit(context, client, session=session).resumed
        for _ in range(2):
            late = node.attach(server_context("stdlib"), vip="shop", required=False)
            assert not visit(late, client).resumed
        assert node.left_out == {"new": 1, "AttachError": 1, "closed": 2}
        said = [record for record in caplog.records if "without the mesh" in record.getMessage()]
        assert len(said) == 3

    def test_in_a_forked_child_it_neither_hangs_nor_raises(self, file: Path) -> None:
        with MeshNode.from_file(file, ["mesh.listen=127.0.0.1:0", "admin.socket=false"]) as node:

            def in_child() -> int:
                context = node.attach(server_context("stdlib"), vip="shop", required=False)
                return 0 if node.left_out == {"forked": 1} and not visit(context, client_context()).resumed else 1

            with node.internals.lock, node.internals.pump.lock:  # as another thread may hold them at a fork
                pid = os.fork()
                if pid == 0:
                    os._exit(in_child())
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def test_by_default_it_is_required(self, file: Path) -> None:
        with pytest.raises(MeshcacheError, match="node is new"):
            MeshNode.from_file(file).attach(server_context("stdlib"), vip="shop")
        with pytest.raises(MeshcacheError, match="0 nodes"):
            meshcache.attach(server_context("stdlib"), vip="shop")
        with pytest.raises(ConfigError):
            MeshNode.for_worker(file.parent / "nosuch.toml")


CONTAINER = """
import os, sys
from meshcache import MeshNode
assert os.getpid() < 10, "this is a PID namespace of its own"
with MeshNode.for_worker(sys.argv[1]) as node:
    print(os.getpid(), node.name, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="PID namespaces need root")
def test_two_containers_with_the_same_pids_host_name_and_state_folder_do_not_collide_and_meet(file: Path) -> None:
    with ExitStack() as stack:
        said = []
        for _ in range(2):
            command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", CONTAINER, str(file)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout is not None
            said.append(process.stdout.readline().split())
        (one_pid, one), (other_pid, other) = said
        assert one_pid == other_pid
        assert one.split(".")[1] != other.split(".")[1], "each has a tag of its own"
        with MeshNode.for_worker(file) as node:
            wait_until(lambda: alive(node) == {one, other})


def shown(node: MeshNode) -> tuple[object, object]:
    (vip,) = node.policy()
    return vip["reach"], vip["epoch"]


def test_more_workers_or_fewer_lose_no_policy_that_was_set(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One process, two workers, three, and one process again; an operator speaks each time."""
    with MeshNode.from_file(file) as node:
        node.attach(server_context("pyopenssl"), vip="shop")
        node.policies.set_policy("shop", {"reach": "server"}, node_only=True)
        node.policies.withdraw(group="shop", new_epoch=True)
        assert shown(node) == ("server", 1)
    with MeshNode.for_worker(file) as one, MeshNode.for_worker(file, ["node.colo=local"]) as other:
        for node in (one, other):
            node.attach(server_context("pyopenssl"), vip="shop")
            assert shown(node) == ("server", 1)
        assert "reach of vip shop, set for this server alone: server" in caplog.text
        for node in (one, other):
            node.policies.set_policy("shop", {"lineage_s": "5000"}, node_only=True)
            node.policies.unset_policy("shop", ["reach"], node_only=True)
    with ExitStack() as stack:
        workers = [stack.enter_context(MeshNode.for_worker(file, [f"cache.max_sessions={n}"])) for n in (101, 102, 103)]
        for node in workers:
            node.attach(server_context("pyopenssl"), vip="shop")
            assert shown(node) == ("colo", 1)
            assert node.policy()[0]["lineage_s"] == 5000
        workers[2].policies.set_policy("shop", {"reach": "server"}, node_only=True)
    with MeshNode.from_file(file) as node:
        node.attach(server_context("pyopenssl"), vip="shop")
        assert shown(node) == ("server", 1)
        assert node.policy()[0]["lineage_s"] == 5000
