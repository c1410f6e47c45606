"""What every module of contrib is built on: it starts once in a process, and never raises at a server."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from meshcache import MeshcacheError
from meshcache.contrib import Mesh, join
from meshcache.contrib.mesh import left_out
from tests.support.material import write_key
from tests.tls.world import client_context, server_context, visit

CONFIGURATION = (
    '[mesh]\nkey_file = "mesh.key"\nlisten = "127.0.0.1:0"\nmdns = false\n[admin]\nsocket = false\n'
    '[[vip]]\nname = "shop"\n'
)


@pytest.fixture
def file(folder: Path) -> Path:
    write_key(folder)
    path = folder / "meshcache.toml"
    path.write_text(CONFIGURATION)
    return path


def test_contexts_join_the_one_node_of_the_process_and_are_counted(file: Path) -> None:
    mesh, same = Mesh(file), pickle.loads(pickle.dumps(Mesh(file)))
    assert mesh == same
    node = mesh.start()
    assert node is not None
    assert same.start() is node
    context, client = mesh.join(server_context("stdlib")), client_context()
    other = join(server_context("pyopenssl"), file, vip="shop")
    session = visit(context, client).session
    assert visit(other, client, session=session).resumed
    assert node.stats()["vips"]["shop"]["handshakes"] == {
        "full": 1,
        "local": 1,
        "remote": 0,
        "pulled": 0,
        "failed": 0,
    }
    mesh.close()
    late = mesh.join(server_context("stdlib"))
    assert not visit(late, client, session=session).resumed
    assert node.left_out == {"closed": 1}


@pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])
def test_names_lead_to_contexts_that_join_and_are_counted(file: Path, kind: str) -> None:
    mesh, client = Mesh(file), client_context()
    a, b = server_context(kind, names=("a.test",)), server_context(kind, names=("b.test",))
    sites = mesh.join_names(server_context(kind, names=("listening.test",)), {"a.test": a}, unknown="default")
    node = mesh.start()
    assert node is not None
    before = node.stats()["vips"]["shop"]["handshakes"]
    sites.add("b.test", b)
    for name in ("a.test", "b.test"):
        session = visit(sites.context, client, name=name).session
        assert visit(sites.context, client, name=name, session=session).resumed
    after = node.stats()["vips"]["shop"]["handshakes"]
    assert (after["full"] - before["full"], after["local"] - before["local"]) == (2, 2)
    mesh.close()


@pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])
def test_without_a_node_each_name_has_its_context_all_the_same(folder: Path, kind: str) -> None:
    file = folder / "meshcache.toml"
    file.write_text(CONFIGURATION)  # and there is no key
    before = left_out.counts().get("not started", 0)
    named = server_context(kind, names=("a.test",))
    sites = Mesh(file).join_names(server_context(kind, names=("listening.test",)), {"a.test": named})
    sites.add("b.test", server_context(kind, names=("b.test",)))
    assert sites.remove("b.test")
    for name in ("a.test", "listening.test"):
        seen = visit(sites.context, client_context(), name=name).client.tls.getpeercert()
        assert seen["subjectAltName"] == (("DNS", name),)  # type: ignore[index]
    assert left_out.counts()["not started"] == before + 3


def test_a_node_that_cannot_start_leaves_full_handshakes_one_line_and_counts(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "meshcache.toml"
    file.write_text(CONFIGURATION)  # and there is no key
    mesh, before = Mesh(file, vip="shop"), left_out.counts().get("not started", 0)
    for _ in range(3):
        context = mesh.join(server_context("stdlib"))
        assert not visit(context, client_context()).resumed
    mesh.close()
    assert left_out.counts()["not started"] == before + 3
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert "mesh.key" in said[0]
    with pytest.raises(MeshcacheError):
        Mesh(file, vip="shop", required=True).join(server_context("stdlib"))


def test_with_several_vips_one_has_to_be_named(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(CONFIGURATION + '[[vip]]\nname = "pay"\n')
    mesh = Mesh(file)
    mesh.join(server_context("stdlib"))
    assert "say which VIP the context serves (vip=…); the configuration has: shop, pay" in caplog.text
    mesh.join(server_context("stdlib"), vip="pay")
    node = mesh.start()
    assert node is not None
    assert node.left_out == {"AttachError": 1}
    assert list(node.stats()["vips"]) == ["pay"]
    mesh.close()


_FORKS = """
import os, sys
from pathlib import Path
from meshcache.contrib.mesh import Mesh
from tests.tls.world import client_context, server_context, visit

mesh = Mesh(Path(sys.argv[1]))
node = mesh.start()
pid = os.fork()
if pid == 0:
    own = mesh.start()
    context = mesh.join(server_context("stdlib"))
    session = visit(context, client_context()).session
    os._exit(0 if own is not node and session is not None and own is not None and own.left_out == {} else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert mesh.start() is node
mesh.close()
print("closed")
"""


def test_a_forked_worker_has_its_own_node_and_the_parent_s_goes_on(file: Path) -> None:
    """In a process of its own: the tests' has threads that are in the middle of anything when it forks."""
    done = subprocess.run(
        [sys.executable, "-c", _FORKS, str(file)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "closed\n", done.stderr
