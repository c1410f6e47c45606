"""Sets of server processes that a benchmark needs together, and the folder they live in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.material import plan_servers
from benchmarks.processes import Server, wait_until_ready


@contextmanager
def mesh(
    modes: tuple[str, ...] = ("mesh", "mesh"),
    key: str = "rsa",
    checkout: Path | None = None,
    *,
    vip: str = "",
    may_hasten: bool = True,
    program: str = "benchmarks.server",
) -> Iterator[list[Server]]:
    """Servers that are one mesh, one for each mode, ready and introduced; of another checkout of this project's.

    `vip` is more lines for the VIP's table in their files; see `Server` for `may_hasten` and `program`.
    """
    with folder() as place, ExitStack() as stack:
        plans = plan_servers(place, len(modes), key)
        for plan in plans:
            plan.file.write_text(plan.file.read_text().replace("[[vip]]\n", f"[[vip]]\n{vip}"))
        servers = [
            stack.enter_context(Server(plan, mode, checkout, may_hasten=may_hasten, program=program))
            for plan, mode in zip(plans, modes, strict=True)
        ]
        wait_until_ready(servers, peers=len(modes) - 1)
        yield servers


@contextmanager
def alone(mode: str) -> Iterator[Server]:
    """One server without peers."""
    with mesh((mode,)) as servers:
        yield servers[0]


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that goes with the benchmark."""
    with tempfile.TemporaryDirectory(prefix="meshcache-bench-") as name:
        yield Path(name)
