"""What waits for a tier keeps its order and its limits, and what couldn't be taken out keeps nothing back."""

from __future__ import annotations

from meshcache.hooks import TIER_BATCH_MAX, TIER_WAITING_MAX, TierEntry
from meshcache.tiers.write_queue import WriteQueue


def entries(*numbers: int) -> list[TierEntry]:
    return [TierEntry(number.to_bytes(16, "big"), b"v", 60.0) for number in numbers]


def keys(*numbers: int) -> list[bytes]:
    return [each.key for each in entries(*numbers)]


def taken(queue: WriteQueue) -> list[bytes]:
    return [each.key for part in queue.take_entries() for each in part]


def test_a_removal_is_due_once_what_was_offered_before_it_is_taken_and_divides_what_is_taken() -> None:
    queue = WriteQueue()
    assert queue.offer(entries(1)) == 0
    assert queue.offer(entries(2)) == 0
    assert queue.remove(keys(1)) == 0
    queue.offer(entries(3))
    assert queue.take_removals() == []
    assert taken(queue) == keys(1, 2)
    assert queue.take_removals() == keys(1)
    assert queue.going[keys(1)[0]] == 1
    queue.gone(keys(1))
    assert not queue.going
    assert taken(queue) == keys(3)
    assert (queue.waiting, queue.has_entries) == (0, False)


def test_what_couldnt_be_taken_out_comes_first_again_and_lets_whole_batches_pass() -> None:
    queue = WriteQueue()
    queue.remove(keys(1, 2, 3))
    queue.put_back(queue.take_removals())
    for number in range(4, 8):
        queue.offer(entries(number))
    assert taken(queue) == keys(4, 5, 6, 7)
    assert queue.take_removals() == keys(1, 2, 3)


def test_a_batch_and_no_more_is_taken_at_a_time() -> None:
    queue = WriteQueue()
    queue.offer(entries(*range(2 * TIER_BATCH_MAX + 1)))
    queue.remove(keys(*range(TIER_BATCH_MAX + 1)))
    assert [len(taken(queue)) for _ in range(3)] == [TIER_BATCH_MAX, TIER_BATCH_MAX, 1]
    assert [len(queue.take_removals()) for _ in range(3)] == [TIER_BATCH_MAX, 1, 0]


def test_what_there_is_no_room_for_is_told() -> None:
    queue = WriteQueue()
    assert queue.offer(entries(1) * (TIER_WAITING_MAX - 1)) == 0
    assert queue.offer(entries(1, 2, 3)) == 2
    assert queue.offer(entries(1)) == 1
    assert queue.remove(keys(*range(TIER_WAITING_MAX))) == 0
    assert queue.remove(keys(TIER_WAITING_MAX, TIER_WAITING_MAX + 1)) == 2
    assert [each in queue.going for each in keys(0, 1, 2, TIER_WAITING_MAX + 1)] == [False, False, True, True]


def test_what_is_to_be_kept_waits_until_that_is_done_or_others_take_its_place() -> None:
    queue = WriteQueue()
    one, other = entries(1), entries(2, 3)
    queue.keep(one)
    assert (queue.waiting, queue.has_entries) == (0, False), "it stands in no line"
    being_written = queue.to_keep
    queue.keep(other)
    queue.kept(being_written)
    assert queue.to_keep is other
    queue.kept(other)
    assert not queue.to_keep
