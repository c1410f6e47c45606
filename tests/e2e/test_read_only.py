"""A server where nothing can be written, as in a container with a read-only root: the mount is real."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.deployment import Deployment, deploy
from tests.server.test_app import body
from tests.support.processes import Process, Processes
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0,
    reason="mounting needs root and mount namespaces",
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    (tmp_path / "etc").mkdir()
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path / "etc", processes)


def on_read_only(shop: Deployment, *arguments: str) -> Process:
    """``meshcache ARGUMENTS`` with the folder of its file mounted read-only, in a mount namespace of its own."""
    folder = shlex.quote(str(shop.folder))
    command = shlex.join([sys.executable, "-m", "meshcache", *arguments, str(shop.file)])
    script = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec {command}"
    return shop.processes.start(["unshare", "--mount", "sh", "-c", script])


def ended(process: Process) -> str:
    assert process.wait(PATIENCE_S) == 2, process.output
    return process.output


def test_without_a_place_for_its_state_it_says_what_to_do_and_does_not_start(shop: Deployment) -> None:
    for command in ("check", "serve"):
        told = ended(on_read_only(shop, command))
        assert "node.state_dir: " in told
        assert f"{shop.folder} is mounted read-only; mount a folder for it" in told
        assert "set it to false: then nothing is kept over a restart" in told
        assert "Traceback" not in told


def test_a_key_that_others_can_read_there_is_told_of_in_words_that_can_be_followed(shop: Deployment) -> None:
    (shop.folder / "shop.key").chmod(0o644)
    (shop.folder / "mesh.key").chmod(0o644)
    told = ended(on_read_only(shop, "check"))
    assert (
        told.count("it is on a read-only mount, so set that where it is mounted from: in Kubernetes defaultMode") == 2
    )


def test_with_no_state_folder_it_serves_and_keeps_nothing(shop: Deployment) -> None:
    text = shop.file.read_text()
    shop.file.write_text(text.replace('colo = "ams1"', 'colo = "ams1"\nstate_dir = false'))
    before = sorted(shop.folder.iterdir())
    process = on_read_only(shop, "serve")
    wait_until(lambda: " ready: " in process.output or not process.running)
    assert process.running, process.output
    shop.port = int(process.output.partition("shop=127.0.0.1:")[2].split()[0])
    client = shop.certificates.client()
    session, _ = shop.visit(None, client)
    _, answer = shop.visit(session, client)
    assert body(answer)["session"] == "local"
    assert "read-only" not in process.output.lower()
    assert "Traceback" not in process.output
    process.end()
    assert sorted(shop.folder.iterdir()) == before
