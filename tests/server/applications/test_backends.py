"""Tests of `server.backends`: fewest connections, what a dead backend costs its clients, and its coming back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from meshcache_server.applications.backends import DOWN_S, FALL, TRIES_MAX, Backend, Backends, Pool
from meshcache_server.applications.forwarding import Forwarding
from OpenSSL import SSL

from meshcache import VipSettings
from tests.server.backends import backend, echo
from tests.server.harness import Certificates, Dialogue, serving
from tests.support.fronts import free_port
from tests.support.waiting import wait_until_async


def pool_of(*targets: str) -> Pool:
    return Pool(tuple(Backend("shop", target) for target in targets), 5.0)


def test_the_one_with_the_fewest_connections_is_next() -> None:
    pool = pool_of("a:1", "b:1", "c:1")
    for opened in range(9):
        fewest = min(each.open for each in pool.backends)
        chosen = pool.choose([], 0.0)
        assert chosen is not None
        assert chosen.open == fewest == opened // 3
        chosen.open += 1


def test_visits_that_are_over_at_once_go_round_all_alike() -> None:
    pool = pool_of("a:1", "b:1", "c:1")
    chosen = [pool.choose([], float(now)) for now in range(9)]
    assert [each.target for each in chosen if each] == ["a:1", "b:1", "c:1"] * 3


def test_a_backend_whose_connects_fail_is_left_out_for_a_while() -> None:
    pool = pool_of("a:1", "b:1")
    dead, other = pool.backends
    other.open = 5
    for _ in range(FALL):
        assert pool.choose([], 0.0) is dead
        dead.failed("refused", 0.0)
    assert pool.choose([], 0.0) is other
    assert pool.choose([], DOWN_S) is dead
    dead.worked()
    assert pool.choose([], 0.0) is dead


def test_when_all_are_down_all_are_tried_and_each_once() -> None:
    pool = pool_of("a:1", "b:1")
    for each in pool.backends:
        for _ in range(FALL):
            each.failed("refused", 0.0)
    first = pool.choose([], 0.0)
    assert first is not None
    second = pool.choose([first], 0.0)
    assert second is not None
    assert {first, second} == set(pool.backends)
    assert pool.choose([first, second], 0.0) is None


def test_a_client_waits_for_a_few_tries_and_no_more() -> None:
    pool = pool_of(*(f"a:{port}" for port in range(1, 10)))
    assert pool.choose(pool.backends[:TRIES_MAX], 0.0) is None


def test_what_is_known_of_a_backend_outlives_a_reload() -> None:
    backends = Backends()
    vip = VipSettings(name="shop", backend=["a:1", "b:1"])  # type: ignore[arg-type]
    (first, _) = backends.pool(vip, 5.0).backends
    first.open = 3
    assert backends.pool(vip, 5.0).backends[0] is first


def weighted(**weights: int) -> Pool:
    return Pool(tuple(Backend("shop", target, weight) for target, weight in weights.items()), 5.0)


def test_a_backend_of_weight_three_has_three_times_the_connections() -> None:
    pool = weighted(a=3, b=1)
    for _ in range(40):
        chosen = pool.choose([], 0.0)
        assert chosen is not None
        chosen.open += 1
    assert [each.open for each in pool.backends] == [30, 10]


def test_short_visits_are_spread_by_weight_and_well_mixed() -> None:
    pool = weighted(a=5, b=1, c=1)
    chosen = [pool.choose([], 0.0) for _ in range(7)]
    assert "".join(each.target for each in chosen if each) == "aabacaa"


def test_a_backend_of_weight_zero_gets_nobody_even_if_all_others_are_down() -> None:
    pool = weighted(a=0, b=1)
    for _ in range(FALL):
        pool.backends[1].failed("refused", 0.0)
    assert {pool.choose([], 0.0) for _ in range(5)} == {pool.backends[1]}
    assert pool.choose([pool.backends[1]], 0.0) is None


def test_a_reload_changes_a_weight_and_keeps_what_is_known() -> None:
    backends = Backends()
    backends.pool(VipSettings(name="shop", backend=("a:1", "b:1 weight=3")), 5.0).backends[1].open = 2
    (_, other) = backends.pool(VipSettings(name="shop", backend=("a:1", "b:1 weight=0")), 5.0).backends
    assert (other.target, other.weight, other.open) == ("b:1", 0, 2)


async def test_a_drained_backend_is_not_checked_and_not_down(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "meshcache")
    targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    health = {"interval_s": 0.02, "timeout_s": 1, "fall": 1}
    vip = {"name": "shop", "backend": targets, "health": health}
    backends = Backends()
    backends.watch([VipSettings.model_validate(vip)])
    try:
        await wait_until_async(lambda: all(each.down for each in backends))
        backends.watch([VipSettings.model_validate(vip | {"backend": [targets[0], f"{targets[1]} weight=0"]})])
        up, drained = backends
        assert (up.down, drained.down) == (True, False)
        before = up.failed_in_a_row
        await wait_until_async(lambda: up.failed_in_a_row > before + 2)
        assert not drained.down
    finally:
        backends.stop()


async def test_a_name_that_is_not_known_is_said_in_words(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", unknown)
    backends = Backends()
    vip = {"name": "shop", "backend": "app.internal:80", "health": {"interval_s": 0.02, "fall": 1}}
    backends.watch([VipSettings.model_validate(vip)])
    try:
        await wait_until_async(lambda: next(iter(backends)).down)
    finally:
        backends.stop()
    assert "backend app.internal:80 is down: its name can't be resolved: name or service not known" in caplog.text


async def test_clients_meet_no_dead_backend_where_there_is_a_live_one(
    certificates: Certificates, context: SSL.Context
) -> None:
    def visit() -> bytes:
        dialogue = Dialogue(server.port, certificates)
        dialogue.tls.sendall(b"hello")
        answer = dialogue.read(5)
        dialogue.close()
        return answer

    async with backend(echo) as seen:
        pool = pool_of(f"127.0.0.1:{free_port()}", f"127.0.0.1:{seen.port}")
        dead, live = pool.backends
        async with serving(context, lambda client: Forwarding(client, pool, lambda: True)) as server:
            for _ in range(FALL + 2):
                assert await asyncio.to_thread(visit) == b"hello"
            assert dead.down
            assert dead.failures == FALL
            assert live.connects == FALL + 2
            await wait_until_async(lambda: live.open == 0 and dead.open == 0)


async def test_a_unix_socket_is_a_backend(certificates: Certificates, context: SSL.Context, tmp_path: Path) -> None:
    server_ = await asyncio.start_unix_server(echo, tmp_path / "app.sock")
    pool = pool_of(f"unix:{tmp_path / 'app.sock'}")
    async with serving(context, lambda client: Forwarding(client, pool, lambda: True)) as server:

        def visit() -> bytes:
            dialogue = Dialogue(server.port, certificates)
            dialogue.tls.sendall(b"hello")
            answer = dialogue.read(5)
            dialogue.close()
            return answer

        assert await asyncio.to_thread(visit) == b"hello"
    server_.close()


async def test_clients_that_hang_up_at_once_are_counted_off_once(
    certificates: Certificates, context: SSL.Context, tmp_path: Path
) -> None:
    """A connect that is cancelled in the moment that it succeeds ends twice: for its task, and for its transport."""

    def visit() -> None:
        Dialogue(server.port, certificates).raw.close()

    with socket.socket(socket.AF_UNIX) as accepts_nobody:  # a connect succeeds there at once all the same
        accepts_nobody.bind(str(tmp_path / "app.sock"))
        accepts_nobody.listen(64)
        pool = pool_of(f"unix:{tmp_path / 'app.sock'}")
        (only,) = pool.backends
        async with serving(context, lambda client: Forwarding(client, pool, lambda: True)) as server:
            for _ in range(20):
                await asyncio.to_thread(visit)
            await wait_until_async(lambda: len(server.tally.done) == 20 and len(server.table) == len(pool.leaving) == 0)
            await wait_until_async(lambda: only.open <= 0)
            assert only.open == 0


async def test_what_went_to_a_backend_whose_time_was_over_goes_to_no_other(
    certificates: Certificates, context: SSL.Context
) -> None:
    there = asyncio.Event()

    class LateBackend(Backend):
        """Its connection comes when the time for that is just over, and is closed as the loops do in that case."""

        async def connect(self, make: Callable[[], asyncio.Protocol]) -> asyncio.BaseTransport:
            transport = await super().connect(make)
            await there.wait()
            transport.close()
            raise TimeoutError

    async def take(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        assert await reader.read(100) == b"hello"
        there.set()
        await reader.read(100)

    def visit() -> None:
        dialogue = Dialogue(server.port, certificates)
        dialogue.tls.sendall(b"hello")
        with pytest.raises(SSL.Error) as caught:
            dialogue.read_to_end()
        assert not isinstance(caught.value, (SSL.ZeroReturnError, SSL.WantReadError))
        dialogue.close()

    async with backend(take) as late, backend(echo) as other:
        pool = Pool((LateBackend("shop", f"127.0.0.1:{late.port}"), *pool_of(f"127.0.0.1:{other.port}").backends), 60)
        async with serving(context, lambda client: Forwarding(client, pool, lambda: True)) as server:
            await asyncio.to_thread(visit)
            await wait_until_async(lambda: late.reset == [b"hello"])
            await wait_until_async(lambda: len(server.table) == 0)
            assert server.faults.total["backend connect timeout"] == 1
        assert [each.open for each in pool.backends] == [0, 0]
        assert other.connections == 0


async def test_checks_take_a_backend_out_and_bring_it_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "meshcache")
    port = free_port()
    health = {"interval_s": 0.02, "timeout_s": 1, "fall": 2, "rise": 2}
    vip = VipSettings.model_validate({"name": "shop", "backend": f"127.0.0.1:{port}", "health": health})
    backends = Backends()
    backends.watch([vip])
    (watched,) = backends
    try:
        await wait_until_async(lambda: watched.down)
        assert not watched.usable(1e9)  # the checks say when, not the clock
        with socket.create_server(("127.0.0.1", port)):
            await wait_until_async(lambda: not watched.down)
        await wait_until_async(lambda: watched.down)
    finally:
        backends.stop()
    assert f"backend 127.0.0.1:{port} is down: connection refused" in caplog.text
    assert "is up again" in caplog.text
