"""Refusals: said when they begin and while they go on, never in a flood, and in words."""

from __future__ import annotations

from meshcache.core.state.refusals import RECENT_S, REFUSALS_MAX, REPEAT_S, WORDS, Anomaly, Refusals, words
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import EventLog, PeerRefused, RefusedByPeer


def test_a_refusal_is_said_when_it_begins_and_again_while_it_goes_on() -> None:
    events = EventLog()
    refusals = Refusals(events)
    said = [refusals.note("x", "x:1", Drop.OTHER_MESH, now) for now in range(0, 3 * int(REPEAT_S), 5)]
    assert sum(said) == 3
    assert [event.at for event in events.drain()] == [0, REPEAT_S, 2 * REPEAT_S]


def test_each_side_and_reason_is_said_for_itself() -> None:
    events = EventLog()
    refusals = Refusals(events)
    refusals.note("x", "x:1", Drop.NAME_TAKEN, 0.0)
    refusals.note_by_peer("x", "", "name_taken", 0.0)
    assert events.drain() == [PeerRefused(0.0, "x", "x:1", "name_taken"), RefusedByPeer(0.0, "x", "", "name_taken")]


def test_what_lasts_for_a_moment_is_not_said() -> None:
    refusals = Refusals(EventLog())
    assert not any(refusals.note("x", "", Drop.UNKNOWN_SENDER, now, patience_s=10) for now in range(9))
    assert not any(refusals.note("x", "", Drop.UNKNOWN_SENDER, 100 + now, patience_s=10) for now in range(10))
    assert refusals.note("x", "", Drop.UNKNOWN_SENDER, 110, patience_s=10)


def test_what_is_over_is_shown_no_more_and_what_goes_on_with_what_to_do() -> None:
    refusals = Refusals(EventLog())
    refusals.note("x", "x:1", Drop.NAME_TAKEN, 0.0)
    assert refusals.to_plain(1.0) == [
        {
            "node": "x",
            "address": "x:1",
            "reason": "name_taken",
            "by_peer": False,
            "count": 1,
            "last_s": 1.0,
            "text": WORDS[Drop.NAME_TAKEN][0],
            "do": WORDS[Drop.NAME_TAKEN][1],
        }
    ]
    assert refusals.to_plain(RECENT_S + 1) == []


def test_a_member_that_invents_names_fills_no_table() -> None:
    events = EventLog()
    refusals = Refusals(events)
    for number in range(3 * REFUSALS_MAX):
        refusals.note(f"x{number}", "", Drop.OTHER_MESH, 0.0)
    assert len(refusals) == REFUSALS_MAX


def test_a_reason_of_another_version_is_shown_as_it_is() -> None:
    assert words("too_blue")[0] == "too blue"


def test_what_is_wrong_without_a_drop_is_said_in_words_too() -> None:
    assert set(Anomaly) <= set(WORDS)
    assert not {each.value for each in Anomaly} & {each.value for each in Drop}
    assert all(words(reason.value) == told for reason, told in WORDS.items())
