"""Tests of `checks.workers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.checks.workers import worker_notes
from tests.nodes import settings

SEEDS = {"seeds": ["10.0.0.7:7947"], "mdns": False}


def notes(folder: Path, workers: Any, **mesh: Any) -> list[str]:
    own = settings(folder)
    changed = own.mesh.model_copy(update=mesh)
    return worker_notes(
        own.model_copy(update={"mesh": changed, "server": own.server.model_copy(update={"workers": workers})})
    )


def test_seeds_that_lead_to_no_worker_are_named(folder: Path) -> None:
    (note,) = notes(folder, 4, **SEEDS)
    assert note.startswith("mesh.worker_ports: workers listen on free ports")


@pytest.mark.parametrize(
    ("workers", "mesh"),
    [(1, SEEDS), (4, SEEDS | {"mdns": True}), (4, SEEDS | {"seeds": ()}), (4, SEEDS | {"worker_ports": (7947, 7950)})],
)
def test_what_leads_somewhere_is_fine(folder: Path, workers: int, mesh: dict[str, Any]) -> None:
    assert notes(folder, workers, **mesh) == []
