"""The unit and the files for `meshcache tickets agent`: whole, and what the programs beside take."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from meshcache.checks.exports import export_notes
from meshcache.config import read_settings
from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring
from tests.server.harness import make_certificates
from tests.support.processes import Processes
from tests.support.waiting import wait_until

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


@pytest.mark.parametrize("unit", ["meshcache-tickets.service", "meshcache.service"])
def test_what_a_unit_runs_makes_no_system_call_that_the_unit_forbids(
    unit: str, folder: Path, processes: Processes
) -> None:
    """libseccomp, which comes with systemd, does what that does: it ends a process that makes another call."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd isn't installed here")
    text = (DOCS / unit).read_text()
    calls = permitted_calls(text)
    assert "mount" not in calls
    words = re.search(r"(?m)^ExecStart=\S+ (.*) \S+$", text)
    assert words is not None
    create_keyring(folder / "mesh.key", Keyring.new())
    made = make_certificates(folder)
    listens = LISTENS.format(chain=made.chain, key=made.key) if words[1] == "serve" else EXPORTS
    (folder / "node.toml").write_text(NODE + listens)
    command = [sys.executable, "-c", CONFINED, " ".join(calls), *words[1].split(), str(folder / "node.toml")]
    process = processes.start(command)
    wait_until(lambda: "ready: " in process.output or not process.running, what="it is ready")
    process.send(signal.SIGTERM)
    assert process.wait() == 0, process.output
    assert "ready: " in process.output


NODE = """
[node]
name = "edge-1"
state_dir = "state"

[mesh]
listen = "127.0.0.1:0"
mdns = false
key_file = "mesh.key"

[[vip]]
name = "shop"
resumption = "tickets"
"""

LISTENS = """
listen = "127.0.0.1:0"
certificate = "{chain}"
private_key = "{key}"
"""

EXPORTS = """
[[tickets.export]]
vip = "shop"
format = "nginx"
path = "keys"
command = ["true"]
"""

CONFINED = """
import ctypes, os, sys
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
END, ALLOW = ctypes.c_uint32(0x80000000), ctypes.c_uint32(0x7FFF0000)
rules = ctypes.c_void_p(seccomp.seccomp_init(END))
for name in sys.argv[1].split():
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    assert number < 0 or seccomp.seccomp_rule_add(rules, ALLOW, number, 0) == 0, name
assert seccomp.seccomp_load(rules) == 0
os.execv(sys.executable, [sys.executable, "-m", "meshcache", *sys.argv[2:]])
"""


def permitted_calls(unit: str) -> list[str]:
    """Return the system calls of a unit's SystemCallFilter=, by name."""
    calls: set[str] = set()
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit):
        named = {call for word in line.removeprefix("~").split() for call in calls_of(word)}
        calls = calls - named if line.startswith("~") else calls | named
    return sorted(calls)


def calls_of(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    told = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    words = [line.strip() for line in told.stdout.splitlines()[1:] if not line.strip().startswith("#")]
    return {call for each in words if each for call in calls_of(each)}
