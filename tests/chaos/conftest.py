"""What chaos tests share. Those marked ``chaos`` take longer and run when ``-m`` asks for them: `make chaos`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.hosts import Hosts


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: takes longer than `make test` should; `make chaos` runs it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "chaos" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("chaos")]
    items[:] = [item for item in items if not item.get_closest_marker("chaos")]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def hosts(folder: Path) -> Iterator[Hosts]:
    """Starts agents; whatever they do, they are gone when the test is over."""
    with Hosts(folder) as started:
        yield started
