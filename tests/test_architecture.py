"""The way of a session in docs/architecture.md is the way that a session takes: nodes, TLS and ZeroMQ are real.

Python's callbacks run here, of which the compiled ones are the twins: what C does, no profiler sees.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest

from meshcache import MeshNode, hot
from meshcache.core.values.topology import best
from meshcache.tls import contexts
from tests.nodes import Place
from tests.support.waiting import wait_until
from tests.test_layering import KNOWS
from tests.tls.world import client_context, visit

pytestmark = pytest.mark.alone  # who does a step depends on what else a node has to do just then

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "meshcache"
RELAY = 1
OPENSSL = "tls/functions.py"
"""Where OpenSSL's functions are called from, and stands in for those that this OpenSSL doesn't have."""
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ATTEMPTS = 3
"""A pump that happens to be sending, or a loaded machine where repair is first, changes who does a step."""


class Call(NamedTuple):
    """A function of ours that ran: its file below `meshcache/`, and its name with its class."""

    file: str
    function: str


class Part(NamedTuple):
    """One part of the way on the page: its steps in order, and the files of its helpers."""

    steps: list[Call]
    helpers: set[str]

    @property
    def files(self) -> set[str]:
        return {step.file for step in self.steps} | self.helpers


def read_page() -> list[Part]:
    way = PAGE[PAGE.index("## The way of a session") : PAGE.index("## Where it is decided")]
    parts = []
    for text in way.split("\n### ")[1:]:
        steps = [Call(*found) for found in re.findall(r"^    (\S+\.py) +(\S+)", text, re.MULTILINE)]
        helpers = text.partition("Helpers on that way:")[2].split("\n\n")[0]
        parts.append(Part(steps, set(re.findall(r"`(\S+\.py)`", helpers))))
    return parts


class Recorder:
    """Notes calls of meshcache's functions on the threads that it is set on."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._known: dict[CodeType, Call | None] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            code = frame.f_code
            if code not in self._known:
                self._known[code] = _call_of(code)
            call = self._known[code]
            if call is not None:
                self.calls.append(call)

    def run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function on this thread and note what it calls."""
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            return function(*arguments, **named)
        finally:
            sys.setprofile(before)

    def follow(self, node: MeshNode) -> None:
        """Note what the node's pump does from now on."""
        set_for_good = [False]

        def set_once() -> None:
            if not set_for_good[0]:
                set_for_good[0] = True
                sys.setprofile(self)

        node.internals.pump.call_in_each_step(set_once)
        node.internals.pump.wake()
        wait_until(lambda: self.calls, what="the pump is followed")


def _call_of(code: CodeType) -> Call | None:
    path = Path(code.co_filename)
    if not path.is_relative_to(PACKAGE) or code.co_qualname.endswith(">"):
        return None
    file = str(path.relative_to(PACKAGE))
    if file == OPENSSL:
        return None
    return Call(file, code.co_qualname.rpartition("<locals>.")[2])


def around_push(calls: list[Call]) -> list[Call]:
    """What was done for the one message that was a push, from the pump's step to the step's end."""
    push = calls.index(Call("core/replication/intake.py", "Intake.push_received"))
    starts = [at for at, call in enumerate(calls[:push]) if call.function == "Transport.receive"]
    received = [at for at, call in enumerate(calls[:push]) if call.function == "MeshCore.receive"]
    step = calls[starts[-1] : received[0] if len(received) == 1 else received[-1]]
    rest = _without_later_messages(calls[received[-1] :])
    ends = [at for at, call in enumerate(rest) if call.function == "Pump._keep_links"]
    return [call for call in step if call.function in STEP] + rest[: ends[0] if ends else None]


def _without_later_messages(calls: list[Call]) -> list[Call]:
    """Leave out what was read after the first message in the same step: heartbeats and the like come when they come."""
    later = [at for at, call in enumerate(calls) if at and call.function == "MeshCore.receive"]
    over = [at for at, call in enumerate(calls) if later and at > later[-1] and call.function == "Pump._do_chores"]
    return calls[: later[0]] + calls[over[0] :] if over else calls


STEP = {"Transport.receive", "MeshListener.receive"}


def handled(calls: list[Call]) -> list[Call]:
    """Of `around_push` what was done for the message itself, up to the pump's other duties."""
    ends = [at for at, call in enumerate(calls) if call.file == "runtime/contexts/attached_vips.py"]
    return calls[: ends[0] if ends else None]


def in_order(steps: list[Call], calls: list[Call]) -> list[Call]:
    """The steps that weren't taken after the one before: empty when all were, in this order."""
    ahead = iter(calls)
    for at, step in enumerate(steps):
        if step not in ahead:
            return steps[at:]
    return []


class Way(NamedTuple):
    """What ran on each part of the way."""

    made: list[Call]
    relayed: list[Call]
    taken_in: list[Call]
    resumed: list[Call]


