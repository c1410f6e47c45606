"""The unit and the files for `meshcache tickets agent`: whole, and what the programs beside take."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from meshcache.checks.exports import export_notes
from meshcache.config import read_settings

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "ticket-export.md").read_text()


@pytest.mark.parametrize("server", ["nginx", "haproxy"])
def test_an_example_can_be_used_and_the_page_names_its_paths(server: str) -> None:
    text = (DOCS / f"deploy/tickets-{server}.toml").read_text()
    settings = read_settings(tomllib.loads(text), Path("/etc/meshcache"))
    (export,) = settings.tickets.export
    assert export.format == server
    assert str(export.path) in PAGE
    assert str(export.path) in text.partition("[node]")[0], "its head says what belongs into the server's own file"
    assert not any("keeps 3 keys" in note for note in export_notes(settings))


def test_the_page_s_own_example_is_right() -> None:
    indented = "\n".join(line[4:] for line in re.findall(r"(?m)^ {4}.*$|^$", PAGE.partition("## nginx")[0]))
    settings = read_settings(tomllib.loads(indented), Path("/etc/meshcache"))
    assert settings.tickets.export[0].command == ("sh", "-c", "nginx -t -q && nginx -s reload")


def test_the_unit_starts_the_agent_before_the_servers_and_keeps_the_keys_over_its_restarts() -> None:
    unit = (DOCS / "meshcache-tickets.service").read_text()
    lines = dict(re.findall(r"(?m)^(\w+)=(.*)$", unit))
    assert lines["ExecStart"].endswith("meshcache tickets agent /etc/meshcache/tickets.toml")
    assert set(lines["Before"].split()) == {"nginx.service", "haproxy.service"}
    assert (lines["Type"], lines["RuntimeDirectoryPreserve"], lines["UMask"]) == ("notify", "yes", "0077")


@pytest.mark.parametrize("unit", ["meshcache-tickets.service", "meshcache.service"])
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd isn't installed here")
    text = (DOCS / unit).read_text()
    (tmp_path / unit).write_text(text.replace("/opt/meshcache/bin/meshcache", sys.executable))
    done = subprocess.run([analyze, "verify", tmp_path / unit], capture_output=True, text=True, timeout=60)
    assert [line for line in (done.stdout + done.stderr).splitlines() if unit in line] == []
    (tmp_path / unit).write_text(text.replace("[Service]", "[Service]\nTypo=yes"))
    done = subprocess.run([analyze, "verify", tmp_path / unit], capture_output=True, text=True, timeout=60)
    assert "Typo" in done.stdout + done.stderr, "it does look"
