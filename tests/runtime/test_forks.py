"""Tests of `runtime.forks`: a child is told, and its handshakes wait for nothing that its parent had."""

import gc
import os
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache.runtime import forks
from tests.nodes import Place, places
from tests.runtime.test_callback_wait import Two
from tests.support.waiting import wait_until
from tests.tls.world import KINDS, VERSIONS, client_context, visit

HANGS_S = 20
"""After which a child that hasn't ended is ended by the kernel."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


class Told:
    def __init__(self) -> None:
        self.children = 0

    def forked(self) -> None:
        self.children += 1


def in_child(answer: object) -> int:
    """What `answer` says in a forked child."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(HANGS_S)
        os._exit(answer())  # type: ignore[operator]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_is_told_and_the_parent_is_not() -> None:
    told = Told()
    forks.watch(told)
    assert in_child(lambda: told.children) == 1
    assert told.children == 0


def test_watching_keeps_nothing_alive() -> None:
    told = Told()
    forks.watch(told)
    seen = weakref.ref(told)
    del told
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("resumption", ["sessions", "tickets", "both"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("hot_path")
def test_a_childs_handshakes_end_in_full_though_the_core_was_locked_at_the_fork(
    place: Place, kind: str, version: str, resumption: str
) -> None:
    node = place.node("edge-1", vip=[{"name": "shop", "resumption": resumption}])
    context, client = place.server(node, kind=kind, version=version), client_context(version)
    first = visit(context, client)

    def resumes() -> bool:  # from the first on; with tickets, once there are keys for them
        nonlocal first
        first = visit(context, client, session=first.session)
        return first.resumed

    wait_until(resumes)
    with node.internals.pump.lock:  # the fork finds it held, as it may: by the pump, or by another handshake
        ended = in_child(lambda: 1 if visit(context, client, session=first.session).resumed else 0)
    assert ended == 0
    assert resumes()


@pytest.mark.parametrize("locked", [False, True], ids=["free", "locked"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("hot_path")
def test_a_childs_handshakes_wait_for_nothing_that_is_on_its_way_to_the_parent(
    place: Place, version: str, locked: bool
) -> None:
    two = Two(place, version)
    for _ in range(2):  # the first opens the way for what follows
        held = two.held_up()
        session = visit(two.first, two.client).session
        lock = two.came_to.internals.pump.lock
        if locked:
            lock.acquire()
        try:
            ended = in_child(lambda session=session: 1 if visit(two.second, two.client, session=session).resumed else 0)
        finally:
            held.release()
            if locked:
                lock.release()
        assert ended == 0
