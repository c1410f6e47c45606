"""Bytes that nobody should send, through the real import paths: nothing raises, crashes or grows.

``make fuzz`` looks for more of them by coverage; ``make security`` runs more of these.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.victims import CoreVictim, HelloVictim, seeds
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import MESSAGE_BYTES_MAX, Seen, Vector
from meshcache.tls.scopes import host_name

INPUTS = int(os.environ.get("MESHCACHE_INPUTS", "250"))

FRAME_CALLS_MAX = 200_000
"""Calls of functions that one frame may cost, in Python and below it: work, which is the same on every machine and in
every process. The longest valid vector takes 97,000."""

FRAME_BYTES_MAX = 2 * 1024 * 1024
"""What one frame may have allocated at a time: 16 times its longest. The longest valid vector takes 720 KiB."""

ANSWER_S_MAX = 90.0

_settings = settings(max_examples=INPUTS, deadline=None, suppress_health_check=list(HealthCheck))

BYTES_OF = seeds()


@st.composite
def mutants(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """A few changes to bytes that were right: single bits, runs that go, come or repeat, a cut."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(1, 8)))
        change = draw(st.sampled_from(["bit", "byte", "gone", "more", "again", "cut"]))
        if change in ("bit", "byte") and at < len(data):
            data[at] = data[at] ^ 1 << draw(st.integers(0, 7)) if change == "bit" else draw(st.integers(0, 255))
        elif change == "gone":
            del data[at:end]
        elif change == "more":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif change == "again":
            data[at:at] = data[at:end]
        elif change == "cut":
            del data[at:]
    return bytes(data)


LEAVES = st.sampled_from(
    [None, True, 0, -1, 2**53, 2**64 - 1, -(2**64), 0.5, b"", b"\x01" * 32, "", "x", "\n", "x" * 70]
)
PLAIN = LEAVES | st.lists(LEAVES, max_size=4) | st.lists(st.lists(LEAVES, max_size=4), max_size=3)


@pytest.fixture(scope="module")
def core() -> CoreVictim:
    return CoreVictim()


def take(core: CoreVictim, payload: bytes) -> None:
    core.take(payload)


