"""Tests of `cli.following`: a node that is away for a while ends nothing, and is told of once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import click
import pytest

from meshcache.cli import following
from meshcache.errors import AdminError, NodeAbsentError


class Node:
    """Answers, or raises, one after the other; writes down how long was waited before each."""

    def __init__(self, *said: object) -> None:
        self._said = iter(said)
        self.waits: list[float] = []

    def read(self) -> object:
        said = next(self._said)
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[[Node, int], list[object]]:
    def some(node: Node, count: int) -> list[object]:
        monkeypatch.setattr("meshcache.cli.following.time.sleep", node.waits.append)
        return list(islice(following.answers(node.read, 2.0), count))

    return some


def test_while_a_node_is_away_nothing_comes_and_that_is_said_once(
    follow: Callable[[Node, int], list[object]], capsys: pytest.CaptureFixture[str]
) -> None:
    no_vip = click.UsageError('node edge-1 has no VIP "shop"; it has none')
    node = Node(1, NodeAbsentError("no node\nanother line"), AdminError("stuck"), no_vip, 2, no_vip, 3)
    assert follow(node, 3) == [1, 2, 3]
    assert node.waits == [2.0] * 7
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "no answer, trying again: no node",
        'trying again: node edge-1 has no VIP "shop"; it has none',
    ]


def test_what_is_no_node_that_is_away_ends_it(follow: Callable[[Node, int], list[object]]) -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        follow(Node(1, RuntimeError("a fault")), 2)
