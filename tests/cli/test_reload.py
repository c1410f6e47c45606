"""`meshcache reload` against a node that takes none; tests/server/test_report.py has a server's."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import meshcache


def test_no_node_is_a_failure(tmp_path: Path) -> None:
    done = meshcache("reload", "--socket", tmp_path / "none.sock")
    assert done.returncode == 1
    assert "no node at" in done.stderr
