"""Tests of `runtime.lookups.asking`: the order in which askers are asked, and real handshakes that wait for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from OpenSSL import SSL

from meshcache.config.vip import PAUSE_S_MAX
from meshcache.runtime.lookups.asking import PausedLookup, Step, VipAsking
from tests.nodes import Place, places
from tests.tls.world import VERSIONS, StdlibEnd, client_context, server_context, server_end, shake_hands, visit

IDS = (bytes(32),)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


class Asker:
    """Looks nowhere: waits `waits_s`, or not at all, and answers when the test says."""

    def __init__(self, waits_s: float | None = 1.0) -> None:
        self.waits_s = waits_s
        self.begun: list[PausedLookup] = []
        self.ended: list[PausedLookup] = []
        self.at_once: bool | None = None
        self.broken = False
        self.served = {"shop"}

    def serves(self, vip: str) -> bool:
        return vip in self.served

    def begin(self, lookup: PausedLookup, now: float) -> float | None:
        self.begun.append(lookup)
        if self.at_once is not None:
            lookup.answer(self, self.at_once)
        if self.broken:
            raise RuntimeError("broken")
        return None if self.waits_s is None else now + self.waits_s

    def end(self, lookup: PausedLookup, now: float) -> None:
        self.ended.append(lookup)


class Shop:
    """A node's VIP, without contexts, and three askers."""

    def __init__(self, place: Place) -> None:
        self.node = place.node("edge-1")
        self.first, self.second, self.third = Asker(0.5), Asker(0.5), Asker(0.5)
        vips = self.node.internals.vips
        for step, asker in zip(Step, (self.first, self.second, self.third), strict=True):
            vips.asking.plug(step, asker)
        port = vips.port("shop")
        assert port is not None
        assert isinstance(port.asking, VipAsking)
        self.asking = port.asking
        self.now = self.asking.clock()

    def begin(self) -> PausedLookup:
        lookup = self.asking.begin(IDS)
        assert lookup is not None
        return lookup

    def asked(self) -> Any:
        return self.node.stats()["vips"]["shop"]["lookups"]["asked"]


@pytest.fixture
def shop(place: Place) -> Shop:
    return Shop(place)


def test_each_is_asked_when_the_one_before_has_nothing_or_its_time_is_over(shop: Shop) -> None:
    lookup = shop.begin()
    assert (len(shop.first.begun), len(shop.second.begun)) == (1, 0)
    assert lookup.go_on() == lookup.until, "too early"
    lookup.answer(shop.first, False)
    assert lookup.go_on() is not None
    assert (len(shop.second.begun), len(shop.third.begun)) == (1, 0)
    late = lookup.until + 0.001
    assert lookup.go_on(late) == late + 0.5
    assert len(shop.third.begun) == 1
    lookup.answer(shop.third, True)
    assert lookup.go_on(late) is None
    assert (lookup.over, lookup.found_by, lookup.pulled) == (True, Step.FETCH, True)
    assert [len(each.ended) for each in (shop.first, shop.second, shop.third)] == [1, 1, 1]
    assert shop.asked() == {"await": {"none": 1}, "fetch": {"found": 1}, "tier": {"late": 1}}


def test_who_has_nothing_to_wait_for_is_passed_over(shop: Shop) -> None:
    shop.first.waits_s = shop.second.waits_s = None
    lookup = shop.begin()
    assert len(shop.third.begun) == 1
    lookup.answer(shop.third, False)
    assert lookup.go_on() is None
    assert (lookup.over, lookup.found_by, lookup.pulled) == (True, None, False)
    assert shop.first.ended == shop.second.ended == [], "they had begun nothing"


def test_where_nobody_waits_the_handshake_does_not(shop: Shop) -> None:
    shop.first.waits_s = shop.second.waits_s = shop.third.waits_s = None
    assert shop.asking.begin(IDS) is None


@pytest.mark.parametrize("found", [True, False])
def test_an_answer_at_once_pauses_nobody(shop: Shop, found: bool) -> None:
    shop.first.at_once = shop.second.at_once = shop.third.at_once = found
    lookup = shop.asking.begin(IDS)
    assert (lookup is not None and lookup.over) == found
    assert len(shop.third.begun) == (0 if found else 1)


def test_a_fault_of_one_is_counted_and_the_next_is_asked(shop: Shop) -> None:
    shop.first.broken = True
    lookup = shop.begin()
    assert len(shop.second.begun) == 1
    assert shop.node.stats()["faults"] == {"shop": {"client_hello": 1}}
    lookup.answer(shop.second, True)
    assert lookup.go_on() is None
    assert shop.asked() == {"tier": {"found": 1}}
    assert (shop.first.ended, shop.second.ended) == ([lookup], [lookup]), "it may have begun something"


