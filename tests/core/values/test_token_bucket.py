"""The token bucket."""

from __future__ import annotations

from meshcache.core.values.token_bucket import Bucket


def test_a_burst_and_then_the_rate() -> None:
    bucket = Bucket(10.0, 5.0, 0.0)
    assert [bucket.take(1, 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(1, 0.05)
    assert bucket.take(1, 0.11)
    assert not bucket.take(1, 0.11)


def test_it_never_holds_more_than_a_burst() -> None:
    bucket = Bucket(10.0, 5.0, 0.0)
    assert not bucket.take(6, 1e9)
    assert bucket.take(5, 1e9)


def test_what_is_not_there_is_not_taken_in_part() -> None:
    bucket = Bucket(1.0, 5.0, 0.0)
    assert not bucket.take(6, 0.0)
    assert bucket.take(5, 0.0)


def test_what_it_holds_can_be_taken_and_looking_takes_nothing() -> None:
    bucket = Bucket(rate=2.0, burst=10.0, now=0.0)
    assert bucket.holds(10, 0.0)
    assert not bucket.holds(10.5, 100.0)
    assert bucket.take(10, 0.0)
    assert not bucket.holds(1, 0.4)
    assert bucket.holds(1, 0.5)
    assert bucket.take(1, 0.5)


def test_what_is_given_back_can_be_taken_again() -> None:
    bucket = Bucket(rate=1.0, burst=3.0, now=0.0)
    assert bucket.take(3, 0.0)
    bucket.give_back(2)
    assert bucket.take(2, 0.0)
    assert not bucket.take(1, 0.0)
    bucket.give_back(3)
    assert not bucket.holds(4, 100.0), "no more than a burst"


def test_what_is_left_can_be_taken_and_no_more() -> None:
    bucket = Bucket(2, 10, 0.0)
    assert bucket.take(8, 0.0)
    assert bucket.left(1.0) == 4
    assert not bucket.take(4.5, 1.0)
    assert bucket.take(4, 1.0)