def weigh(core: CoreVictim, payload: bytes) -> None:
    """Take a frame and count what it cost."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(count)
    try:
        core.take(payload)
    finally:
        sys.setprofile(None)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert calls < FRAME_CALLS_MAX
    assert most < FRAME_BYTES_MAX


class TestFrames:
    @_settings
    @given(payload=st.binary(max_size=300))
    def test_of_random_bytes(self, core: CoreVictim, payload: bytes) -> None:
        take(core, payload)

    @_settings
    @given(payload=mutants(st.sampled_from(sorted(BYTES_OF.values()))))
    def test_of_messages_that_were_changed(self, core: CoreVictim, payload: bytes) -> None:
        take(core, payload)

    @_settings
    @given(
        name=st.sampled_from(sorted(BYTES_OF)),
        changed=st.dictionaries(st.integers(0, 9), PLAIN, max_size=3),
        other=st.sampled_from(sorted(BYTES_OF)),
    )
    def test_of_right_messages_with_other_values(
        self, core: CoreVictim, name: str, changed: dict[int, Any], other: str
    ) -> None:
        """Well-formed CBOR all along: fields of one kind with values of another type, or with those of another kind."""
        number, sender, incarnation, body = cbor2.loads(BYTES_OF[name])
        keys = sorted(body) or ["x"]
        take(
            core,
            cbor2.dumps([number, sender, incarnation, body | {keys[at % len(keys)]: changed[at] for at in changed}]),
        )
        take(core, cbor2.dumps([number, sender, incarnation, cbor2.loads(BYTES_OF[other])[3] | body]))

    @pytest.mark.parametrize(
        "payload",
        [
            b"\x81" * MESSAGE_BYTES_MAX,
            b"\xa1\x61a" * (MESSAGE_BYTES_MAX // 3),
            b"\x9f" * MESSAGE_BYTES_MAX,
            b"\x9b" + b"\xff" * 8,
            b"\x5b" + b"\xff" * 8,
            b"\xbb" + b"\x7f" + b"\xff" * 7,
            b"\x99\xff\xff" + b"\x80" * 65_535,
            b"\xb9\xff\xff" + b"".join(b"\x19" + number.to_bytes(2, "big") + b"\0" for number in range(30_000)),
            b"\xc4\x82\x1b" + b"\xff" * 8 + b"\x01",
            b"\xd8\x23\x68(a+)+$$$",
            b"\xc2\x5a\x00\x01\x00\x00" + b"\xff" * 65_536,
        ],
        ids=["arrays", "maps", "endless", "array", "bytes", "map", "wide", "many keys", "decimal", "regex", "bignum"],
    )
    def test_that_are_made_to_take_long_or_much(self, core: CoreVictim, payload: bytes) -> None:
        weigh(core, payload)
        weigh(core, cbor2.dumps([8, "edge-1", 7, {"s": 1}])[:-1] + payload)

    def test_of_the_longest_messages_cost_no_more_than_that(self, core: CoreVictim) -> None:
        seen = tuple(Seen(StreamKey("edge-1", at, "b"), tuple(range(1, 65))) for at in range(1, 513))
        longest = encode("edge-1", 7, Vector(0, seen))
        assert len(longest) > MESSAGE_BYTES_MAX // 3
        weigh(core, longest)


class Child:
    """OpenSSL and the edge in a process of their own."""

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
        )
        self.ders = [bytes.fromhex(der) for der in self._line().split()]

    def offer(self, number: int, der: bytes) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number} {der.hex()}\n")
        self._process.stdin.flush()
        return self._line().strip()

    def close(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait(ANSWER_S_MAX)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process ended with {self._process.wait(ANSWER_S_MAX)}"
        return line


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child()
    yield made
    assert made.close() == 0


class TestDer:
    def test_as_it_was_made_resumes(self, child: Child) -> None:
        assert [child.offer(number, der) for number, der in enumerate(child.ders)] == ["resumed"] * 4

    @_settings
    @given(number=st.integers(0, 3), data=st.data())
    def test_that_was_changed_crashes_nothing(self, child: Child, number: int, data: st.DataObject) -> None:
        der = data.draw(mutants(st.just(child.ders[number])))
        assert child.offer(number, der) in ("resumed", "full", "failed")

    @settings(max_examples=INPUTS // 4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(number=st.integers(0, 3), other=st.integers(0, 3), at=st.integers(0, 200))
    def test_of_two_sessions_crosses_no_border(self, child: Child, number: int, other: int, at: int) -> None:
        """The front of one and the end of another: of another version, or with another client's certificate."""
        mixed = child.ders[other][:at] + child.ders[number][at:]
        outcome = child.offer(number, mixed)
        assert outcome in ("resumed", "full", "failed")
        assert outcome != "resumed" or mixed[-20:] == child.ders[number][-20:]

    def test_after_all_of_that_a_good_one_still_resumes(self, child: Child) -> None:
        assert [child.offer(number, der) for number, der in enumerate(child.ders)] == ["resumed"] * 4


@_settings
@given(extension=st.binary(max_size=300) | mutants(st.just(b"\0\x09\0\0\x06a.test")))
def test_a_server_name_extension_gives_a_name_or_none(extension: bytes) -> None:
    name = host_name(extension)
    assert name is None or (name.isascii() and "\0" not in name and name.encode() == extension[5:])


def test_each_hot_path_hears_the_same_of_hellos_that_are_cut_or_changed() -> None:
    """What `make fuzz` does for its third target, so that it can still be made."""
    victim, rng = HelloVictim(), Random(7)
    for number, hello in enumerate(victim.hellos):
        victim.say(number, hello)
        for _ in range(20):
            at = rng.randrange(len(hello))
            victim.say(number, hello[:at])
            victim.say(number, hello[:at] + rng.randbytes(1) + hello[at + 1 :])
