"""The protocol's table: numbers and keys that stay what they are, and the byte vectors that pin them down."""

from __future__ import annotations

from pathlib import Path

import cbor2
import pytest

from meshcache.core.wire.codec import Decoder, encode
from meshcache.core.wire.kinds import KINDS
from meshcache.core.wire.messages import Ping
from tests.core.samples import SAMPLES

VECTORS = Path(__file__).parents[2] / "vectors" / "messages.txt"


def vectors() -> dict[str, bytes]:
    """Name and bytes of each vector: lines of ``name hex``, comments after ``#``."""
    lines = (line.partition("#")[0].split() for line in VECTORS.read_text().splitlines())
    return {words[0]: bytes.fromhex(words[1]) for words in lines if words}


def test_there_is_a_vector_for_each_sample() -> None:
    assert sorted(vectors()) == sorted(SAMPLES)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_message_is_encoded_to_its_vector(name: str) -> None:
    assert encode("edge-1", 7, SAMPLES[name]).hex() == vectors()[name].hex()


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_vector_is_decoded_to_its_message(name: str) -> None:
    message = Decoder().decode(vectors()[name]).message
    assert type(message) is type(SAMPLES[name])
    assert encode("edge-1", 7, message) == vectors()[name]


def test_numbers_are_given_once() -> None:
    numbers = [number for number, _ in KINDS.values()]
    assert sorted(numbers) == list(range(1, len(KINDS) + 1))


def test_a_field_with_its_default_is_left_out() -> None:
    assert cbor2.loads(vectors()["leave"])[3] == {}
    assert set(cbor2.loads(vectors()["withdraw"])[3]) == {"o", "i", "n", "a", "l", "p"}
    assert "h" not in cbor2.loads(vectors()["fill"])[3]


def test_the_page_of_the_protocol_names_every_kind_and_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    grammar = page[page.index("```cddl") :]
    for kind, (number, spec) in KINDS.items():
        assert f"{number}, " in grammar, kind
        for key in spec.keys:
            assert f"{key}:" in grammar, (kind, key)


def test_a_message_without_fields_still_reads_those_of_a_newer_version() -> None:
    payload = cbor2.dumps([5, "edge-1", 7, {"why": "maintenance"}])
    assert Decoder().decode(payload).unknown_fields == 1
    assert Decoder().decode(cbor2.dumps([3, "edge-1", 7, {"q": 1}])).message == Ping(1)
