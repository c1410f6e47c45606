import base64
from itertools import pairwise

import pytest

from meshcache.edges.keyring import KEY_BYTES, KEYS_MAX, Keyring, KeyState, MeshKey, decode_secret, encode_secret
from meshcache.errors import KeyringError

GOOD = bytes(range(32))


def entry(secret: str, state: str = "current") -> str:
    return f'[[key]]\nstate = "{state}"\nsecret = "{secret}"\n'


def base64_of(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def test_a_new_keyring_holds_one_current_key_that_nobody_else_has() -> None:
    one, other = Keyring.new(), Keyring.new()
    assert [key.state for key in one.keys] == [KeyState.CURRENT]
    assert len(one.current.secret) == KEY_BYTES
    assert one.current.secret != other.current.secret


def test_a_keyring_survives_its_text_form() -> None:
    keyring = Keyring.new().add().promote().add()
    assert Keyring.from_toml(keyring.to_toml()) == keyring


def test_all_that_leaves_the_process_is_derived_and_each_purpose_has_its_own_key() -> None:
    key = MeshKey(GOOD)
    derived = {key.listener.public, key.listener.secret, key.dialler.public, key.dialler.secret}
    assert len(derived) == 4
    assert key.fingerprint != MeshKey(GOOD[::-1]).fingerprint
    assert len(key.fingerprint) == 16
    assert GOOD.hex()[:16] not in key.fingerprint


def test_the_derivation_is_the_same_on_every_node_and_in_every_version() -> None:
    key = MeshKey(GOOD)
    assert key.fingerprint == "4caecc1afa2ce321"
    assert key.listener.public == b"L*&E{]OS8VqDK[%]T4&99@R3&+)KohfcBCf6O:Zf"
    assert key.dialler.public == b"njpBrUmqm]bB!f&MUzG[)5wCaG&i:odU(!Q6b83B"


def test_neither_repr_nor_str_shows_a_secret() -> None:
    keyring = Keyring.new()
    shown = f"{keyring!r} {keyring.current!r} {keyring.current.listener!r} {keyring}"
    for secret in (keyring.current.secret, keyring.current.listener.secret, keyring.current.dialler.secret):
        assert repr(secret) not in shown
    assert base64_of(keyring.current.secret) not in shown


def test_a_rotation_in_three_steps_keeps_one_key_in_common_between_neighbouring_steps() -> None:
    before = Keyring.new()
    added = before.add()
    promoted = added.promote()
    retired = promoted.retire()
    for earlier, later in pairwise([before, added, promoted, retired]):
        assert earlier.current.fingerprint in later.fingerprints
        assert later.current.fingerprint in earlier.fingerprints
    assert added.current == before.current
    assert promoted.in_order[0].fingerprint != before.current.fingerprint
    assert retired.fingerprints == (promoted.current.fingerprint,)


def test_the_same_key_is_added_on_every_node_by_its_text() -> None:
    first = Keyring.new().add()
    second = Keyring((first.current,)).add(decode_secret(encode_secret(first.keys[0])))
    assert second == first


def test_promoting_without_a_name_takes_the_newest_and_retiring_the_oldest() -> None:
    keyring = Keyring.new().add().add()
    newest, middle, oldest = keyring.keys
    assert keyring.promote().current.fingerprint == newest.fingerprint
    assert keyring.promote(middle.fingerprint).current.fingerprint == middle.fingerprint
    assert oldest.fingerprint not in keyring.promote().retire().fingerprints


def test_the_current_key_is_never_retired() -> None:
    keyring = Keyring.new().add()
    with pytest.raises(KeyringError, match="promote another first"):
        keyring.retire(keyring.current.fingerprint)


def test_a_step_done_again_changes_nothing() -> None:
    added = Keyring.new().add()
    promoted = added.promote()
    assert promoted.promote() == promoted
    assert promoted.promote(promoted.current.fingerprint) == promoted
    retired = promoted.retire()
    assert retired.retire() == retired
    assert retired.retire(added.current.fingerprint) == retired
    assert added.retire() == added, "the key that comes next isn't the one that goes"
    with pytest.raises(KeyringError, match="no key beside the current one"):
        retired.promote()


def test_who_wants_to_go_back_names_the_key() -> None:
    added = Keyring.new().add()
    old = added.current.fingerprint
    back = added.promote().promote(old)
    assert (back.current.fingerprint, back.retire()) == (old, back)
    assert back.retire(back.awaiting[0].fingerprint).fingerprints == (old,)


def test_a_retired_key_never_comes_back_as_the_newest_from_an_old_copy() -> None:
    promoted = Keyring.new().add().promote()
    retired = promoted.retire()
    again = retired.add_from(promoted)
    assert again.promote() == again
    assert again.retire() == retired


def test_an_unknown_fingerprint_is_answered_with_the_known_ones() -> None:
    keyring = Keyring.new().add()
    with pytest.raises(KeyringError, match=keyring.keys[0].fingerprint):
        keyring.promote("0123456789abcdef")


def test_a_keyring_has_a_maximum_and_no_doubles() -> None:
    keyring = Keyring.new()
    with pytest.raises(KeyringError, match="each key once"):
        keyring.add(keyring.current.secret)
    while len(keyring.keys) < KEYS_MAX:
        keyring = keyring.add()
    with pytest.raises(KeyringError, match="at most 4 keys"):
        keyring.add()


@pytest.mark.parametrize(
    "secret, message",
    [
        (GOOD[:31], "has 32 bytes, this one has 31"),
        (GOOD + b"x", "has 32 bytes, this one has 33"),
        (b"", "has 32 bytes, this one has 0"),
        (bytes(32), "all zeros"),
        (bytes(range(11)) * 3, "has 32 bytes, this one has 33"),
        ((bytes(range(11)) * 3)[:32], "repeats itself"),
        (b"correct horse battery staple 123", "is text"),
    ],
)
def test_a_key_that_could_be_guessed_is_refused_without_being_shown(secret: bytes, message: str) -> None:
    text = base64_of(secret)
    with pytest.raises(KeyringError, match=message) as refused:
        Keyring.from_toml(entry(text))
    assert not text or text not in str(refused.value)


def test_twelve_distinct_bytes_are_enough() -> None:
    assert decode_secret(base64_of((bytes(range(12)) * 3)[:32]))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "must hold"),
        ("key = 3", "must hold"),
        ("[[key]", "not TOML"),
        (entry(base64_of(GOOD)) + "[other]\n", "nothing else"),
        (entry(base64_of(GOOD), "next"), 'must be "current" or "accepted"'),
        (entry(base64_of(GOOD), "accepted"), "exactly one key"),
        (entry(base64_of(GOOD)) + entry(base64_of(GOOD[::-1])), "exactly one key"),
        ('[[key]]\nstate = "current"\n', "state and secret"),
        ('[[key]]\nstate = "current"\nsecret = 7\n', "string of base64"),
        (entry("not base64!"), "key is base64"),
        (entry(base64_of(GOOD)) + entry(base64_of(GOOD), "accepted"), "each key once"),
    ],
)
def test_a_malformed_key_file_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(KeyringError, match=message):
        Keyring.from_toml(text)
