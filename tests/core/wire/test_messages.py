"""Messages as values: what they compute, what they hide, and sizes that fit into one another."""

from __future__ import annotations

from meshcache.core.values.limits import Limits
from meshcache.core.values.session import DER_BYTES_MAX, SESSION_ID_BYTES_MAX, StreamKey
from meshcache.core.wire import messages
from tests.core.samples import SAMPLES, SHOP


def test_a_batch_belongs_to_the_stream_of_its_origin_and_not_of_its_sender() -> None:
    push = SAMPLES["push"]
    assert isinstance(push, messages.Push)
    assert push.batch.key == StreamKey(SHOP.node, 7, "shop")


def test_no_id_and_no_der_is_in_the_repr_of_a_message() -> None:
    for name in ("push", "fill", "withdraw-ids"):
        shown = repr(SAMPLES[name])
        assert "der" not in shown
        assert "\\x01" not in shown


def test_the_largest_session_fits_into_a_batch_and_a_full_batch_into_a_message() -> None:
    assert DER_BYTES_MAX + SESSION_ID_BYTES_MAX <= messages.BATCH_BYTES_MAX
    columns = messages.BATCH_SESSIONS_MAX * (8 + 1 + 2 + 4 + 4 + 1)
    assert messages.BATCH_BYTES_MAX + columns + 8192 < messages.MESSAGE_BYTES_MAX


def test_an_answer_to_a_fetch_fits_into_a_peers_queue() -> None:
    limits = Limits()
    assert messages.FETCH_SESSIONS_MAX / messages.BATCH_SESSIONS_MAX * limits.fetches_per_peer < limits.queue_messages
    assert limits.fill_sessions_burst >= messages.FETCH_SESSIONS_MAX
