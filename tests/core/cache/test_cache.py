"""The session cache: a state machine against a plain model, and the borders that a model can't show."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from meshcache import hot
from meshcache.core.cache.cache import PutResult, SessionCache
from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES
from meshcache.core.cache.streams import Stream, StreamTable
from meshcache.core.cache.vip_cache import VipCache
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.values.session import DER_BYTES_MAX, Session, StreamKey
from tests.core.cache.tables import COMPILED, Make

DER = b"d" * 134
ENTRY = 32 + len(DER) + ENTRY_OVERHEAD_BYTES
PLENTY = 1 << 30


def stream_of(table: StreamTable, vip: str = "shop", origin: str = "edge-1") -> Stream:
    terms = Terms(origin, "ams1", vip, vip, b"g" * 32, REACH_COLO)
    stream = table.open(terms, StreamKey(origin, 1, vip), vip, 0.0)
    assert stream is not None
    return stream


def ident(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture(params=[VipCache, COMPILED], ids=["python", "c"])
def tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """The same tests for both kinds of table."""
    if request.param is None:
        pytest.skip(hot.why_not)
    monkeypatch.setattr(House, "make", staticmethod(request.param))
    make: Make = request.param
    return make


pytestmark = pytest.mark.usefixtures("tables")


class House:
    """A cache with one or more VIPs, and a short way to fill it."""

    make: Make = VipCache
    """What holds each VIP's sessions; the fixture `tables` changes it."""

    def __init__(self, now: float = 0.0, **quotas: tuple[int, int]) -> None:
        self.dropped: list[Session] = []
        self.table = StreamTable()
        self.cache = SessionCache(self.table, now, type(self).make)
        self.cache.call_when_evicted(lambda session, _stream: self.dropped.append(session))
        for vip, (bytes_max, sessions_max) in (quotas or {"shop": (PLENTY, PLENTY)}).items():
            self.cache.set_quota(vip, bytes_max, sessions_max)

    def put(
        self, number: int, vip: str = "shop", *, der: bytes = DER, expires: float = 3600.0, born: float = 0.0
    ) -> PutResult:
        return self.cache.put(stream_of(self.table, vip), number, ident(number), der, expires, born)

    def ids(self, vip: str = "shop") -> list[int]:
        return [int.from_bytes(session.id, "big") for session in self.cache.sessions(vip)]


# --- filing and finding ----------------------------------------------------------------------------------------------


def test_what_was_put_comes_back_whole() -> None:
    house = House(now=1000.0)
    assert house.put(7, expires=1060.0, born=990.0) is PutResult.STORED
    session, stream = house.cache.get("shop", ident(7))  # type: ignore[misc]
    assert stream is stream_of(house.table)
    assert type(session) is Session
    assert session == Session(ident(7), DER, StreamKey("edge-1", 1, "shop"), 7, 1060.0, 990.0)


def test_what_it_shows_of_itself_has_no_secret() -> None:
    house = House()
    house.put(7)
    vip_cache, found = house.cache.vip_cache("shop"), house.cache.get("shop", ident(7))
    shown = "".join(
        f"{thing!r}{thing!s}" for thing in (house.cache, vip_cache, found, house.cache.peek("shop", ident(7)))
    )
    assert "shop from edge-1 #7" in shown
    for secret in (ident(7), DER):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_an_id_of_one_vip_is_unknown_to_another() -> None:
    house = House(shop=(PLENTY, 9), checkout=(PLENTY, 9))
    house.put(1, "shop")
    assert house.cache.get("checkout", ident(1)) is None
    assert house.cache.peek("checkout", ident(1)) is None
    assert not house.cache.remove("checkout", ident(1))
    assert house.cache.get("shop", ident(1)) is not None


def test_the_first_der_under_an_id_stays() -> None:
    house = House()
    assert house.put(1) is PutResult.STORED
    assert house.put(1) is PutResult.DUPLICATE
    assert house.put(1, der=b"forged") is PutResult.CONFLICT
    assert house.cache.get("shop", ident(1))[0].der == DER  # type: ignore[index]
    assert len(house.cache) == 1


@pytest.mark.parametrize(
    ("session_id", "der", "outcome"),
    [
        (b"", DER, PutResult.TOO_LARGE),
        (b"i" * 33, DER, PutResult.TOO_LARGE),
        (b"i" * 32, b"", PutResult.TOO_LARGE),
        (b"i" * 32, b"d" * (DER_BYTES_MAX + 1), PutResult.TOO_LARGE),
        (b"i" * 32, b"d" * DER_BYTES_MAX, PutResult.STORED),
        (b"i", b"d", PutResult.STORED),
    ],
)
def test_sizes_are_held_to_their_limits(session_id: bytes, der: bytes, outcome: PutResult) -> None:
    house = House()
    assert house.cache.put(stream_of(house.table), 1, session_id, der, 9.0, 0.0) is outcome
    assert len(house.cache) == (outcome is PutResult.STORED)


def test_a_vip_without_a_share_keeps_nothing() -> None:
    house = House(shop=(PLENTY, 9))
    assert house.put(1, "stranger") is PutResult.NO_QUOTA
    assert list(house.cache.sessions("stranger")) == []
    assert house.cache.vip_cache("stranger") is None


