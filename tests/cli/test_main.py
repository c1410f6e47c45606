"""The command as a whole: quick, helpful when misspelt, with one exit code for each kind of failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meshcache import errors
from meshcache.cli import main as main_module
from meshcache.cli.main import COMMANDS, cli
from tests.cli.conftest import Meshcache

HEAVY = ("pydantic", "cryptography", "OpenSSL", "zmq", "aiohttp", "rich", "zeroconf")


def test_help_imports_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys; from meshcache.cli.main import run; run(['--help']); "
        f"print([module for module in {HEAVY} if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_command_with_the_line_it_shows_itself(meshcache: Meshcache) -> None:
    listed = meshcache("--help").out
    for name, entry in COMMANDS.items():
        assert f"  {name}" in listed
        assert entry.help in listed
        assert meshcache(name, "--help").code == 0


def test_the_version_is_the_packages(meshcache: Meshcache) -> None:
    assert meshcache("--version").out.startswith("meshcache 0.")


def test_a_misspelt_command_is_told_the_nearest(meshcache: Meshcache) -> None:
    ended = meshcache("stat")
    assert ended.code == 2
    assert 'there is no command "stat"; did you mean "stats"?' in ended.err


def test_an_unknown_option_is_misuse(meshcache: Meshcache) -> None:
    assert meshcache("stats", "--jsn").code == 2
    assert meshcache().code == 2


@pytest.mark.parametrize(
    "error,code,told",
    [
        (errors.ConfigError(["vip[0].name: is missing", "x: y"]), 2, "meshcache: 2 faults in the configuration"),
        (errors.KeyringError("no such key"), 2, "meshcache: no such key"),
        (errors.AdminError("no node"), 1, "meshcache: no node"),
        (errors.TransportError("port in use"), 1, "meshcache: port in use"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_each_kind_of_failure_has_its_exit_code_and_no_traceback(
    meshcache: Meshcache, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    stdout = sys.stdout
    monkeypatch.setattr(cli, "main", fail)
    try:
        ended = meshcache("stats")
    finally:
        if sys.stdout is not stdout:  # the command gave it up, as it does when nobody reads
            sys.stdout.close()
            sys.stdout = stdout
    assert ended.code == code
    assert told in ended.err
    assert "Traceback" not in ended.err


def test_a_reader_that_leaves_early_is_no_traceback(socket: Path) -> None:
    """As in `meshcache stats --watch --json | head -1`."""
    with subprocess.Popen(
        [sys.executable, "-m", "meshcache", "stats", "--watch", "--json", "--socket", str(socket)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith('{"node"')
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 1


def test_main_exits_with_the_code_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "run", lambda _arguments: 3)
    with pytest.raises(SystemExit) as caught:
        main_module.main(["stats"])
    assert caught.value.code == 3
