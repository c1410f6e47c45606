"""What a session shows of itself, and its limits."""

from __future__ import annotations

import pytest

from meshcache.core.values.session import (
    LIFETIME_S_MAX_TLS12,
    LIFETIME_S_MAX_TLS13,
    Outcome,
    Session,
    StreamKey,
    session_hash,
)

SESSION = Session(b"i" * 32, b"d" * 134, StreamKey("edge-1", 7, "shop"), 12, 3600.0, 0.0)


def test_repr_names_the_session_without_its_secrets() -> None:
    shown = repr(SESSION)
    assert shown == f"<Session {session_hash(SESSION.id)} shop from edge-1 #12>"
    assert "iii" not in shown
    assert "ddd" not in shown
    assert SESSION.id.hex() not in shown


def test_the_hash_is_the_same_on_every_node_and_differs_between_sessions() -> None:
    assert session_hash(b"i" * 32) == session_hash(SESSION.id)
    assert session_hash(b"j" * 32) != session_hash(SESSION.id)
    assert len(session_hash(b"i" * 32)) == 12


def test_a_session_does_not_change() -> None:
    with pytest.raises(AttributeError):
        SESSION.der = b""  # type: ignore[misc]


def test_lifetimes_stop_where_the_rfcs_say() -> None:
    assert LIFETIME_S_MAX_TLS12 == 86_400
    assert LIFETIME_S_MAX_TLS13 == 604_800


def test_outcomes_have_the_words_of_the_responder() -> None:
    assert [outcome.value for outcome in Outcome] == ["full", "local", "remote", "pulled"]
