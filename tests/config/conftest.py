"""Folders for configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(folder: Path) -> Path:
    """A short one, since state/NAME/admin.sock below it has to fit into a Unix socket's path."""
    return folder
