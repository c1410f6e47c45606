"""What `doctor` says of ticket keys that other servers get."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from meshcache.config import read_settings
from meshcache.doctor.finding import FindingState
from meshcache.doctor.ticket_exports import export_findings, left_alone_findings


def export(state: str, **more: Any) -> dict[str, Any]:
    plain = {"vip": "shop", "format": "nginx", "path": "/run/shop", "stale_s": 0.0, "failed": 0, "left_out": 0}
    return plain | {"state": state, "why": "", **more}


def states(*exports: dict[str, Any]) -> list[FindingState]:
    return [finding.state for finding in export_findings(exports)]


def test_without_exports_there_is_nothing_to_say() -> None:
    assert states() == []


def test_those_that_are_well_are_one_line() -> None:
    assert [finding.text for finding in export_findings([export("ok")])] == ["shop for nginx: as the mesh has them"]
    assert [finding.text for finding in export_findings([export("ok")] * 2)] == ["2, all: as the mesh has them"]


def test_a_server_that_has_not_what_it_should_have_is_a_problem() -> None:
    failing = export("failing", why="nginx: exit status 1", failed=3, stale_s=40.0)
    (finding,) = export_findings([export("ok"), failing])
    assert finding.state is FindingState.PROBLEM
    assert finding.text == "nginx: exit status 1 (3 times); for 40 s it hasn't had what it should have"
    assert states(export("ok", stale_s=20.0)) == [FindingState.PROBLEM]
    assert states(export("ok", stale_s=1.0)) == [FindingState.FINE]
    assert states(export("refused", why="the keys never leave")) == [FindingState.PROBLEM]


def test_what_may_yet_come_is_a_note() -> None:
    assert states(export("waiting")) == [FindingState.NOTE]
    assert states(export("ok", left_out=2)) == [FindingState.NOTE]


def test_keys_that_nobody_changes_any_more_are_a_problem(tmp_path: Path) -> None:
    vip = {"name": "shop", "resumption": "tickets", "sharing": {"rotate_s": 3600}}
    plain = {"vip": [vip], "tickets": {"export": [{"vip": "shop", "format": "haproxy", "path": "keys"}]}}
    settings = read_settings(plain, tmp_path)
    assert not list(left_alone_findings(settings)), "there are none yet"
    (tmp_path / "keys").write_text("")
    assert not list(left_alone_findings(settings)), "it may be starting"
    old = time.time() - 7200
    os.utime(tmp_path / "keys", (old, old))
    (finding,) = left_alone_findings(settings)
    assert finding.state is FindingState.PROBLEM
    assert "2.0 h old, and no node was found that changes them" in finding.text
