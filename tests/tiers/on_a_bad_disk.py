"""A node whose disk is bad, in a process of its own: ``python -m tests.tiers.on_a_bad_disk FOLDER DISK BALLAST MIB``.

Makes sessions until writing fails, prints as JSON what became of that, takes the ballast away, and says whether writing
goes on. No test itself: `test_bad_disks` gives it mounts and limits.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from meshcache import MeshNode
from meshcache.core.values.session import Outcome
from meshcache.doctor.tiers import tier_findings
from meshcache.tiers.disk import DiskTier
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tls.world import server_context


def main(folder: Path, disk: str, ballast: Path, mib: str) -> None:
    """See the module."""
    DiskTier.budget_s = 30.0  # on a busy machine an answer comes late, which is told as well
    tier = {"disk": {"path": disk, "max_bytes": f"{mib}MiB"}}
    with MeshNode(settings(folder, tier=tier)) as node:
        node.attach(server_context("stdlib", None), vip="shop")

        def counts() -> dict[str, int]:
            found: dict[str, int] = node.stats()["tiers"][0]["counts"]
            return found

        def has_failed_twice() -> bool:
            """The second time shows that it is tried again, and told once."""
            made.extend(_make(node, 500) if len(made) < 30_000 else _make(node, 1))
            return counts().get("raised", 0) >= 2

        made: list[bytes] = []
        wait_until(has_failed_twice, what="writing fails")
        told: dict[str, Any] = {
            "events": [event["text"] for event in node.events() if event["kind"] == "HookFaulted"],
            "findings": [(each.state.value, each.text) for each in tier_findings(node.stats()["tiers"])],
            "warm": node.wait_warm(60),
            "resumes": all(_found(node, session_id) is Outcome.LOCAL for session_id in made[-100:]),
        }
        ballast.unlink(missing_ok=True)
        before = counts().get("written", 0)

        def is_written() -> bool:
            _make(node, 1)
            return counts().get("written", 0) > before

        if mib == "16":
            wait_until(is_written, what="it is written")
            told["later"] = [each.state.value for each in tier_findings(node.stats()["tiers"])]
        print(json.dumps(told), flush=True)


def _make(node: MeshNode, count: int) -> list[bytes]:
    pump, ids = node.internals.pump, [os.urandom(32) for _ in range(count)]
    for session_id in ids:
        with pump.lock:
            pump.core.session_created("shop", session_id, b"\x30" + session_id + b"\xab" * 90, pump.clock())
    return ids


def _found(node: MeshNode, session_id: bytes) -> Outcome | None:
    pump = node.internals.pump
    with pump.lock:
        return pump.core.lookup("shop", session_id, pump.clock()).outcome


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4])
