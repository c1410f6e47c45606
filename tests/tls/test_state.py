from __future__ import annotations

import ssl

from meshcache.tls.functions import ffi
from meshcache.tls.libssl import find
from meshcache.tls.state import State


def state() -> State:
    return State(find(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).library.functions)


def test_scratch_is_reused_and_made_when_there_is_none() -> None:
    one = state()
    first, second = one.take_scratch(), one.take_scratch()
    assert first is not second
    one.scratch.append(first)
    assert one.take_scratch() is first


def test_what_it_shows_of_itself_has_no_secret() -> None:
    one = state()
    scratch = one.take_scratch()
    ffi.memmove(scratch.der, b"a session", 9)
    one.scratch.append(scratch)
    for thing in (one, scratch, scratch.der, scratch.cursor):
        assert "a session" not in f"{thing!r}{thing!s}"


def test_each_ex_data_has_an_index_of_its_own_that_is_not_the_applications() -> None:
    one, other = state(), state()
    assert one.mark_index != other.mark_index
    assert 0 not in (one.mark_index, other.mark_index), "index 0 is app_data, which SSL_set_app_data sets"
    indexes = {one.token_index, one.counted_index, other.token_index, other.counted_index}
    assert len(indexes) == 4
    assert 0 not in indexes, "index 0 is app_data, which SSL_SESSION_set_app_data sets"
