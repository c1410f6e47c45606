"""The tier in a store: a real redis-server, well, frozen, gone, full, odd, and behind TLS and a password."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey

from meshcache.hooks import TIER_VALUE_BYTES_MAX, TierEntry, TierError
from meshcache.tiers.runner import TierRunner
from meshcache.tiers.valkey import READ_TIMEOUT_S, Store, ValkeyTier
from tests.support.material import Authority
from tests.support.store import StoreServer
from tests.support.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreServer]:
    store = StoreServer(tmp_path)
    yield store
    store.stop()


@pytest.fixture
def tier(server: StoreServer) -> Iterator[ValkeyTier]:
    made = opened(Store("127.0.0.1", server.port))
    yield made
    made.close()


def opened(store: Store) -> ValkeyTier:
    made = ValkeyTier(store, "prod")
    made.open()
    return made


def client(server: StoreServer) -> valkey.Valkey:
    return valkey.Valkey(port=server.port)


def entry(number: int, lasts_s: float = 60.0) -> TierEntry:
    return TierEntry(number.to_bytes(16, "big"), b"\x01v%d" % number, lasts_s)


def test_what_was_put_is_found_until_it_ends(tier: ValkeyTier, server: StoreServer) -> None:
    tier.put([entry(number, 0.05 if number == 3 else 60) for number in range(500)])
    keys = [entry(number).key for number in range(600)]
    found = wait_until(lambda: len(found := tier.get(keys)) == 499 and found, what="one has ended")
    assert found[entry(7).key] == entry(7).value
    assert entry(3).key not in found
    ttl = client(server).pttl(b"meshcache:prod:" + b"AAAAAAAAAAAAAAAAAAAABw")
    assert 0 < ttl <= 60_000


def test_what_is_removed_is_gone(tier: ValkeyTier) -> None:
    tier.put([entry(1), entry(2)])
    tier.remove([entry(1).key, entry(9).key])
    assert set(tier.get([entry(1).key, entry(2).key])) == {entry(2).key}


def test_keys_carry_the_mesh_and_no_id(tier: ValkeyTier, server: StoreServer) -> None:
    tier.put([entry(1)])
    (key,) = client(server).keys()
    assert key.startswith(b"meshcache:prod:")


def test_a_value_that_is_too_long_is_cut_by_the_store(tier: ValkeyTier, server: StoreServer) -> None:
    client(server).set(b"meshcache:prod:AAAAAAAAAAAAAAAAAAAAAQ", bytes(5_000_000))
    assert len(tier.get([entry(1).key])[entry(1).key]) == TIER_VALUE_BYTES_MAX + 1


def test_what_is_no_string_under_our_key_is_given_to_be_refused(tier: ValkeyTier, server: StoreServer) -> None:
    tier.put([entry(2)])
    client(server).lpush(b"meshcache:prod:AAAAAAAAAAAAAAAAAAAAAQ", b"x")
    found = tier.get([entry(1).key, entry(2).key])
    assert found == {entry(1).key: b"\0", entry(2).key: entry(2).value}


def test_a_frozen_store_is_given_up_in_time_and_answers_are_never_mixed_up(
    tier: ValkeyTier, server: StoreServer
) -> None:
    tier.put([entry(number) for number in range(100)])
    for _ in range(3):
        server.freeze()
        began = time.monotonic()
        with pytest.raises(TierError, match="Timeout"):
            tier.get([entry(1).key])
        assert time.monotonic() - began >= READ_TIMEOUT_S * 0.9
        server.thaw()
        wait_until(lambda: tier.get([entry(5).key]) == {entry(5).key: entry(5).value}, what="it is well again")


def test_a_store_that_is_gone_and_comes_back_empty(tier: ValkeyTier, server: StoreServer) -> None:
    tier.put([entry(1)])
    server.stop()
    for call in (lambda: tier.get([entry(1).key]), lambda: tier.put([entry(1)]), lambda: tier.remove([entry(1).key])):
        with pytest.raises(TierError, match=r"refused|closed|reset"):
            call()
    server.start()
    wait_until(lambda: tier.get([entry(1).key]) == {}, what="it is asked again")
    tier.put([entry(2)])
    assert tier.get([entry(2).key])


def test_a_store_that_is_full_says_so_and_is_read_on(tmp_path: Path) -> None:
    server = StoreServer(tmp_path, maxmemory="3mb", maxmemory_policy="noeviction")
    try:
        tier = opened(Store("127.0.0.1", server.port))
        tier.put([entry(1)])
        many = [TierEntry(number.to_bytes(16, "big"), b"sealed" * 300, 60) for number in range(5000)]
        with pytest.raises(TierError, match="OutOfMemory") as caught:
            tier.put(many)
        assert "sealed" not in str(caught.value)
        assert tier.get([entry(1).key])
        tier.tend()
        assert tier.figures()["noeviction"] == 1
        assert tier.figures()["store_max_bytes"] == 3 * 2**20
        tier.close()
    finally:
        server.stop()


def test_a_store_that_evicts_is_told_as_one(tmp_path: Path) -> None:
    server = StoreServer(tmp_path, maxmemory="10mb", maxmemory_policy="allkeys-lru")
    try:
        tier = opened(Store("127.0.0.1", server.port))
        assert tier.figures()["noeviction"] == 0
        tier.close()
    finally:
        server.stop()


def test_nobody_there_is_an_error_and_no_wait() -> None:
    with pytest.raises(TierError, match="refused"):
        ValkeyTier(Store("127.0.0.1", 1), "prod").open()


def test_over_a_unix_socket(server: StoreServer) -> None:
    tier = opened(Store(path=str(server.socket)))
    tier.put([entry(1)])
    assert tier.get([entry(1).key])
    tier.close()


def test_with_a_name_and_a_password(tmp_path: Path) -> None:
    commands = "+getrange +set +unlink +info +ping +client|setname +select"
    server = StoreServer(tmp_path, user=f"cache on >s3cret ~meshcache:* {commands}", requirepass="other")
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("s3cret\n")
    try:
        tier = opened(Store("127.0.0.1", server.port, username="cache", password_file=password))
        tier.put([entry(1)])
        assert tier.get([entry(1).key])
        tier.remove([entry(1).key])
        tier.tend()
        tier.close()
        password.write_text("wr0ng")
        with pytest.raises(TierError) as caught:
            ValkeyTier(Store("127.0.0.1", server.port, username="cache", password_file=password), "prod").open()
        assert "wr0ng" not in str(caught.value)
    finally:
        server.stop()


@pytest.mark.parametrize("username", [None, "cache"])
def test_a_password_that_was_changed_is_read_at_the_next_connection(tmp_path: Path, username: str | None) -> None:
    commands = "+getrange +set +unlink +info +ping +client|setname +select"
    server = StoreServer(tmp_path, user=f"cache on >one ~meshcache:* {commands}", requirepass="one")
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("one\n")

    def change(old: str, new: str) -> None:
        with valkey.Valkey(port=server.port, password=old) as admin:
            admin.execute_command("acl", "setuser", "cache", "resetpass", f">{new}")
            admin.execute_command("config", "set", "requirepass", new)
            admin.execute_command("client", "kill", "skipme", "yes")

    tier = opened(Store("127.0.0.1", server.port, username=username, password_file=password))
    try:
        tier.put([entry(1)])
        change("one", "two")
        for _ in range(2):
            with pytest.raises(TierError, match=r"(?i)auth|wrongpass|invalid|closed") as caught:
                tier.get([entry(1).key])
        assert "one" not in str(caught.value)
        password.write_text("two\n")
        assert tier.get([entry(1).key])
        tier.put([entry(2)])
        change("two", "three")
        password.write_text("three\n")
        password.chmod(0o644)  # which others can read: refused as at the start, and nobody goes on without it
        for _ in range(3):
            with pytest.raises(TierError, match=r"closed|password: .*others") as caught:
                tier.tend()
        assert "password: " in str(caught.value)
        password.chmod(0o600)
        tier.tend()
        tier.put([entry(3)])
        assert len(tier.get([entry(number).key for number in (1, 2, 3)])) == 3
    finally:
        tier.close()
        server.stop()


def test_over_tls_with_the_right_authority_only(tmp_path: Path) -> None:
    server = StoreServer(tmp_path, Authority.new("127.0.0.1"))
    other = tmp_path / "other"
    other.mkdir()
    Authority.new("127.0.0.1").write(other)
    try:
        tier = opened(Store("127.0.0.1", server.port, tls=True, ca_file=tmp_path / "ca.pem"))
        tier.put([entry(1)])
        assert tier.get([entry(1).key])
        tier.close()
        for ca_file in (other / "ca.pem", None):
            with pytest.raises(TierError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
                ValkeyTier(Store("127.0.0.1", server.port, tls=True, ca_file=ca_file), "prod").open()
        with pytest.raises(TierError):
            ValkeyTier(Store("127.0.0.1", server.port), "prod").open()
    finally:
        server.stop()


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server = StoreServer(tmp_path, Authority.new("store.example"))
    try:
        with pytest.raises(TierError, match=r"(?i)mismatch|verify failed"):
            opened(Store("127.0.0.1", server.port, tls=True, ca_file=tmp_path / "ca.pem"))
    finally:
        server.stop()


def test_through_a_runner_a_frozen_store_costs_the_first_question_its_budget(server: StoreServer) -> None:
    tier = ValkeyTier(Store("127.0.0.1", server.port), "prod", budget_s=0.05)
    runner = TierRunner(tier, "", lambda _fault: None, lambda _runner: None)
    runner.start()
    try:
        wait_until(lambda: runner.ready, what="it is ready")
        answers: list[bytes | None] = []
        server.freeze()
        assert runner.ask((os.urandom(16), answers.append))
        wait_until(lambda: not runner.ready, what="it is late, or was given up")
        assert not runner.ask((os.urandom(16), answers.append))
        server.thaw()
        wait_until(lambda: runner.ready, what="it is well again")
        assert len(answers) == 1
    finally:
        server.thaw()
        runner.close(60)


def test_in_a_forked_child_nothing_of_the_parents_is_used(tier: ValkeyTier) -> None:
    tier.put([entry(1)])
    child = os.fork()
    if not child:
        tier.forked()
        try:
            tier.get([entry(1).key])
        except TierError:
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert tier.get([entry(1).key])
