"""Fixtures for all tests; each gives something real and takes it away again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from tests.support.material import Authority
from tests.support.processes import Processes

# A runner in the background ignores SIGINT, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no reason to fail; CI repeats itself exactly.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority and a certificate for shop.example, made once."""
    return Authority.new()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for what is put into Unix socket paths (108 bytes on Linux, unix(7))."""
    with TemporaryDirectory(prefix="mc-") as path:
        yield Path(path)


@pytest.fixture
def processes(folder: Path) -> Iterator[Processes]:
    """Starts programs; whatever they do, they are gone when the test is over."""
    with Processes(folder) as started:
        yield started