@pytest.mark.parametrize("quota", [(ENTRY - 1, 9), (PLENTY, 0)])
def test_a_share_too_small_for_one_entry_says_so_and_keeps_none(quota: tuple[int, int]) -> None:
    house = House(shop=quota)
    assert house.put(1) is PutResult.NO_QUOTA
    assert (len(house.cache), house.dropped) == (0, [])


def test_times_are_kept_in_whole_seconds_that_never_prolong_a_session() -> None:
    house = House(now=0.5)
    house.put(1, expires=60.9, born=0.9)
    session = house.cache.peek("shop", ident(1))
    assert session is not None
    assert 59.5 <= session.expires_at <= 60.9
    assert session.born_at <= 0.9


@pytest.mark.parametrize("far", [1e12, -1e12, float("inf"), float("-inf")])
def test_absurd_times_are_clamped(far: float) -> None:
    house = House()
    assert house.put(1, expires=far, born=far) is PutResult.STORED
    assert house.cache.get("shop", ident(1))[0].expires_at in (-(2**31), 2**31 - 1)  # type: ignore[index, operator]


# --- room ------------------------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first() -> None:
    house = House(shop=(PLENTY, 3))
    for number in (1, 2, 3):
        house.put(number)
    house.cache.get("shop", ident(1))
    house.put(4)
    assert house.ids() == [3, 1, 4]
    house.put(5)
    assert house.ids() == [1, 4, 5]
    assert [session.id for session in house.dropped] == [ident(2), ident(3)]


def test_a_peek_is_no_use() -> None:
    house = House(shop=(PLENTY, 2))
    house.put(1)
    house.put(2)
    assert house.cache.peek("shop", ident(1)) is not None
    house.put(3)
    assert house.ids() == [2, 3]


def test_bytes_bound_a_share_exactly() -> None:
    house = House(shop=(3 * ENTRY, PLENTY))
    for number in range(1, 4):
        house.put(number)
    assert (len(house.cache), house.cache.bytes_used, len(house.dropped)) == (3, 3 * ENTRY, 0)
    house.put(4, der=b"d" * 135)
    assert house.ids() == [3, 4]


def test_one_vip_cannot_evict_anothers_share() -> None:
    house = House(shop=(PLENTY, 5), flood=(PLENTY, 5))
    for number in range(5):
        house.put(number, "shop")
    for number in range(1000):
        house.put(number, "flood")
    assert house.ids("shop") == [0, 1, 2, 3, 4]
    assert len(house.ids("flood")) == 5
    assert house.cache.vip_cache("shop").evicted == 0  # type: ignore[union-attr]
    assert house.cache.vip_cache("flood").evicted == 995  # type: ignore[union-attr]


def test_a_smaller_quota_evicts_at_once_and_a_larger_one_keeps_all() -> None:
    house = House(shop=(PLENTY, 9))
    for number in range(9):
        house.put(number)
    house.cache.set_quota("shop", PLENTY, 100)
    assert len(house.ids()) == 9
    house.cache.set_quota("shop", PLENTY, 2)
    assert house.ids() == [7, 8]


def test_a_vip_that_goes_takes_its_entries_along() -> None:
    house = House(shop=(PLENTY, 9), checkout=(PLENTY, 9))
    for number in range(4):
        house.put(number, "shop")
    house.put(1, "checkout")
    assert house.cache.drop_vip("shop") == 4
    assert house.cache.drop_vip("shop") == 0
    assert (len(house.cache), house.ids("checkout")) == (1, [1])
    assert stream_of(house.table, "shop").cached == 0


@pytest.mark.slow
def test_memory_stays_within_what_an_entry_is_charged() -> None:
    house = House()
    stream = stream_of(house.table)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1, 20_001):
            house.cache.put(stream, number, ident(number), bytes(134), 3600.0, 0.0)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown / 20_000 <= min(ENTRY, 450)


# --- expiry ----------------------------------------------------------------------------------------------------------


def test_expired_entries_go_within_two_rounds_and_no_others() -> None:
    """Two, since in the compiled cache one that goes can let another move to where this round has been already."""
    house = House(shop=(PLENTY, PLENTY), checkout=(PLENTY, PLENTY))
    for number in range(1, 101):
        house.put(number, "shop", expires=10.0 if number % 2 else 20.0)
    house.put(1, "checkout", expires=10.0)

    looks = [house.cache.expire(10.0, 30) for _ in range(10)]

    assert sum(looks) == 51
    assert max(looks) <= 30
    assert house.ids("shop") == list(range(2, 101, 2))
    assert house.ids("checkout") == []
    assert house.cache.vip_cache("shop").evicted == 0  # type: ignore[union-attr]


def test_an_entry_lives_until_its_second_and_not_beyond() -> None:
    house = House()
    house.put(1, expires=10.0)
    assert house.cache.expire(9.9, 5) == 0
    assert house.cache.expire(10.0, 5) == 1