def follow_a_session(folder: Path, attempt: int) -> Way:
    relay = best("relay made>fra1", ["one", "two"])
    assert relay is not None
    names = {"relay": relay, "resumed": "two" if relay == "one" else "one"}
    place, everywhere = Place(folder), {"reach": "everywhere", "group": f"way-{attempt}"}  # nothing is remembered
    try:
        made = place.node("made", colo="ams1", sharing=everywhere)
        relaying = place.node(names["relay"], colo="fra1", sharing=everywhere)
        resuming = place.node(names["resumed"], colo="fra1", sharing=everywhere)
        first, second = place.server(made), place.server(resuming)
        place.server(relaying)
        place.wait_until_met()
        wait_until(
            lambda: all(len(node.peers()[at]["vips"]) for node in place.nodes for at in (0, 1)), what="VIPs known"
        )
        recorders = [Recorder() for _ in range(4)]
        recorders[1].follow(relaying)
        recorders[2].follow(resuming)
        client = client_context("1.3")
        full = recorders[0].run(visit, first, client)
        wait_until(lambda: resuming.stats()["vips"]["shop"]["sessions"]["received"], what="the session is relayed")
        wait_until(lambda: _passed_on(recorders[1].calls), what="the relay ends its step")
        again = recorders[3].run(visit, second, client, session=full.session)
        assert again.resumed
    finally:
        place.close()
    lookup = recorders[3].calls
    ends = [at for at, call in enumerate(lookup) if call == Call("tls/creation.py", "new")]
    return Way(
        recorders[0].calls,
        around_push(recorders[1].calls),
        around_push(recorders[2].calls),
        lookup[: ends[0] if ends else None],
    )


def _passed_on(calls: list[Call]) -> bool:
    spread = Call("core/replication/relaying.py", "Relaying.pass_on")
    return spread in calls and Call("runtime/pump/pump.py", "Pump._keep_links") in calls[calls.index(spread) :]


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hot, "compiled", None)
        patch.setattr(contexts, "_callbacks", {})
        patch.setattr(contexts, "_unfit", {})
        for attempt in range(ATTEMPTS):
            taken = follow_a_session(tmp_path_factory.mktemp("way"), attempt)
            if not any(in_order(part.steps, calls) for part, calls in zip(read_page(), taken, strict=True)):
                break
        yield taken


@pytest.mark.parametrize("part", Way._fields)
def test_a_session_takes_the_steps_on_the_page_in_their_order(way: Way, part: str) -> None:
    page = read_page()[Way._fields.index(part)]
    assert page.steps
    assert not in_order(page.steps, getattr(way, part))


MEANWHILE = {f"core/{name}.py" for name in ("membership/liveness", "membership/joining", "repair/repair")}
"""Who takes heartbeats and hellos, which come when they come: also between a push and what is done with it."""


@pytest.mark.parametrize("part", Way._fields)
def test_every_file_on_the_way_is_named_on_the_page_and_no_other(way: Way, part: str) -> None:
    page, calls = read_page(), getattr(way, part)
    here = page[Way._fields.index(part)]
    named = here.files | (page[RELAY].files if part == "taken_in" else set())
    assert {call.file for call in handled(calls)} - named - MEANWHILE == set()
    assert here.files - {call.file for call in calls} == set()


def test_a_step_out_of_order_is_noticed(way: Way) -> None:
    steps = read_page()[0].steps
    assert in_order([*steps[1:], steps[0]], way.made) == [steps[0]]


def test_the_drawing_of_the_rooms_is_what_the_imports_say() -> None:
    """Else: ``.venv/bin/python tools/draw_rooms.py``."""
    done = subprocess.run(
        [sys.executable, "tools/draw_rooms.py", "--check"], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert not done.returncode, done.stderr


def test_what_a_room_knows_by_the_page_is_what_it_may_know() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", _folders(), re.MULTILINE)
    page = {room: set(re.findall(r"`([a-z_/]+(?:/|\.py))`", knows)) for rooms, knows in rows for room in _rooms(rooms)}
    held = {room: {_path(each) for each in knows.split()} for room, knows in KNOWS.items()}
    assert page == held


def _folders() -> str:
    return PAGE.partition("| folder | duty |")[2].partition("\n\n")[0]


def _rooms(cell: str) -> set[str]:
    return {room for room in re.findall(r"`([a-z_]+)/`", cell) if room in KNOWS}


def _path(dotted: str) -> str:
    path = dotted.replace(".", "/")
    return path + "/" if (PACKAGE / path).is_dir() else path + ".py"


def test_every_module_of_the_core_is_named_on_the_page_of_its_rooms() -> None:
    rooms = PAGE.partition("And the rooms of the core")[2]
    cells = re.findall(r"^\| `([a-z_]+/|mesh\.py)` \|.*\| (.*) \|$", rooms, re.MULTILINE)
    named = {f"{room}{name}.py" if room.endswith("/") else name for room, cell in cells for name in _quoted(cell)}
    named |= {room for room, _ in cells if room.endswith(".py")}
    core = ROOT / "meshcache" / "core"
    assert named == {str(path.relative_to(core)) for path in core.rglob("*.py") if path.name != "__init__.py"}


def _quoted(text: str) -> list[str]:
    return re.findall(r"`([a-z_.]+)`", text)


def test_what_the_page_says_where_it_is_decided_is_there() -> None:
    table = PAGE.partition("## Where it is decided")[2].partition("\n## ")[0]
    rows = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) > 10
    for files, functions in rows:
        named = re.findall(r"`([^`]+\.[pc]y?)`", files)
        there = {name for file in named for name in _functions("meshcache/core/" + file)}
        assert set(re.findall(r"`([\w.]+)`", functions)) <= there, functions


def _functions(file: str) -> set[str]:
    text, found = (ROOT / file).read_text(), set()
    if file.endswith(".c"):
        return set(re.findall(r"^\w[\w *]*?(\w+)\([^;]*\n\{", text, re.MULTILINE))
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found
