"""Faults at the edge: whatever goes wrong in a callback, the handshake goes on and the fault is counted."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from meshcache.core.policy.scope import Names
from meshcache.tls.callbacks import Callbacks
from meshcache.tls.libssl import find
from meshcache.tls.scopes import Scopes
from meshcache.tls.state import Mode
from tests.support.waiting import wait_until
from tests.tls.world import KINDS, VERSIONS, DictPort, attach, client_context, server_context, visit

pytestmark = pytest.mark.usefixtures("hot_path")

by_kind = pytest.mark.parametrize("kind", KINDS)
by_version = pytest.mark.parametrize("version", VERSIONS)


class FaultyPort(DictPort):
    """Raises in the method named `broken`."""

    broken: str = ""
    error: type[BaseException] = RuntimeError

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "broken"):
            error = object.__getattribute__(self, "error")
            if not issubclass(error, Exception):
                self.broken = ""  # Ctrl-C comes once, also where two tickets are made
            raise error("on purpose")
        return object.__getattribute__(self, name)


class InterruptedOnce:
    """Ids of sessions; while the first is made Ctrl-C comes."""

    pressed = False

    def mint(self) -> bytes:
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return os.urandom(32)


@by_kind
@by_version
@pytest.mark.parametrize(
    ("broken", "where"), [("find", "get"), ("created", "new"), ("full", "new"), ("hit_not_resumed", "new")]
)
def test_what_the_port_raises_is_a_counted_fault(kind: str, version: str, broken: str, where: str) -> None:
    port, client = FaultyPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    port.broken = broken
    name = "b.test" if broken in ("full", "hit_not_resumed") else "a.test"
    second = visit(context, client, name=name, session=first.session if broken != "created" else None)
    assert not second.resumed
    assert port.count("fault", where) == 1
    port.broken = ""
    assert visit(context, client, session=first.session).resumed, "and nothing is broken for good"


@pytest.mark.slow
@by_kind
@by_version
@pytest.mark.parametrize("broken", ["find", "created"])
def test_ctrl_c_in_a_callback_reaches_the_program_after_the_handshake(kind: str, version: str, broken: str) -> None:
    port, client = FaultyPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    port.error, port.broken = KeyboardInterrupt, broken
    reached: list[bool] = []

    def shake_until_interrupted() -> None:
        second = visit(context, client, session=first.session if broken == "find" else None)
        reached.append(second.resumed)
        wait_until(lambda: False)

    with pytest.raises(KeyboardInterrupt):
        shake_until_interrupted()
    assert reached in ([False], []), "no error in the handshake itself"


@pytest.mark.parametrize("hot_path", ["python"], indirect=True)  # compiled, ids are made without the interpreter
@by_kind
@by_version
def test_ctrl_c_while_an_id_is_made_costs_no_handshake(
    kind: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, client = server_context(kind, version), client_context(version)
    attach(context, DictPort(ids=InterruptedOnce()))

    def shake_until_interrupted() -> None:
        visit(context, client)  # raises no error of its own
        wait_until(lambda: False)

    with pytest.raises(KeyboardInterrupt):
        shake_until_interrupted()
    assert visit(context, client, session=visit(context, client).session).resumed


@by_kind
def test_an_attachment_is_dropped_once_and_only_by_its_own(kind: str) -> None:
    callbacks = Callbacks(find(server_context(kind)).library.functions)

    class Attached:
        pointer, verify_mode, revalidates, mode, names, pauses = 7, 0, False, Mode.SESSIONS, None, False
        port, scopes = DictPort(), Scopes(Names(("a.test",)), bytes(32))

    first, second = Attached(), Attached()
    callbacks.add(first)  # type: ignore[arg-type]
    callbacks.add(second)  # type: ignore[arg-type]
    callbacks.drop(first)  # type: ignore[arg-type]
    assert callbacks.at(7) is second  # type: ignore[comparison-overlap]
    callbacks.drop(second)  # type: ignore[arg-type]
    assert callbacks.at(7) is None
    assert len(callbacks) == 0


@pytest.mark.slow
def test_a_connection_that_is_freed_while_the_interpreter_ends_crashes_nothing() -> None:
    """With "drop", freeing an unclean connection calls us back when most of Python is gone already."""
    code = (
        "from tests.tls.world import *\n"
        "import builtins\n"
        "for kind in KINDS:\n"
        "    context = server_context(kind, '1.2'); attach(context, DictPort(), on_unclean_close='drop')\n"
        "    setattr(builtins, kind, (context, visit(context, client_context('1.2'), close=False)))\n"
        "print('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert done.stderr == ""
