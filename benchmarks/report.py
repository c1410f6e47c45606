"""What a benchmark found, as a table for people and JSON for programs. Measures nothing."""

from __future__ import annotations

import json
import os
import platform
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from cryptography.hazmat.backends.openssl.backend import backend
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. Without a target it is there to be read beside the others.

    ``at_least`` says which side of the target is good; ``detail`` holds what the number was computed from.
    """

    benchmark: str
    name: str
    measured: float
    unit: str
    target: float | None = None
    at_least: bool = False
    detail: dict[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Measured over target."""
        return None if not self.target else self.measured / self.target

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: "-"}[self.met]

    def to_plain(self) -> dict[str, object]:
        plain = asdict(self) | {"ratio": self.ratio, "verdict": self.verdict}
        return {
            key: None if isinstance(value, float) and not isfinite(value) else value for key, value in plain.items()
        }


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the one table."""
    table = Table(title="meshcache benchmarks")
    for column in ("benchmark", "figure"):
        table.add_column(column)
    for column in ("measured", "target", "ratio", "verdict"):
        table.add_column(column, justify="right")
    for figure in figures:
        table.add_row(*_row(figure), style="red" if figure.met is False else None)
    console.print(table)


def write(figures: Sequence[Figure], path: Path, wall_s: float) -> None:
    """Write everything that was measured, and on what, as one JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_s": round(wall_s, 1),
        "machine": machine(),
        "figures": [figure.to_plain() for figure in figures],
    }
    path.write_text(json.dumps(plain, indent=2) + "\n")


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "server_openssl": backend.openssl_version_text(),
        "client_openssl": ssl.OPENSSL_VERSION,
    }


def _row(figure: Figure) -> list[str]:
    bound = "" if figure.target is None else f"{'>=' if figure.at_least else '<='} {_number(figure.target)}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    measured = f"{_number(figure.measured)} {figure.unit}".rstrip()
    return [figure.benchmark, figure.name, measured, bound, ratio, figure.verdict]


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
