"""A finding as JSON has it."""

from __future__ import annotations

import json

from meshcache.doctor.finding import fine, note, problem, skipped


def test_each_kind_of_finding_says_what_it_is() -> None:
    made = [fine("a", "well"), note("b", "so so", "look"), problem("c", "bad", "act"), skipped("d", "not seen")]
    assert json.loads(json.dumps([finding.to_plain() for finding in made])) == [
        {"name": "a", "state": "fine", "text": "well", "do": ""},
        {"name": "b", "state": "note", "text": "so so", "do": "look"},
        {"name": "c", "state": "problem", "text": "bad", "do": "act"},
        {"name": "d", "state": "skipped", "text": "not seen", "do": ""},
    ]
