"""Which libraries a start may load: each costs every command, every worker and every test that starts one its CPU.

What is listed takes 10 ms or more to import. Nothing here is measured: that would fail on a busy machine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {
    *("aiohttp", "attr", "cryptography", "dns", "lmdb", "OpenSSL", "prometheus_client", "pydantic", "rich", "uvloop"),
    *("valkey", "zeroconf", "zmq", "meshcache.core.wire.messages", "meshcache.core.values.events"),
}

STEPS = {
    "import meshcache.cli.stats, meshcache.cli.policy, meshcache.cli.tickets": set(),
    "import meshcache.config": {"pydantic"},
    "import meshcache.checks": {"cryptography", "OpenSSL", "zmq"},
    "import meshcache.node, meshcache_server.main": {"meshcache.core.wire.messages", "meshcache.core.values.events"},
    "from meshcache.admin.server import AdminServer": {"aiohttp", "attr"},
    "from tests.admin.nodes import PlainNode": set(),
    "with AdminServer(PlainNode(), meshcache.AdminSettings(socket=sys.argv[1])): pass": set(),
}
"""What is done, each after the one before it, and which of `HEAVY` that takes."""


def test_a_start_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    program = "import sys\n" + "\n".join(f"{step}\nprint(*sys.modules)" for step in STEPS)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "admin.sock")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parent.parent,
    )
    loaded = [set(line.split()) for line in done.stdout.splitlines()]
    allowed: set[str] = set()
    for (step, needed), modules in zip(STEPS.items(), loaded, strict=True):
        allowed |= needed
        assert modules & HEAVY == allowed, step
