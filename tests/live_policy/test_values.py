"""Live values in words, and what a file lets of them be."""

from __future__ import annotations

import json
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache import VipSettings
from meshcache.config.overrides import parse_value
from meshcache.config.values import parse_reach
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach, Terms
from meshcache.core.policy.ring_id import ring_id
from meshcache.live_policy.values import (
    FIXED,
    KEYS,
    OF_VIP,
    allowed,
    both,
    lifetime_s_max,
    nearest,
    parse,
    stricter,
    written,
)

AMS_FRA, AMS_LON = Reach.parse(["ams1", "fra1"]), Reach.parse(["ams1", "lon1"])


def ring(reach: Reach, colo: str) -> bytes:
    """Return what tells one border of ticket keys from another."""
    return ring_id(Terms("edge-1", colo, "shop", "shop", bytes(32), reach))


def vip(**sharing: Any) -> VipSettings:
    return VipSettings.model_validate({"name": "shop", "sharing": sharing})


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("reach", "everywhere", REACH_EVERYWHERE),
        ("reach", '"colo"', REACH_COLO),
        ("reach", "server", REACH_SERVER),
        ("reach", "ams1, fra1", AMS_FRA),
        ("reach", '["ams1", "fra1"]', AMS_FRA),
        ("reach", "fra1", Reach.parse(["fra1"])),
        ("reach", " 1 ", Reach.parse(["1"])),
        ("reach", '["1"]', Reach.parse(["1"])),
        ("reach", "1,true", Reach.parse(["1", "true"])),
        ("reach", "'colo'", REACH_COLO),
        ("reach", '["colo"]', Reach.parse(["colo"])),
        ("reach", "ams1,server", Reach.parse(["ams1", "server"])),
        ("lifetime_s", "3600", 3600.0),
        ("lineage_s", "1.5", 1.5),
        ("quota", "25%", 0.25),
        ("quota", "0.5", 0.5),
        ("client_certificates", "never", "never"),
        ("copies", "all", "all"),
        ("copies", " 3 ", 3),
        ("copies", "64", 64),
        ("push", '"none"', "none"),
    ],
)
def test_a_value_is_read_and_written_back_to_the_same(key: str, text: str, value: Any) -> None:
    assert parse(key, text) == value
    assert parse(key, written(value)) == value


@pytest.mark.parametrize(
    "key, text",
    [
        ("reach", "no where"),
        ("reach", ""),
        ("reach", "[5]"),
        ("reach", '["5"'),
        ("reach", "{a = 1}"),
        ("reach", "[]"),
        ("reach", "a,,b"),
        ("reach", ","),
        ("lifetime_s", "0"),
        ("lifetime_s", "604801"),
        ("lifetime_s", "inf"),
        ("lifetime_s", "true"),
        ("lifetime_s", "1h"),
        ("lineage_s", "2592001"),
        ("quota", "0%"),
        ("quota", "101%"),
        ("quota", "most"),
        ("client_certificates", "sometimes"),
        ("copies", "0"),
        ("copies", "65"),
        ("copies", "-1"),
        ("copies", "2.0"),
        ("copies", "true"),
        ("copies", "three"),
        ("copies", ""),
        ("push", "some"),
        ("push", "0"),
        ("reach", "x" * 2000),
        ("reach", "colo\n"),
    ],
)
def test_what_is_no_value_is_refused(key: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(key, text)


NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,20}[A-Za-z0-9_])?", fullmatch=True),
    st.sampled_from(["server", "colo", "everywhere", "1", "1.5", "0x1F", "1_0", "inf", "nan", "true", "1979-05-27"]),
)


@given(st.frozensets(NAMES, min_size=1, max_size=8))
def test_a_reach_of_any_names_is_read_as_it_was_written(colos: frozenset[str]) -> None:
    reach = parse_reach(sorted(colos))
    assert parse("reach", written(reach)) == reach
    assert parse("reach", json.dumps(sorted(colos))) == reach
    of_01 = parse_value(written(reach))
    assert Reach.parse(of_01.split(",") if isinstance(of_01, str) else of_01) == reach


@given(st.floats(1, 86_400), st.floats(0, 1, exclude_min=True))
def test_any_number_is_read_as_it_was_written(seconds: float, part: float) -> None:
    assert parse("lifetime_s", written(seconds)) == parse("lineage_s", written(seconds)) == seconds
    assert parse("quota", written(part)) == part


def test_every_key_is_one_of_the_files_and_none_is_fixed() -> None:
    assert set(KEYS) - OF_VIP <= set(type(vip().sharing).model_fields)
    assert set(KEYS) >= OF_VIP <= set(VipSettings.model_fields)
    assert not set(KEYS) & set(FIXED)


@pytest.mark.parametrize(
    "one, other, result",
    [
        (REACH_SERVER, REACH_EVERYWHERE, REACH_SERVER),
        (REACH_EVERYWHERE, AMS_FRA, AMS_FRA),
        (REACH_COLO, REACH_EVERYWHERE, REACH_COLO),
        (REACH_COLO, AMS_FRA, REACH_COLO),
        (AMS_FRA, AMS_LON, REACH_COLO),
        (AMS_FRA, Reach.parse(["fra1", "lon1"]), AMS_FRA),
    ],
)
def test_the_reach_that_both_allow(one: Reach, other: Reach, result: Reach) -> None:
    for first, second in ((one, other), (other, one)):
        found = both(first, second, "ams1")
        assert found == result
        for colo in ("ams1", "fra1", "lon1", "nyc1"):
            assert found.allows("ams1", colo) == (first.allows("ams1", colo) and second.allows("ams1", colo))


