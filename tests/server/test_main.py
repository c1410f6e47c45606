"""Tests of `server.main` and of ``python -m meshcache_server``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.deployment import Deployment, deploy
from tests.support.processes import Processes
from tests.support.processes import run as run_program


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_program([sys.executable, "-m", "meshcache_server", *map(str, arguments)])


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--help"]])
def test_anything_but_one_file_is_a_usage_error(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr == "usage: python -m meshcache_server FILE\n"


def test_a_bad_file_names_every_fault_and_exits_with_2(shop: Deployment) -> None:
    shop.write(vip='colour = "red"\nmin_tls = "1.1"')
    done = run(shop.file)
    assert done.returncode == 2
    assert "vip[0].colour" in done.stderr
    assert "vip[0].min_tls" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_exits_with_2(shop: Deployment) -> None:
    shop.start()
    shop.write()  # with the port that the running server has
    done = run(shop.file)
    assert done.returncode == 2
    assert f"vip[0].listen[0]: 127.0.0.1:{shop.port} can't be had: address already in use" in done.stderr


def test_a_missing_mesh_key_exits_with_1(shop: Deployment) -> None:
    (shop.folder / "mesh.key").unlink()
    done = run(shop.file)
    assert done.returncode == 1
    assert "mesh.key" in done.stderr
    assert "Traceback" not in done.stderr
