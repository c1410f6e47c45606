"""Limits: times that follow on one another, and the pace of flushes."""

from __future__ import annotations

import pytest

from meshcache.core.values.limits import Limits


def test_times_of_membership_follow_on_one_another() -> None:
    Limits(suspect_s=2.9, lost_s=3.1)
    with pytest.raises(ValueError, match="suspect_s < lost_s"):
        Limits(suspect_s=8.0, lost_s=8.0)
    with pytest.raises(ValueError, match="heartbeat_s"):
        Limits(heartbeat_s=0.0)
    with pytest.raises(ValueError, match="heartbeat_s"):
        Limits(heartbeat_s=2.0)


def test_a_few_receivers_are_served_within_milliseconds_and_many_within_a_quarter_of_a_second() -> None:
    limits = Limits()
    assert limits.flush_s(0) == 0
    assert limits.flush_s(1) == limits.flush_s(3) == limits.collect_s < 0.005
    assert limits.flush_s(15) < 0.01
    assert 0.2 < limits.flush_s(63) <= 0.25
    assert limits.flush_s(1000) == limits.flush_s_max


def test_where_clients_are_let_wait_sessions_are_collected_for_longer_and_are_there_in_time() -> None:
    limits = Limits()
    assert limits.flush_s(3, awaited_s=0.025) == 0.025 - limits.await_margin_s == pytest.approx(0.013)
    assert limits.flush_s(3, awaited_s=0.015) == limits.collect_s, "they wait for less than sessions take anyway"
    assert limits.flush_s(3, awaited_s=60.0) == limits.collect_awaited_s
    assert limits.flush_s(63, awaited_s=0.025) == limits.flush_s(63)
    assert limits.flush_s(0, awaited_s=0.025) == 0


def test_where_they_ask_for_what_is_late_and_there_is_much_of_it_more_is_collected() -> None:
    limits = Limits()
    assert limits.flush_s(3, awaited_s=0.015, asks=True) == 0.015 - limits.ask_margin_s == pytest.approx(0.008)
    assert limits.flush_s(3, awaited_s=0.009, asks=True) == limits.flush_s(3, asks=True) == limits.collect_s
    assert limits.flush_s(3, awaited_s=60.0, asks=True) == limits.collect_awaited_s
    assert limits.flush_s(0, awaited_s=0.015, asks=True) == 0


def test_messages_lie_unread_for_milliseconds_after_some_were_read() -> None:
    limits = Limits()
    assert limits.rest_s(5, 0) == limits.rest_s(1000, 0) == 0
    assert limits.rest_s(5, 1) == limits.rest_s_min < limits.rest_s(5, 2) < limits.rest_s(5, 3) == limits.rest_s(5, 32)
    assert 0.005 < limits.rest_s(63, 1) < 0.04
    assert limits.rest_s(1000, 1) < limits.flush_s(1000) / 4, "less than their senders collect"


def test_at_the_cap_a_node_sends_a_bounded_number_of_messages_a_second() -> None:
    limits = Limits()
    rates = [receivers / limits.flush_s(receivers) for receivers in range(limits.flush_at_once_peers + 1, 64)]
    assert max(rates) <= 10_000
