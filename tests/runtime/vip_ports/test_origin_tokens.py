import threading

import pytest

from meshcache.core.values.session import Outcome
from meshcache.runtime.vip_ports import origin_tokens as module
from meshcache.runtime.vip_ports.origin_tokens import Tokens

NOW = 1000.0


def test_a_full_handshake_has_no_origin_and_begins_its_own_lineage() -> None:
    tokens = Tokens(NOW)
    assert tokens.resumption(0).outcome is Outcome.FULL
    assert tokens.resumption(0).origin is None
    assert tokens.born_at(0) is None


@pytest.mark.parametrize("outcome", [Outcome.LOCAL, Outcome.REMOTE, Outcome.PULLED])
@pytest.mark.parametrize("born_at", [NOW, NOW + 0.25, NOW - 30 * 86400, NOW + 10 * 365 * 86400])
def test_a_token_keeps_outcome_origin_and_birth_in_64_bits(outcome: Outcome, born_at: float) -> None:
    tokens = Tokens(NOW)
    token = tokens.pack(outcome, "edge-2", born_at)
    assert 0 < token < 1 << 63
    assert tokens.outcome(token) is outcome
    assert tokens.result(token) == outcome.value
    assert tokens.resumption(token).origin == "edge-2"
    packed = tokens.born_at(token)
    assert packed is not None
    assert born_at < packed <= born_at + 0.0011


def test_each_origin_keeps_its_name() -> None:
    tokens = Tokens(NOW)
    made = {name: tokens.pack(Outcome.REMOTE, name, NOW) for name in ("a", "b", "c", "a")}
    assert {name: tokens.resumption(token).origin for name, token in made.items()} == {"a": "a", "b": "b", "c": "c"}


def test_origins_beyond_the_maximum_are_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ORIGINS_MAX", 2)
    tokens = Tokens(NOW)
    first, second, third = (tokens.pack(Outcome.REMOTE, name, NOW) for name in ("a", "b", "c"))
    assert tokens.resumption(first).origin == "a"
    assert third >> 2 & 0xFFFF == 0
    assert second != third
    assert tokens.outcome(third) is Outcome.REMOTE


def test_threads_that_add_origins_at_once_never_mix_them_up() -> None:
    tokens = Tokens(NOW)
    wrong: list[str] = []

    def add(number: int) -> None:
        for at in range(500):
            name = f"{number}-{at}"
            if tokens.resumption(tokens.pack(Outcome.REMOTE, name, NOW)).origin != name:
                wrong.append(name)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
