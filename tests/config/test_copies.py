"""Tests of `copies` and `push` of a VIP: what is taken, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshcache.config import VipSettings


def vip(**changes: Any) -> VipSettings:
    return VipSettings.model_validate({"name": "shop", **changes})


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        vip(**changes)
    (error,) = refused.value.errors()
    return str(error["msg"])


def test_by_default_everybody_holds_everything() -> None:
    assert (vip().copies, vip().push, vip().copies_told) == ("all", "all", 0)


def test_a_number_is_told_to_others() -> None:
    assert vip(copies=3).copies_told == 3
    assert vip(copies="all").copies_told == 0


@pytest.mark.parametrize("wrong", [0, -1, 65, True, 2.0, "3", "some", None])
def test_what_is_no_number_of_copies_is_refused_with_what_would_be_right(wrong: object) -> None:
    assert 'copies is "all" or a number from 1 to 64' in refusal(copies=wrong)


def test_few_copies_without_a_fetch_are_refused_in_words() -> None:
    said = refusal(copies=3, fetch="off")
    assert "most servers don't hold a session" in said
    assert 'set fetch to "colo"' in said
    assert vip(copies="all", fetch="off").fetch == "off"


def test_push_none_needs_a_number() -> None:
    assert "say how many copies" in refusal(push="none")
    assert vip(push="none", copies=1).push == "none"
