"""A server process for benchmarks: the bundled server, as it is or with one thing changed by composition.

    mesh         as it is
    tickets      as it is, with tickets under the mesh's keys
    own          its contexts use OpenSSL's own cache; there is no node
    own_tickets  its contexts use OpenSSL's own tickets; there is no node
    probe        as it is, and notes when each session of a peer could be looked up

Started as ``python -m benchmarks.server MODE FILE``. Answers questions on its standard input, one line each,
and ends when that is closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO, cast

from meshcache_server.app import ServerApp
from meshcache_server.loops import loop_factory

from benchmarks.call_counter import CallCounter
from benchmarks.no_mesh import NoMesh
from benchmarks.own_cache import use_own_cache, use_own_tickets
from benchmarks.probe import Probe
from meshcache import MeshNode, Settings, load

OWN = {"own": use_own_cache, "own_tickets": use_own_tickets}


def main(mode: str, file: Path) -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    settings = load(file, ["vip.0.resumption=tickets"] if mode == "tickets" else ())
    probe = Probe() if mode == "probe" else None
    node = _node(mode, settings)
    app = ServerApp(settings, node, reread=lambda: settings)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(_serve(app, probe))
        finally:
            node.close()


def _node(mode: str, settings: Settings) -> MeshNode:
    if mode in OWN:
        return cast(MeshNode, NoMesh(settings.node.name, settings.node.colo, OWN[mode]))
    return MeshNode(settings)


async def _serve(app: ServerApp, probe: Probe | None) -> None:
    serving = asyncio.create_task(app.serve())
    while not app.listeners and not serving.done():  # noqa: ASYNC110 - the server tells nobody but the log
        await asyncio.sleep(0.01)
    if not serving.done():
        _start_answering(app.node, probe)
    await serving


def _start_answering(node: MeshNode, probe: Probe | None) -> None:
    """Questions are answered from when the server is ready."""
    counter = CallCounter(asyncio.get_running_loop())
    answers: dict[str, Callable[[str], object]] = {
        "peers": lambda _: sum(peer["state"] == "alive" for peer in node.peers()),
        "ticket_key": lambda _: _encrypting(node),
        "stats": lambda _: json.dumps(node.stats()),
        "count": counter.start,
        "counted": counter.stop,
    }
    if probe is not None:
        answers |= {"arrived": probe.count, "arrivals": probe.write}
    answer_questions(answers)


def answer_questions(answers: dict[str, Callable[[str], object]]) -> None:
    """Answer what comes on standard input, each by its first word, on a thread that sleeps otherwise."""
    threading.Thread(target=_answer, args=(sys.stdin, sys.stdout, answers), daemon=True).start()


def _encrypting(node: MeshNode) -> str:
    """The name of the ticket key that encrypts."""
    keys = [key for ring in node.policies.ticket_rings() for key in ring["keys"]]
    return next((key["name"] for key in keys if key["state"] == "encrypts"), "none")


def _answer(questions: TextIO, out: TextIO, answers: dict[str, Callable[[str], object]]) -> None:
    for line in questions:
        question, _, rest = line.strip().partition(" ")
        print(answers[question](rest), file=out, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)  # whoever asked is gone, maybe killed: nobody else would end this server


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
