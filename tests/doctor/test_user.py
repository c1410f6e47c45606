"""Another user than the node's is told so, and never that the node, or its key, is broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshcache.doctor.user import AS_THE_NODE, runs_as, user_finding

NOBODY = 65534


@contextmanager
def another_user() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_whose_socket_it_is_even_in_a_folder_that_others_cant_look_into(folder: Path) -> None:
    folder.chmod(0o755)
    closed = folder / "state"
    closed.mkdir(mode=0o700)
    path = closed / "admin.sock"
    path.touch()
    assert runs_as(path) is None
    with another_user():
        assert runs_as(path) == 0
        assert user_finding(0, path).do == AS_THE_NODE
    closed.chmod(0o755)
    with another_user():
        assert runs_as(path) == 0
        assert runs_as(closed / "none.sock") is None, "no node, so nobody runs it"
    os.chown(path, NOBODY, -1)
    with another_user():
        assert runs_as(path) is None
