"""The VIPs of a node: where sessions belong, and what the record says."""

from __future__ import annotations

import pytest

from meshcache.core.cache.streams import Stream
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach, Terms, Verdict
from meshcache.core.state.counters import VipCounters
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.values.session import StreamKey
from meshcache.core.values.topology import VIPS_MAX, Identity, NodeRecord, VipNote
from tests.core.net import DIGEST, vip

ME = Identity("test", "me", 1, "ams1", "me:1", "0")


def serve(vips: ServedVips, name: str, group: str = "", reach: Reach = REACH_COLO, digest: bytes = DIGEST) -> ServedVip:
    local = vip("me", "ams1", name, group=group, reach=reach, digest=digest)
    served = ServedVip(local, Stream(StreamKey("me", 1, name), local.terms, name, len(vips)), VipCounters())
    vips.put(served)
    return served


def theirs(name: str, group: str, colo: str = "ams1", reach: Reach = REACH_EVERYWHERE, digest: bytes = DIGEST) -> Terms:
    return Terms("edge-2", colo, name, group, digest, reach)


def test_the_record_is_in_order_and_counts_its_changes() -> None:
    vips = ServedVips(ME)
    before = vips.record.revision
    serve(vips, "shop")
    serve(vips, "blog")
    assert [terms.vip for terms in vips.record.vips] == ["blog", "shop"]
    assert vips.record.revision == before + 2
    vips.remove("shop")
    assert vips.record.revision == before + 3
    assert vips.get("shop") is None


def test_a_session_is_filed_under_its_own_vip_else_under_another_of_its_group() -> None:
    vips = ServedVips(ME)
    serve(vips, "shop", "store")
    serve(vips, "checkout", "store")
    assert vips.accept(theirs("shop", "store")) == (Verdict.ALLOWED, "shop")
    assert vips.accept(theirs("cart", "store")) == (Verdict.ALLOWED, "checkout")


def test_a_name_that_is_equal_in_another_group_is_another_vip() -> None:
    vips = ServedVips(ME)
    serve(vips, "shop", "store")
    assert vips.accept(theirs("shop", "shop")) == (Verdict.OTHER_GROUP, "")


def test_an_answer_is_forgotten_when_terms_change() -> None:
    vips = ServedVips(ME)
    terms = theirs("shop", "store")
    assert not vips.accept(terms)[0]
    serve(vips, "shop", "store")
    assert vips.accept(terms)[0]
    serve(vips, "shop", "store", reach=REACH_SERVER)
    assert vips.accept(terms)[0] is Verdict.RECEIVER_REACH


def test_lookups_go_to_the_own_cache_first_and_then_to_the_groups() -> None:
    vips = ServedVips(ME)
    shop = serve(vips, "shop", "store")
    checkout = serve(vips, "checkout", "store")
    alone = serve(vips, "blog")
    assert shop.filed_under == ("shop", "checkout")
    assert checkout.filed_under == ("checkout", "shop")
    assert alone.filed_under == ("blog",)
    vips.remove("shop")
    assert checkout.filed_under == ("checkout",)


def test_an_island_is_a_group_that_both_serve_with_settings_that_differ() -> None:
    vips = ServedVips(ME)
    serve(vips, "shop", "store")
    serve(vips, "blog")
    same = theirs("shop", "store")
    other = theirs("blog", "blog", digest=b"\x02" * 32)
    unknown = theirs("mail", "mail", digest=b"\x02" * 32)
    assert vips.islands(NodeRecord("edge-2", 1, "ams1", "x:1", 1, (same, other, unknown))) == {"blog"}


def test_there_is_a_maximum_of_vips_and_a_change_is_not_one_more() -> None:
    vips = ServedVips(ME)
    for at in range(VIPS_MAX):
        serve(vips, f"v{at:02}")
    serve(vips, "v00", reach=REACH_SERVER)
    with pytest.raises(ValueError, match="at most"):
        serve(vips, "one-more")


def test_the_memory_of_answers_is_bounded() -> None:
    vips = ServedVips(ME)
    serve(vips, "shop")
    kept = [theirs("shop", "shop") for _ in range(5000)]
    assert all(vips.accept(terms)[0] for terms in kept)
    assert vips.remembered <= 4096


def test_the_parts_of_an_island_are_its_groups_and_empty_where_nobody_tells() -> None:
    vips = ServedVips(ME)
    serve(vips, "shop", "store")
    told = NodeRecord("edge-2", 1, "ams1", "edge-2:1", 1, (theirs("shop", "store"),), "0", (VipNote(b"part"),))
    assert vips.island_parts(told, "store") == (b"", b"part")
    assert vips.island_parts(told, "other") == (b"", b"")


def test_a_change_of_settings_counts_and_others_hear_of_it_where_it_is_theirs_to_know() -> None:
    vips = ServedVips(ME)
    shop = serve(vips, "shop")
    told, counted = vips.record.revision, vips.generation
    assert not vips.change(shop, vip("me", lifetime_s=60.0))
    assert (vips.record.revision, vips.generation) == (told, counted + 1)
    assert vips.change(shop, vip("me", lifetime_s=60.0, rotate_s=600.0)), "it takes part in a ring now"
    assert vips.record.note_of("shop").tickets
    assert not vips.change(shop, vip("me", lifetime_s=60.0, rotate_s=300.0))
    assert vips.change(shop, vip("me", lifetime_s=60.0))
    assert not vips.record.note_of("shop").tickets
    assert vips.record.revision == told + 2
