"""An interface that is deleted and made anew: mDNS hears again on it, on IPv4 and on a link-local address."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.namespaces import Lan, NamespacesError
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
LINK_LOCAL = ["fe80::a", "fe80::b"]


@pytest.fixture
def lan() -> Iterator[Lan]:
    try:
        made = Lan(2)
    except NamespacesError as error:
        if os.geteuid() == 0 and "CI" in os.environ:
            raise
        warnings.warn(f"not run: {error}", stacklevel=1)
        pytest.skip(str(error))
    with made:
        yield made


def interfaces(at: int) -> list[str]:
    return [Lan.address(at), f"{LINK_LOCAL[at]}%eth0"]


def neighbour(lan: Lan, at: int, *arguments: str) -> list[str]:
    return [*lan.command(at), sys.executable, "-m", "tests.chaos.neighbour", *arguments]


def told(lan: Lan, *arguments: str) -> str:
    """What the first host's doctor or check says."""
    done = subprocess.run(
        neighbour(lan, 0, *arguments), capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    return done.stdout.strip()


@contextmanager
def speaking(lan: Lan, at: int, port: int, log: Path) -> Iterator[None]:
    """A node's mDNS on a host; whom it finds goes to a file."""
    with log.open("w") as out, log.with_suffix(".err").open("w") as err:
        command = neighbour(lan, at, "speak", str(port), *interfaces(at))
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=ROOT)
        try:
            yield
        finally:
            process.communicate(timeout=60)


@pytest.mark.slow
def test_mdns_hears_again_on_an_interface_that_was_made_anew(lan: Lan, tmp_path: Path) -> None:
    for at, address in enumerate(LINK_LOCAL):
        lan.add_address(at, address)
    assert told(lan, "check", *interfaces(0)) == "[]"
    assert "write fe80::a%eth0" in told(lan, "check", "fe80::a")
    first = tmp_path / "first"
    with speaking(lan, 0, 1111, first):
        with speaking(lan, 1, 2222, tmp_path / "second"):
            wait_until(lambda: f"{lan.address(1)}:2222" in first.read_text(), within_s=60)
        assert told(lan, "ask", "1111", *interfaces(0)) == "[True, True]"
        lan.replug(0)
        lan.add_address(0, LINK_LOCAL[0])
        wait_until(lambda: told(lan, "ask", "1111", *interfaces(0)) == "[True, True]", within_s=60)
        with speaking(lan, 1, 3333, tmp_path / "third"):
            wait_until(lambda: f"{lan.address(1)}:3333" in first.read_text(), within_s=60)
