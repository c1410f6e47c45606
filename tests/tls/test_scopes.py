from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.policy.scope import Names, session_id_context
from meshcache.tls import scopes as module
from meshcache.tls.scopes import EXTENSION_BYTES_MAX, SCOPES_MAX, Scopes, host_name, scopes_for

DIGEST = bytes(range(32))
NAMES = Names(("a.test", "*.wild.test"))


def extension(name: bytes, *, kind: int = 0) -> bytes:
    """The body of a server_name extension with one name (RFC 6066 section 3)."""
    entry = bytes([kind]) + len(name).to_bytes(2, "big") + name
    return len(entry).to_bytes(2, "big") + entry


def test_a_covered_name_has_the_context_of_its_class() -> None:
    scopes = Scopes(NAMES, DIGEST)
    assert scopes.context_for("a.test") == session_id_context(DIGEST, "name:a.test")
    assert scopes.of_extension(extension(b"A.Test.")) == scopes.context_for("a.test")
    assert (
        scopes.of_extension(None)
        == scopes.context_for(None)
        == session_id_context(DIGEST, "certificate:*.wild.test,a.test")
    )


def test_a_name_that_is_neither_covered_nor_listed_has_no_context() -> None:
    scopes = Scopes(NAMES, DIGEST)
    for name in ("b.test", "x.y.wild.test", "wild.test", ""):
        assert scopes.context_for(name) is None
        assert scopes.of_extension(extension(name.encode())) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        extension(b""),
        extension(b"a.test", kind=1),
        extension(b"a.test") + b"x",
        extension(b"a.test")[:-1],
        extension(b"a.test\0"),
        extension(b"a.t\xc3\xa9st"),
        extension(b"a" * 256),
        b"\0\x12" + extension(b"a.test")[2:] * 2,
    ],
)
def test_a_malformed_extension_shares_nothing_and_is_not_taken_for_no_name(body: bytes) -> None:
    assert host_name(body) is None
    assert Scopes(NAMES, DIGEST).of_extension(body) is None


def test_the_longest_name_is_read_and_one_byte_more_is_not() -> None:
    assert host_name(extension(b"a" * 255)) == "a" * 255
    assert len(extension(b"a" * 255)) == EXTENSION_BYTES_MAX
    assert host_name(extension(b"a" * 256)) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_name_or_none(body: bytes) -> None:
    name = host_name(body)
    assert name is None or extension(name.encode()) == body


def test_it_knows_which_contexts_it_gave() -> None:
    scopes = Scopes(NAMES, DIGEST)
    context = scopes.of_extension(extension(b"a.test"))
    assert context is not None
    assert scopes.gave(context)
    assert not scopes.gave(bytes(32))
    assert not scopes.gave(Scopes(NAMES, b"other").context_for("a.test") or b"")


def test_invented_names_do_not_fill_memory_and_do_not_change_answers() -> None:
    scopes = Scopes(NAMES, DIGEST)
    for number in range(SCOPES_MAX + 10):
        assert scopes.of_extension(extension(b"%d.wild.test" % number)) is not None
    assert 0 < scopes.remembered <= SCOPES_MAX
    assert scopes.of_extension(extension(b"0.wild.test")) == scopes.context_for("0.wild.test")


def test_overlong_extensions_are_not_remembered() -> None:
    scopes = Scopes(NAMES, DIGEST)
    assert scopes.of_extension(bytes(EXTENSION_BYTES_MAX + 1)) is None
    assert scopes.remembered == 0


def test_the_same_settings_share_one_memory() -> None:
    assert scopes_for(NAMES, DIGEST) is scopes_for(Names(("a.test", "*.wild.test")), DIGEST)
    assert scopes_for(NAMES, DIGEST) is not scopes_for(NAMES, b"other")
    assert module.scopes_for.cache_info().maxsize == module.SCOPES_OF_VIPS_MAX
