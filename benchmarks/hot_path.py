"""What the hot path adds to a resumed handshake, compiled and in Python: bare in memory, against OpenSSL's own cache.

A node without peers, so that what a session costs on its way to others is not in it. The two sides of a ratio take
turns in one process, so that what else the machine does meets both.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import meshcache.hot as hot
from benchmarks.bare import Bare
from benchmarks.cpu import VERSIONS, bare_block, compare
from benchmarks.effort import Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.material import VIP, plan_servers
from benchmarks.report import Figure
from meshcache import MeshNode

TARGETS = {"1.2": 1.12, "1.3": 1.15}
"""Of the compiled path. In a server a handshake takes two to three times as long, so the same microseconds are less."""


def run(effort: Effort) -> list[Figure]:
    """Both paths, each in a process of its own; the compiled one where there is one."""
    paths = ("c", "python") if hot.compiled is not None else ("python",)
    return [figure for path in paths for figure in _figures(path, effort)]


def _figures(path: str, effort: Effort) -> list[Figure]:
    before = os.environ.get(hot.PURE)
    os.environ[hot.PURE] = "1" if path == "python" else "0"
    try:
        return in_fresh_process(_measure, path, effort)
    finally:
        os.environ.pop(hot.PURE)
        if before is not None:
            os.environ[hot.PURE] = before


def _measure(path: str, effort: Effort) -> list[Figure]:
    assert hot.path() == path, "the environment decides"
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="mc-") as folder:
        (plan,) = plan_servers(Path(folder), 1)
        with MeshNode.from_file(plan.file) as node:
            for version in VERSIONS:
                ours = Bare(Path(folder), version, lambda context: node.attach(context, vip=VIP))
                theirs = Bare(Path(folder), version)
                name, target = f"TLS {version} resumed, {path}", TARGETS[version] if path == "c" else None
                sides = bare_block(ours, effort.block), bare_block(theirs, effort.block)
                figures += compare("hot_path", name, effort, *sides, target)
    return figures