@pytest.mark.parametrize(
    "key, one, other, result",
    [
        ("reach", "server", "everywhere", "server"),
        ("reach", "", "server", "server"),
        ("reach", "[1", "server", "server"),
        ("lifetime_s", "99999999", "60", "60"),
        ("reach", "[1", "", "[1"),
        ("of a later version", "", "7", "7"),
    ],
)
def test_the_stricter_of_two_texts_is_one_that_is_a_value(key: str, one: str, other: str, result: str) -> None:
    assert stricter(key, one, other, "ams1") == stricter(key, other, one, "ams1") == result


class TestAllowed:
    def test_by_default_live_values_hold(self) -> None:
        assert allowed("reach", vip(), REACH_COLO, REACH_EVERYWHERE, "ams1") == REACH_EVERYWHERE
        assert allowed("lineage_s", vip(), 100.0, 5000.0, "ams1") == 5000

    def test_a_file_that_keeps_sessions_on_their_server_is_not_widened_unless_it_says_so(self) -> None:
        kept = vip(reach="server")
        assert allowed("reach", kept, REACH_SERVER, REACH_EVERYWHERE, "ams1") == REACH_SERVER
        free = vip(reach="server", live="any")
        assert allowed("reach", free, REACH_SERVER, REACH_EVERYWHERE, "ams1") == REACH_EVERYWHERE

    @pytest.mark.parametrize(
        "key, file, live, holds",
        [
            ("reach", REACH_COLO, REACH_EVERYWHERE, REACH_COLO),
            ("reach", REACH_EVERYWHERE, REACH_COLO, REACH_COLO),
            ("lifetime_s", 100.0, 200.0, 100.0),
            ("lifetime_s", 100.0, 50.0, 50.0),
            ("lineage_s", 100.0, 200.0, 100.0),
            ("quota", 0.5, 0.6, 0.5),
            ("client_certificates", "never", "revalidate", "never"),
            ("client_certificates", "revalidate", "never", "never"),
            ("copies", "all", 2, 2),
            ("copies", 3, "all", 3),
            ("copies", 3, 2, 2),
            ("push", "all", "none", "none"),
            ("push", "none", "all", "none"),
        ],
    )
    def test_tighten_takes_the_stricter_of_both(self, key: str, file: Any, live: Any, holds: Any) -> None:
        assert allowed(key, vip(live="tighten"), file, live, "ams1") == holds

    @pytest.mark.parametrize(
        "file, live",
        [
            (["ams1", "fra1"], ["ams1"]),
            (["ams1", "fra1"], ["fra1"]),
            (["fra1"], ["ams1", "fra1"]),
            ("colo", ["ams1"]),
            (["ams1"], "colo"),
            (["ams1", "fra1", "lon1"], ["fra1"]),
            ("everywhere", ["fra1"]),
        ],
    )
    def test_a_reach_that_is_not_wider_holds_as_it_was_set_with_or_without_the_own_colo(
        self, file: Any, live: Any
    ) -> None:
        wanted = Reach.parse(live)
        assert allowed("reach", vip(live="tighten"), Reach.parse(file), wanted, "ams1") == wanted

    def test_no_reach_that_is_set_allows_more_than_a_file_that_is_only_tightened(self) -> None:
        colos = ("ams1", "fra1", "lon1")
        lists = [list(some) for size in (1, 2, 3) for some in combinations(colos, size)]
        reaches = [Reach.parse(plain) for plain in ("server", "colo", "everywhere", *lists)]
        for file, live, own in product(reaches, reaches, (*colos, "nyc1")):
            holds = allowed("reach", vip(live="tighten"), file, live, own)
            for other in (*colos, "nyc1", "sin1"):
                assert holds.allows(own, other) == (file.allows(own, other) and live.allows(own, other))
            assert (holds == live) == (ring(holds, own) == ring(live, own)), "what is one border is told as one value"
            assert ring(allowed("reach", vip(live="none"), file, live, own), own) == ring(file, own)

    def test_none_takes_the_files(self) -> None:
        assert allowed("reach", vip(live="none"), REACH_EVERYWHERE, REACH_SERVER, "ams1") == REACH_EVERYWHERE

    def test_no_live_value_lets_sessions_with_client_certificates_travel(self) -> None:
        assert allowed("client_certificates", vip(live="any"), "never", "revalidate", "ams1") == "never"

    def test_where_nothing_is_fetched_every_server_keeps_its_copy(self) -> None:
        assert allowed("copies", VipSettings(name="shop", fetch="off"), "all", 2, "ams1") == "all"
        assert allowed("copies", vip(), "all", 2, "ams1") == 2

    def test_no_lifetime_is_longer_than_the_protocol_version_allows(self) -> None:
        assert allowed("lifetime_s", vip(), 3600.0, 604_800.0, "ams1") == 86_400
        tls13 = VipSettings(name="shop", min_tls="1.3")
        assert allowed("lifetime_s", tls13, 3600.0, 604_800.0, "ams1") == 604_800
        assert lifetime_s_max(tls13) == 604_800


def test_the_nearest_name_ends_a_refusal() -> None:
    assert nearest("shpo", ["shop", "pay"]) == 'did you mean "shop"?'
    assert nearest("zzz", ["shop", "pay"]) == "there is pay, shop"
    assert nearest("zzz", []) == "there is none"
