"""One ring's keys: which come in, which encrypts and opens until when, and that whatever leaves is overwritten."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from meshcache.core.tickets.ring import JUMP_MAX, PUSHED_OUT_MAX, Ring
from meshcache.core.values.drops import Drop
from meshcache.core.values.limits import Limits
from meshcache.core.values.ticket_key import TicketKey
from meshcache.core.wire.ticket_messages import KEYS_MAX, ToldKey

NOW = 5000.0
LIMITS = Limits()
ID = b"r" * 16


def ring(**settings: Any) -> Ring:
    facts: dict[str, Any] = {"rotate_s": 600.0, "lifetime_s": 3600.0} | settings
    return Ring(ID, "shop", frozenset({"shop"}), True, limits=LIMITS, empty_since=0.0, **facts)


def secret(number: int = 1) -> bytes:
    return bytes((number * 7 + at * 11) % 256 for at in range(32))


def told(number: int = 1, **facts: Any) -> ToldKey:
    values: dict[str, Any] = {"generation": number, "secret": secret(number), "age_ms": 10_000, "rotate_s": 600}
    return ToldKey(**(values | {"lifetime_s": 3600} | facts))


def taken(one: Ring, key: ToldKey, now: float = NOW) -> TicketKey:
    assert one.take(key, now) is True
    return one.keys[0]


class TestTaking:
    def test_a_key_that_is_new_is_news_once(self) -> None:
        one = ring()
        key = taken(one, told())
        assert key.born_at == NOW - 10
        assert one.take(told(), NOW) is False
        assert one.keys == [key]

    def test_the_highest_comes_first_in_whatever_order_they_come(self) -> None:
        one = ring()
        for number in (2, 3, 1):
            one.take(told(number), NOW)
        assert [key.generation for key in one.keys] == [3, 2, 1]
        assert one.top == 3

    @pytest.mark.parametrize(
        ("key", "why"),
        (
            (told(secret=bytes(32)), Drop.TICKET_KEY_WEAK),
            (told(secret=b"correct horse battery staple 123"), Drop.TICKET_KEY_WEAK),
            (told(generation=JUMP_MAX + 1), Drop.TICKET_KEY_JUMP),
            (told(generation=0), Drop.TICKET_KEY_JUMP),
            (told(rotate_s=59), Drop.TICKET_KEY_JUMP),
            (told(rotate_s=7 * 24 * 3600 + 1), Drop.TICKET_KEY_JUMP),
            (told(lifetime_s=0), Drop.TICKET_KEY_JUMP),
            (told(lifetime_s=7 * 24 * 3600 + 1), Drop.TICKET_KEY_JUMP),
            (told(age_ms=(600 + 300 + 3600 + 61) * 1000), Drop.TICKET_KEY_OLD),
        ),
    )
    def test_a_key_that_can_t_be_one_is_refused(self, key: ToldKey, why: Drop) -> None:
        one = ring()
        assert one.take(key, NOW) is why
        assert one.keys == []

    @pytest.mark.parametrize("key", (told(generation=JUMP_MAX), told(rotate_s=60), told(lifetime_s=1)))
    def test_the_border_of_each_rule_is_within(self, key: ToldKey) -> None:
        assert ring().take(key, NOW) is True

    def test_a_key_that_has_only_just_ended_is_no_offence(self) -> None:
        assert ring().take(told(age_ms=(600 + 300 + 3600 + 30) * 1000), NOW) is False

    def test_what_was_wiped_doesn_t_come_back_younger(self) -> None:
        one = ring()
        taken(one, told())
        assert one.wipe(NOW) == 1
        assert one.take(told(age_ms=0), NOW) is Drop.TICKET_KEY_OLD

    def test_of_more_than_there_is_room_for_the_lowest_goes_wherever_it_came_first(self) -> None:
        numbers = range(1, KEYS_MAX + 3)
        for order in (numbers, reversed(numbers)):
            one = ring()
            taken = [one.take(told(number), NOW) for number in order]
            assert {key.generation for key in one.keys} == set(range(3, KEYS_MAX + 3))
            assert set(taken) <= {True, Drop.TICKET_KEYS_FULL}

    def test_what_goes_for_want_of_room_is_overwritten_and_may_come_back_once_there_is_some(self) -> None:
        one = ring()
        lowest = taken(one, told(1))
        for number in range(2, KEYS_MAX + 2):
            assert not lowest.wiped
            taken(one, told(number, age_ms=20_000))
        assert lowest.wiped
        assert one.pushed_out == 1
        assert one.take(told(1), NOW) is Drop.TICKET_KEYS_FULL
        assert one.pushed_out == 1
        one.end(one.keys[0].born_at, NOW)
        assert one.take(told(1, age_ms=9_000), NOW) is True
        assert one.keys[0].born_at == NOW - 10, "no younger than it was"

    def test_what_went_for_want_of_room_doesn_t_come_back_past_a_withdraw(self) -> None:
        one = ring()
        for number in range(1, KEYS_MAX + 2):
            taken(one, told(number))
        assert one.end(NOW, NOW) == KEYS_MAX
        assert one.take(told(1, age_ms=0), NOW + 100) is Drop.TICKET_KEY_OLD
        assert one.take(told(KEYS_MAX + 2, age_ms=0), NOW + 100) is True

    def test_nor_by_a_lie_about_the_withdraw_s_age(self) -> None:
        one = ring()
        for number in range(1, KEYS_MAX + 2):
            taken(one, told(number))
        one.end(NOW, NOW)
        one.ended_at = NOW - 1000  # whoever repeats it may call it older, and the older time holds
        assert one.take(told(1), NOW) is Drop.TICKET_KEY_OLD
        assert one.take(told(KEYS_MAX + 1), NOW) is Drop.TICKET_KEY_OLD
        assert one.take(told(KEYS_MAX + 2), NOW) is True

    @pytest.mark.parametrize(("more", "remembered"), ((0, True), (1, False)))
    def test_what_is_remembered_of_keys_that_went_has_an_end(self, more: int, remembered: bool) -> None:
        one = ring()
        for number in range(1, KEYS_MAX + PUSHED_OUT_MAX + 1 + more):
            taken(one, told(number, secret=sha256(b"%d" % number).digest()))
        one.end(NOW - 10, NOW)
        again = one.take(told(1, secret=sha256(b"1").digest(), age_ms=0), NOW)
        assert again is (Drop.TICKET_KEY_OLD if remembered else True)

    def test_the_key_that_encrypts_never_goes_for_another(self) -> None:
        one = ring()
        one.current = taken(one, told(1))
        for number in range(2, 3 * KEYS_MAX):
            taken(one, told(number))
        assert one.current is one.keys[-1]
        assert not one.current.wiped
        assert len(one.keys) == KEYS_MAX
        assert one.take(told(2), NOW) is Drop.TICKET_KEYS_FULL

    def test_the_oldest_birth_that_is_heard_counts_within_a_minute(self) -> None:
        one = ring()
        key = taken(one, told())
        one.take(told(age_ms=15_000), NOW)
        assert key.born_at == NOW - 15
        one.take(told(age_ms=1_000), NOW)
        assert key.born_at == NOW - 15
        one.take(told(age_ms=4_000_000), NOW)
        assert key.born_at == NOW - 10 - 60

    def test_a_birth_moves_by_a_tenth_of_a_second_or_not_at_all(self) -> None:
        one = ring()
        key = taken(one, told())
        for age_ms, news in ((10_099, False), (10_101, True), (10_101, False), (10_200, False), (10_202, True)):
            assert (one.age_heard(key.name, age_ms, NOW) is key) == news
        assert one.age_heard(b"unknown", 20_000, NOW) is None
        assert key.born_at == NOW - 10.202


class TestTimes:
    def test_it_turns_at_the_stricter_of_two_times(self) -> None:
        strict, lax = ring(rotate_s=300.0), ring(rotate_s=900.0)
        assert strict.turns_at(taken(strict, told())) == NOW - 10 + 300
        assert lax.turns_at(taken(lax, told())) == NOW - 10 + 600

    def test_a_key_encrypts_no_longer_than_its_time_and_the_overrun(self) -> None:
        one = ring()
        one.current = taken(one, told(age_ms=0))
        assert one.encrypting(NOW + 899) is one.current
        assert one.encrypting(NOW + 900) is None

    def test_it_is_wiped_when_its_last_ticket_is_over(self) -> None:
        one = ring()
        key = one.current = taken(one, told(age_ms=0))
        assert one.next_end() == NOW + 900 + 3600
        assert one.expire(NOW + 4499) == 0
        assert one.expire(NOW + 4500) == 1
        assert one.current is None
        assert key.wiped
        assert one.empty_since == NOW + 4500

    def test_a_ring_without_keys_never_ends_one(self) -> None:
        assert ring().next_end() == float("inf")


class TestEnding:
    def test_a_withdraw_wipes_what_was_made_before_it_and_takes_no_more_of_it(self) -> None:
        one = ring()
        old, young = taken(one, told(1, age_ms=100_000)), taken(one, told(2, age_ms=0))
        assert one.end(NOW - 50, NOW) == 1
        assert one.keys == [young]
        assert old.wiped
        assert one.take(told(3, age_ms=60_000), NOW) is Drop.TICKET_KEY_OLD
        assert one.take(told(4, age_ms=40_000), NOW) is True

    def test_a_number_is_not_given_twice(self) -> None:
        one = ring()
        taken(one, told(7))
        one.wipe(NOW)
        assert one.top == 7

    def test_a_key_that_proves_older_than_a_withdraw_is_wiped(self) -> None:
        one = ring()
        one.end(10.0, 12.0)
        key = one.current = taken(one, told(age_ms=0), now=12.0)
        assert one.age_heard(key.name, 1_980, 12.0) is key
        assert not key.wiped
        assert one.age_heard(key.name, 2_010, 12.0) is key
        assert key.wiped
        assert one.keys == []
        assert one.current is None
        assert one.take(told(age_ms=0), 12.0) is Drop.TICKET_KEY_OLD

    def test_what_clocks_run_apart_is_no_proof(self) -> None:
        day_s, one = 24 * 3600, ring(lifetime_s=2.0 * 24 * 3600)
        one.end(10.0, 12.0)
        key = taken(one, told(age_ms=day_s * 1000, lifetime_s=2 * day_s), now=40.0 + day_s)
        assert one.age_heard(key.name, (day_s + 34) * 1000, 40.0 + day_s) is key
        assert not key.wiped

    @pytest.mark.parametrize("hour_s", (60.1, 3600.0))
    def test_a_clock_that_stood_still_is_no_proof_either(self, hour_s: float) -> None:
        one = ring()
        one.end(90.0, 92.0)
        key = one.current = taken(one, told(age_ms=0), now=100.0)
        for stood_s in (30, 45):
            one.age_heard(key.name, int((hour_s + stood_s) * 1000), 100.0 + hour_s)
            assert not key.wiped
            assert 90.0 < key.born_at <= 90.2, "as much older as it can be"
        assert one.take(told(age_ms=int(hour_s + 30) * 1000), 100.0 + hour_s) is False
        assert one.current is key
        assert one.end(95.0, 100.0 + hour_s) == 1, "a later withdraw ends it"

    def test_a_key_that_came_a_minute_ago_can_still_prove_older_than_a_withdraw(self) -> None:
        one = ring()
        one.end(90.0, 92.0)
        key = taken(one, told(age_ms=0), now=100.0)
        assert one.age_heard(key.name, 75_000, 160.0) is key
        assert key.wiped
