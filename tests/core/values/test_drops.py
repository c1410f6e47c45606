"""Reasons for drops: each has words, a place that counts it, and a row in the page of the protocol."""

from __future__ import annotations

import json
import re
from pathlib import Path

from meshcache.core.values.drops import Drop


def test_the_page_of_the_protocol_explains_every_reason_for_a_drop() -> None:
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    assert not {reason.value for reason in Drop if f"`{reason.value}`" not in page}


def test_every_reason_for_a_drop_has_words_and_a_place_that_counts_it() -> None:
    core = Path(__file__).parents[3] / "meshcache" / "core"
    source = "".join(path.read_text() for path in core.rglob("*.py") if path.name != "drops.py")
    assert not {reason.name for reason in Drop if not re.search(rf"\bDrop\.{reason.name}\b", source)}
    assert all(len(reason.words) > 10 for reason in Drop)


def test_a_reason_is_its_word_wherever_it_is_shown() -> None:
    assert json.dumps({Drop.FLOOD: 1}) == '{"flood": 1}'
    assert f"{Drop.FLOOD}" == "flood"
