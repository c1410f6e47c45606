"""Questions are named so that each is answered once, and what may be asked is a closed list."""

from __future__ import annotations

import pytest

from meshcache.core.wire.queries import QueryKind, QueryReply


def test_what_may_be_asked_is_on_the_wire_by_name() -> None:
    assert {matter.value for matter in QueryKind} == {"policy", "withdraw", "clock", "figures"}
    with pytest.raises(ValueError, match="keys"):
        QueryKind("keys")


def test_an_answer_says_nothing_that_was_not_asked() -> None:
    assert QueryReply("asker", 1, "node", True) == QueryReply("asker", 1, "node", True, 0, 0, "", ())
