"""Fixtures for all tests; each gives something real and takes it away again."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from tests.support.material import Authority
from tests.support.processes import Processes

# A runner in the background ignores SIGINT, one under nohup SIGHUP, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A slow machine is no reason to fail; CI repeats itself exactly.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("fast", deadline=None, max_examples=20)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ALL, TOGETHER, ALONE, HARNESS, FAST = "all", "together", "alone", "harness", "fast"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        choices=(ALL, TOGETHER, ALONE, HARNESS, FAST),
        default=ALL,
        help="those that run beside others, those marked `alone` or `harness`, or `fast`: see `tools/test`",
    )

    parser.addoption("--failed-to", type=Path, help="write the ids of tests that failed to this file, a line each")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("part") == FAST:
        settings.load_profile("fast")
    config.addinivalue_line("markers", "alone: measures, or fills the machine; never runs beside other tests")
    config.addinivalue_line("markers", "harness: checks the checks or builds the package; `make check` runs them")
    config.addinivalue_line("markers", "slow: takes a second or starts processes; not in `make test-fast`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part = config.getoption("part")
    if part == ALL:
        return
    left_out = [item for item in items if not _belongs(item, part)]
    items[:] = [item for item in items if _belongs(item, part)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take what was collected from the garbage collector's sight: thousands of tests live to the end."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if (where := config.getoption("failed_to")) is not None:
        reports = [r for kind in ("failed", "error") for r in terminalreporter.getreports(kind)]
        ids = dict.fromkeys(report.nodeid for report in reports)
        where.write_text("".join(f"{node}\n" for node in ids))


def _belongs(item: pytest.Item, part: str) -> bool:
    for own_part in (ALONE, HARNESS):
        if item.get_closest_marker(own_part) is not None:
            return part == own_part
    return part == TOGETHER or (part == FAST and item.get_closest_marker("slow") is None)


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
