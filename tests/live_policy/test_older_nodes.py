"""Nodes of an earlier version, which take a new key's value over and do nothing by it."""

from __future__ import annotations

from dataclasses import replace

from meshcache.core.control.live_policies import LiveVersion
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.values.topology import NodeRecord, VipNote
from meshcache.live_policy.older_nodes import older_nodes

NOW = LiveVersion(3, b"digest..")


def record(node: str, copies: int, push: bool = True, version: LiveVersion = NOW, runs: str = "0.1.0") -> NodeRecord:
    terms = Terms(node, "ams1", "shop", "shop", bytes(32), REACH_COLO, copies, push)
    return NodeRecord(node, 1, "ams1", f"{node}:1", 1, (terms,), runs, (VipNote(b"", *version),))


def test_who_has_the_version_and_says_other_copies_is_named_with_what_holds_there() -> None:
    records = [record("c", 0), record("a", 2), record("b", 0, runs=""), replace(record("d", 0), vips=(), notes=())]
    assert older_nodes("shop", NOW, {"copies": "2"}, records) == [
        {"name": "b", "holds": ["copies=all (version 0.1 takes no copies live)"]},
        {"name": "c", "holds": ["copies=all (version 0.1.0 takes no copies live)"]},
    ]
    (found,) = older_nodes("shop", NOW, {"copies": "2", "push": "none"}, records[:1])
    assert len(found["holds"]) == 2
    assert older_nodes("shop", NOW, {"copies": "2", "push": "none"}, [record("a", 2, push=False)]) == []


def test_who_was_not_heard_since_and_what_was_taken_back_are_not_judged() -> None:
    for other in (LiveVersion(2, NOW.digest), LiveVersion(3, b"another."), LiveVersion()):
        assert older_nodes("shop", NOW, {"copies": "2"}, [record("a", 0, version=other)]) == []
    assert older_nodes("shop", NOW, {"copies": ""}, [record("a", 5)]) == []
    assert older_nodes("shop", NOW, {"reach": "colo"}, [record("a", 0)]) == []
