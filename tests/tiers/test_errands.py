"""All that a tier has is read in batches, and from the beginning again where it breaks off, so many times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshcache.hooks import TIER_BATCH_MAX
from meshcache.tiers.errands import TRIES_MAX, Retry, in_batches


def rows(count: int, *, breaks_off: bool = False) -> Iterator[tuple[bytes, bytes]]:
    yield from ((number.to_bytes(16, "big"), b"v") for number in range(count))
    if breaks_off:
        raise OSError("it breaks off")


@pytest.mark.parametrize("count", [0, 1, TIER_BATCH_MAX, TIER_BATCH_MAX + 1, 3 * TIER_BATCH_MAX])
def test_batches_have_all_in_order(count: int) -> None:
    batches = list(in_batches(rows(count)))
    assert [row for batch in batches for row in batch] == list(rows(count))
    assert [len(batch) for batch in batches[:-1]] == [TIER_BATCH_MAX] * (len(batches) - 1)


@pytest.mark.parametrize("count", [0, 5, TIER_BATCH_MAX, TIER_BATCH_MAX + 5])
def test_what_came_before_a_fault_is_there(count: int) -> None:
    found: list[tuple[bytes, bytes]] = []
    with pytest.raises(OSError, match="breaks off"):
        found.extend(row for batch in in_batches(rows(count, breaks_off=True)) for row in batch)
    assert found == list(rows(count))


def test_an_errand_is_tried_so_often_and_as_often_again_once_it_went_right() -> None:
    again: list[int] = []

    def errand(*, fails: bool) -> Iterator[None]:
        yield
        if fails:
            raise OSError("it breaks off")

    retry = Retry()
    for _ in range(2):
        again.clear()
        for _ in range(TRIES_MAX - 1):
            with pytest.raises(OSError, match="breaks off"):
                list(retry.of(errand(fails=True), lambda: again.append(1)))
        assert len(again) == TRIES_MAX - 1
        assert list(retry.of(errand(fails=False), lambda: again.append(1))) == [None]
    assert len(again) == TRIES_MAX - 1


def test_after_one_that_was_given_up_a_later_one_is_tried_as_often() -> None:
    def errand() -> Iterator[None]:
        yield from ()
        raise OSError("it breaks off")

    retry, tries = Retry(), list[int]()
    for _ in range(2):
        tries.clear()
        while True:
            before = len(tries)
            with pytest.raises(OSError, match="breaks off"):
                list(retry.of(errand(), lambda: tries.append(1)))
            if len(tries) == before:
                break
        assert len(tries) == TRIES_MAX - 1