@pytest.mark.parametrize("answer", [None, True, False])
def test_a_fault_of_the_last_ends_what_the_others_began(shop: Shop, answer: bool | None) -> None:
    shop.first.at_once, shop.third.at_once = False, answer
    shop.second.broken = shop.third.broken = True
    assert shop.asking.begin(IDS) is None, "what it found is in memory, and looked up as ever"
    assert [len(each.ended) for each in (shop.first, shop.second, shop.third)] == [1, 1, 1]
    assert shop.node.stats()["faults"] == {"shop": {"client_hello": 2}}


def test_a_fault_of_the_order_itself_ends_what_was_begun(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PausedLookup, "go_on", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shop.asking.begin(IDS)
    assert len(shop.first.ended) == 1
    for each in (shop.first, shop.second, shop.third):
        each.waits_s = None
    monkeypatch.setattr(PausedLookup, "begin", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shop.asking.begin(IDS)


def test_a_late_find_of_an_earlier_step_counts_as_its_own(shop: Shop) -> None:
    lookup = shop.begin()
    lookup.go_on(lookup.until)
    lookup.answer(shop.first, False)
    assert lookup.go_on() is not None, "only who is asked now can say that there is nothing"
    lookup.answer(shop.first, True)
    assert lookup.go_on() is None
    assert lookup.found_by is Step.AWAIT
    lookup.answer(shop.second, True)
    assert lookup.found_by is Step.AWAIT


@pytest.mark.parametrize("found", [True, False])
def test_what_lies_here_unread_at_the_deadline_is_not_late(
    shop: Shop, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = shop.begin()
    monkeypatch.setattr(shop.node.internals.pump, "read_what_is_here", lambda: lookup.answer(shop.first, found))
    assert (lookup.go_on(lookup.until) is None) == found
    assert shop.asked() == {"await": {"found" if found else "none": 1}}
    assert len(shop.second.begun) == (0 if found else 1)


def test_no_asker_can_make_a_handshake_wait_for_longer_than_the_most(shop: Shop) -> None:
    shop.first.waits_s = 3600.0
    lookup = shop.begin()
    assert lookup.until <= shop.asking.clock() + PAUSE_S_MAX
    lookup.go_on(lookup.until)
    assert lookup.go_on(lookup.until) is None, "nor can they together"


def test_a_client_that_goes_away_ends_what_was_begun_once(shop: Shop) -> None:
    lookup = shop.begin()
    lookup.cancel()
    lookup.cancel()
    lookup.answer(shop.first, True)
    assert lookup.go_on() is None
    assert shop.first.ended == [lookup]
    assert shop.asked() == {"await": {"given_up": 1}}


def test_whoever_watches_is_told_from_any_thread_and_at_once_of_what_was_said_before(shop: Shop) -> None:
    told: list[int] = []
    lookup = shop.begin()
    lookup.watch(lambda: told.append(threading.get_ident()))
    thread = threading.Thread(target=lambda: lookup.answer(shop.first, True))
    thread.start()
    thread.join()
    assert told == [thread.ident]
    other = shop.begin()
    other.answer(shop.first, True)
    other.watch(lambda: told.append(0))
    assert told == [thread.ident, 0]


def test_who_serves_a_vip_is_asked_when_settings_change(shop: Shop) -> None:
    for asker in (shop.first, shop.second, shop.third):
        asker.served = set()
    assert shop.asking.wanted
    shop.node.internals.vips.asking.refresh()
    assert not shop.asking.wanted
    assert shop.asking.begin(IDS) is None


def test_a_lookup_shows_no_id(shop: Shop) -> None:
    lookup = shop.begin()
    assert repr(lookup) == "<PausedLookup shop await>"


# Real handshakes, on both hot paths.


class Visitors:
    """A VIP whose handshakes may pause, and one client's session, which is not in memory any more."""

    def __init__(self, place: Place, version: str, context: SSL.Context | None = None) -> None:
        self.node = place.node("edge-1", vip=[{"name": "shop", "tickets": 1, "await_ms": 0}])
        self.asker = Asker(waits_s=30.0)
        vips = self.node.internals.vips
        vips.asking.plug(Step.FETCH, self.asker)
        context = context or server_context("pyopenssl", version)
        self.context = self.node.attach(context, vip="shop", pauses=True)
        self.client = client_context(version)
        self.session = visit(self.context, self.client).session
        self.node.stats()  # what was made is filed
        self.core = self.node.internals.pump.core
        cache = self.core.duties.cache.vip_cache("shop")
        assert cache is not None
        self.id, packed = next(iter(cache.items()))
        self.der = packed[21:]
        self.core.session_removed("shop", self.id)

    def begin(self) -> tuple[StdlibEnd, Any]:
        end, server = (
            StdlibEnd(self.client, server=False, name="a.test", session=self.session),
            server_end(self.context),
        )
        end.shake()
        server.feed(end.take())
        return end, server

    def bring_back(self) -> None:
        with self.node.internals.pump.lock:
            self.core.session_created("shop", self.id, self.der, self.node.internals.pump.clock())


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_waits_and_resumes_with_what_came_meanwhile(place: Place, version: str) -> None:
    shop = Visitors(place, version)
    end, server = shop.begin()
    for _ in range(2):
        with pytest.raises(SSL.Error):
            server.tls.do_handshake()
    lookup = shop.node.paused(server.tls)
    assert lookup is not None
    assert [lookup] == shop.asker.begun
    assert lookup.ids == (shop.id,)
    shop.bring_back()
    lookup.answer(shop.asker, True)
    assert lookup.go_on() is None
    shake_hands(end, server)
    assert server.resumed
    assert shop.node.paused(server.tls) is None
    assert shop.node.resumption(server.tls).outcome.value == "pulled"
    found = shop.node.stats()["vips"]["shop"]["lookups"]
    assert (found["pulled"], found["local"], found["miss"]) == (1, 0, 0)
    assert found["asked"] == {"fetch": {"found": 1}}


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_that_waited_for_nothing_is_a_full_one_and_a_miss(place: Place, version: str) -> None:
    shop = Visitors(place, version)
    end, server = shop.begin()
    with pytest.raises(SSL.Error):
        server.tls.do_handshake()
    lookup = shop.node.paused(server.tls)
    assert lookup is not None
    assert lookup.go_on(lookup.until) is None
    shake_hands(end, server)
    assert not server.resumed
    found = shop.node.stats()["vips"]["shop"]["lookups"]
    assert (found["pulled"], found["miss"], found["asked"]) == (0, 1, {"fetch": {"late": 1}})


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_asked_for_what_is_here_or_for_a_client_that_has_nothing(place: Place, version: str) -> None:
    shop = Visitors(place, version)
    shop.bring_back()
    assert visit(shop.context, shop.client, session=shop.session).resumed
    found = shop.node.stats()["vips"]["shop"]["lookups"]
    assert (found["local"], found["pulled"]) == (1, 0)
    visit(shop.context, client_context(version))
    assert shop.asker.begun == []


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["not plugged", "context that can't wait"])
def test_without_an_asker_or_the_contexts_word_nothing_pauses(place: Place, version: str, how: str) -> None:
    shop = Visitors(place, version)
    if how == "not plugged":
        shop.asker.served = set()
        shop.node.internals.vips.asking.refresh()
    else:
        shop.node.attach(shop.context, vip="shop")
    assert not visit(shop.context, shop.client, session=shop.session).resumed
    assert shop.asker.begun == []


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("whose", ["the asker's", "the order's"])
def test_a_fault_of_who_is_asked_is_counted_and_a_miss(place: Place, version: str, whose: str) -> None:
    shop = Visitors(place, version)
    if whose == "the asker's":
        shop.asker.broken = True
    else:
        port = shop.node.internals.vips.port("shop")
        assert port is not None
        port.asking.begin = None  # type: ignore[union-attr,assignment,method-assign]
    seen = visit(shop.context, shop.client, session=shop.session)
    assert not seen.resumed
    assert shop.node.stats()["faults"] == {"shop": {"client_hello": 1}}
    assert shop.node.stats()["vips"]["shop"]["lookups"]["miss"] == 1
    assert visit(shop.context, shop.client, session=seen.session).resumed, "what it made is kept"


@pytest.mark.usefixtures("hot_path")
def test_a_hello_retry_request_does_not_pause_twice(place: Place) -> None:
    context = server_context("pyopenssl", "1.3")
    context.set_tmp_ecdh(SECP384R1())  # which the client sends no key share for
    shop = Visitors(place, "1.3", context)
    end, server = shop.begin()
    with pytest.raises(SSL.Error):
        server.tls.do_handshake()
    lookup = shop.node.paused(server.tls)
    assert lookup is not None
    assert lookup.go_on(lookup.until) is None
    shake_hands(end, server)
    assert len(shop.asker.begun) == 1