def test_without_a_budget_nothing_is_looked_at() -> None:
    house = House()
    house.put(1, expires=1.0)
    assert house.cache.expire(5.0, 0) == 0
    assert len(house.cache) == 1
    assert SessionCache(StreamTable(), 0.0).expire(5.0, 10) == 0


def test_a_sweep_survives_what_happens_between_its_steps() -> None:
    house = House(shop=(PLENTY, PLENTY))
    for number in range(10):
        house.put(number, expires=1.0)
    house.cache.expire(5.0, 3)
    house.cache.remove("shop", ident(0))
    house.cache.drop_vip("shop")
    house.cache.set_quota("shop", PLENTY, PLENTY)
    house.put(1, expires=99.0)
    for _ in range(6):
        assert house.cache.expire(5.0, 3) == 0
    assert house.ids() == [1]


# --- against a model -------------------------------------------------------------------------------------------------

VIPS = ("shop", "checkout")
numbers, vips = st.integers(1, 25), st.sampled_from(VIPS)


class CacheMachine(RuleBasedStateMachine):
    """The cache beside one ordered dict for each VIP, oldest use first."""

    houses: type[House] = House

    def __init__(self) -> None:
        super().__init__()
        self.house = self.houses(shop=(9 * ENTRY, 9), checkout=(PLENTY, 4))
        self.limits = {"shop": (9 * ENTRY, 9), "checkout": (PLENTY, 4)}
        self.model: dict[str, dict[int, tuple[bytes, float]]] = {vip: {} for vip in VIPS}
        self.evicted = 0

    @rule(number=numbers, vip=vips, size=st.integers(1, 800), expires=st.integers(1, 50))
    def put(self, number: int, vip: str, size: int, expires: int) -> None:
        der = b"d" * size
        outcome = self.house.put(number, vip, der=der, expires=expires)
        known = self.model[vip].get(number)
        if known is not None:
            assert outcome is (PutResult.DUPLICATE if known[0] == der else PutResult.CONFLICT)
            return
        assert outcome is PutResult.STORED
        self.model[vip][number] = (der, expires)
        self.make_room(vip)

    @rule(number=numbers, vip=vips)
    def get(self, number: int, vip: str) -> None:
        found = self.house.cache.get(vip, ident(number))
        session = found and found[0]
        known = self.model[vip].pop(number, None)
        assert (session and (session.der, session.expires_at)) == known
        if known is not None:
            self.model[vip][number] = known

    @rule(number=numbers, vip=vips)
    def remove(self, number: int, vip: str) -> None:
        assert self.house.cache.remove(vip, ident(number)) == (self.model[vip].pop(number, None) is not None)

    @rule(vip=vips, sessions_max=st.integers(1, 12))
    def set_quota(self, vip: str, sessions_max: int) -> None:
        self.limits[vip] = (sessions_max * ENTRY + 700, sessions_max)
        self.house.cache.set_quota(vip, *self.limits[vip])
        self.make_room(vip)

    @precondition(lambda self: any(self.model.values()))
    @rule(now=st.integers(1, 60))
    def sweep(self, now: int) -> None:
        for _ in range(2 * len(VIPS) * 20):
            self.house.cache.expire(float(now), 3)
        for entries in self.model.values():
            for number in [number for number, (_, expires) in entries.items() if expires <= now]:
                del entries[number]

    def make_room(self, vip: str) -> None:
        entries, (bytes_max, sessions_max) = self.model[vip], self.limits[vip]
        while len(entries) > sessions_max or self.charged(vip) > bytes_max:
            del entries[next(iter(entries))]
            self.evicted += 1

    def charged(self, vip: str) -> int:
        return sum(32 + len(der) + ENTRY_OVERHEAD_BYTES for der, _ in self.model[vip].values())

    @invariant()
    def holds_the_same_in_the_same_order(self) -> None:
        for vip in VIPS:
            assert self.house.ids(vip) == list(self.model[vip])
        assert len(self.house.cache) == sum(map(len, self.model.values()))
        assert self.house.cache.bytes_used == sum(map(self.charged, VIPS))
        assert len(self.house.dropped) == self.evicted

    @invariant()
    def streams_know_their_entries(self) -> None:
        for stream in self.house.table:
            assert stream.cached == len(self.model[stream.vip])
            assert dict(stream.entries.between(1, 30)) == {n: ident(n) for n in self.model[stream.vip]}


class CompiledHouse(House):
    make = staticmethod(COMPILED or VipCache)


class CompiledMachine(CacheMachine):
    """The same with the compiled table, where there is one."""

    houses = CompiledHouse


CacheMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
CompiledMachine.TestCase.settings = CacheMachine.TestCase.settings


@pytest.mark.parametrize("machine", [CacheMachine, CompiledMachine])
def test_against_a_model(machine: type[CacheMachine]) -> None:
    run_state_machine_as_test(machine, settings=CacheMachine.TestCase.settings)


def test_what_is_filed_is_told_with_its_stream_and_what_isnt_isnt() -> None:
    house, filed = House(), list[tuple[str, list[bytes]]]()
    house.cache.call_when_filed(lambda stream, ids: filed.append((stream.vip, list(ids))))
    house.put(1)
    house.put(1)
    assert filed == [("shop", [ident(1)])]
