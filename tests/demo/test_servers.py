"""The demo's fleet when something is wrong: it says which server, shows its log, and leaves no process behind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from meshcache.demo.files import DASHBOARD, SERVERS, build
from meshcache.demo.servers import DemoError, Fleet


def test_a_server_that_can_not_start_is_named_with_its_log_and_all_are_ended(folder: Path) -> None:
    files = build(folder, mdns=False)
    files.file(SERVERS[0]).write_text("[nonsense]\n")
    before = set(psutil.Process().children())
    with pytest.raises(DemoError, match=r"(?s)edge-1 ended with exit code 2.*nonsense"), Fleet(files) as fleet:
        fleet.wait_until_all_know_each_other()
    assert set(psutil.Process().children()) <= before


def test_a_dashboard_that_the_log_does_not_name_stops_the_demo(folder: Path) -> None:
    files = build(folder, mdns=False)
    fleet = Fleet(files)
    files.log(DASHBOARD).write_text("dashboard: http://127.0.0.1:4321/, and /metrics for Prometheus\n")
    assert fleet.dashboard() == "http://127.0.0.1:4321/"
    files.log(DASHBOARD).write_text("the last word\n")
    with pytest.raises(DemoError, match=r"(?s)edge-1 did not say.*the last word"):
        fleet.dashboard()


def test_asking_a_server_that_is_not_there_stops_the_demo(folder: Path) -> None:
    files = build(folder, mdns=False)
    files.log(SERVERS[0]).write_text("the last word\n")
    with pytest.raises(DemoError, match=r"(?s)edge-1: no node at .*the last word"):
        Fleet(files).stats(SERVERS[0])
