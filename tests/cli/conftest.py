"""What the command's tests share: running it in this process, and a node behind a real admin socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshcache.admin.server import AdminServer
from meshcache.cli.main import run
from meshcache.config import AdminSettings
from tests.admin.snapshots import GeneratedNode


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Meshcache = Callable[..., Ended]


class BusyNode(GeneratedNode):
    """A node of a busy mesh, with everything that commands ask for."""

    def peers(self) -> list[dict[str, Any]]:
        return self.peers_plain

    def policy(self) -> list[dict[str, Any]]:
        return [
            {"vip": "shop", "group": "storefront", "reach": ["ams1", "fra1"], "lifetime_s": 3600, "lineage_s": 86400},
            {"vip": "pay", "group": "pay", "reach": "colo", "client_certificates": "never", "quota_bytes": 2**21},
        ]


@pytest.fixture
def tmp_path(folder: Path) -> Path:
    """A short one, since state/NAME/admin.sock below it has to fit into a Unix socket's path."""
    return folder


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a meshcache.toml or a variable that happens to be there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHCACHE_SOCKET", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def meshcache(capsys: pytest.CaptureFixture[str]) -> Meshcache:
    """Runs one command and returns how it ended."""

    def invoke(*arguments: str | Path) -> Ended:
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return invoke


@pytest.fixture
def node() -> BusyNode:
    node = BusyNode()
    node.advance(60)
    return node


@pytest.fixture
def socket(node: BusyNode, tmp_path: Path) -> Iterator[Path]:
    """The admin socket of `node`, answering."""
    path = tmp_path / "admin.sock"
    with AdminServer(node, AdminSettings(socket=path)):
        yield path
