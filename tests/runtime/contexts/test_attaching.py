from dataclasses import replace
from typing import Any

import pytest

from meshcache import AttachError, Settings, SharingSettings, VipSettings
from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.policy.scope import ClientAuth
from meshcache.runtime.contexts.attaching import JoiningContext, quota_bytes, vip_settings
from meshcache.tls.facts import ContextFacts

FACTS = ContextFacts(("shop.example", "*.shop.example"), (b"leaf", b"issuer"), ClientAuth(), 0x0303, own_callback=False)


def joining(facts: ContextFacts = FACTS, name: str = "shop", **vip: Any) -> JoiningContext:
    return JoiningContext(VipSettings.model_validate({"name": name, **vip}), facts)


def test_names_that_the_certificate_covers_may_be_listed() -> None:
    joining(names=["shop.example", "www.shop.example"]).check()
    joining().check()


def test_a_listed_name_that_the_certificate_does_not_cover_is_refused_by_name() -> None:
    with pytest.raises(AttachError, match=r"does not cover other\.example, a\.b\.shop\.example.* it covers shop\.exa"):
        joining(names=["other.example", "shop.example", "a.b.shop.example"]).check()
    with pytest.raises(AttachError, match="covers no DNS name"):
        joining(replace(FACTS, names=()), names=["shop.example"]).check()


def test_the_chain_counts_only_where_sessions_are_bound_to_it() -> None:
    renewed = replace(FACTS, chain=(b"another leaf", b"issuer"))
    assert joining().digest == joining(renewed).digest
    bound: dict[str, Any] = {"sharing": {"bind": "certificate"}}
    assert joining(**bound).digest != joining(renewed, **bound).digest
    assert joining(**bound).digest != joining().digest


@pytest.mark.parametrize(
    "changed, what",
    [
        (replace(FACTS, client_auth=ClientAuth(mode=1)), "client authentication"),
        (replace(FACTS, tls_floor=0x0304), "the lowest TLS version"),
        (replace(FACTS, tls_floor=0x0304, client_auth=ClientAuth(mode=1)), "client authentication and the lowest TLS"),
    ],
)
def test_two_contexts_of_one_vip_must_agree(changed: ContextFacts, what: str) -> None:
    joining().check_beside(joining())
    joining().check_beside(joining(replace(FACTS, names=("elsewhere.example",))))
    with pytest.raises(AttachError, match=f"differs from one that is attached, in {what}"):
        joining().check_beside(joining(changed))


def test_vips_of_one_group_must_ask_clients_in_the_same_way() -> None:
    asking = replace(FACTS, client_auth=ClientAuth(mode=3))
    front: dict[str, Any] = {"sharing": {"group": "front"}}
    joining(name="pay").check_beside(joining(asking))
    joining(name="pay", **front).check_beside(joining(**front))
    with pytest.raises(AttachError, match="share group front with VIP shop"):
        joining(name="pay", **front).check_beside(joining(asking, **front))


def test_the_core_is_told_what_the_settings_and_the_context_say() -> None:
    sharing = SharingSettings(
        group="front",
        reach=REACH_EVERYWHERE,
        client_certificates="revalidate",
        lifetime_s=60,
        lineage_s=600,
        quota=0.25,
    )
    made = Settings.model_validate(
        {
            "node": {"name": "edge-1", "colo": "ams1"},
            "cache": {"max_sessions": 1000, "max_bytes": 2**20},
            "vip": [VipSettings(name="shop", sharing=sharing), VipSettings(name="pay")],
        }
    )
    local = JoiningContext(vip_settings(made, "shop"), FACTS).local_vip(made)
    assert (local.terms.node, local.terms.colo, local.terms.vip) == ("edge-1", "ams1", "shop")
    assert (local.terms.group, local.terms.reach) == ("front", REACH_EVERYWHERE)
    assert (local.lifetime_s, local.lineage_s) == (60, 600)
    assert (local.quota_bytes, local.quota_sessions) == (2**18, 250)
    assert local.export_client_certificates
    assert quota_bytes(made, "pay") == 2**20 - 2**18
    assert not JoiningContext(vip_settings(made, "pay"), FACTS).local_vip(made).export_client_certificates


def test_an_unknown_vip_is_answered_with_the_known_ones() -> None:
    made = Settings.model_validate({"vip": [VipSettings(name="shop"), VipSettings(name="pay")]})
    with pytest.raises(AttachError, match="no VIP 'shopp' in the configuration; there is: shop, pay"):
        vip_settings(made, "shopp")
    with pytest.raises(AttachError, match="there is: none"):
        vip_settings(Settings(), "shop")
