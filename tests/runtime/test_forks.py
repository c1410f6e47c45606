import gc
import os
import weakref

from meshcache.runtime import forks


class Told:
    def __init__(self) -> None:
        self.children = 0

    def forked(self) -> None:
        self.children += 1


def in_child(answer: object) -> int:
    """What `answer` says in a forked child."""
    pid = os.fork()
    if pid == 0:
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
