"""The arithmetic of a plan, against sums done by hand."""

from __future__ import annotations

from math import ceil
from typing import Any

import pytest

from meshcache import Settings
from meshcache.planning.constants import FULL_US, RESUMED_US, SEND_US, TICKET_US
from meshcache.planning.predict import Load, Plan, predict


def settings(*vips: dict[str, Any], sessions: int = 10_000_000, size: str = "8GiB") -> Settings:
    plain = [{"name": f"vip-{at}", "tickets": 1, **vip} for at, vip in enumerate(vips or ({},))]
    return Settings.model_validate({"cache": {"max_sessions": sessions, "max_bytes": size}, "vip": plain})


def planned(made: Settings, rate: float = 100.0, resumed: float = 0.5, **colos: int) -> Plan:
    return predict(made, Load(colos, rate, resumed))


def reach(value: Any) -> dict[str, Any]:
    return {"sharing": {"reach": value}}


def test_inside_a_colo_each_node_gets_what_the_others_make() -> None:
    (node,) = planned(settings(reach("colo")), ams1=10).nodes
    assert node.vips[0].made_per_s == pytest.approx(10)
    assert node.taken_per_s == pytest.approx(90)
    assert node.sent_per_s == pytest.approx(90)
    assert node.vips[0].held == 100 * 3600


def test_a_session_costs_its_receiver_less_in_a_large_message() -> None:
    cost = {}
    for nodes in (2, 64):  # with as many sessions taken by each node
        (node,) = planned(settings(reach("colo")), rate=6300 / (nodes - 1) * nodes, ams1=nodes).nodes
        assert node.taken_per_s == pytest.approx(6300)
        cost[nodes] = node.cpu_mesh - node.messages_per_s * SEND_US.value / 1e6
    assert cost[64] < cost[2]


def test_each_further_ticket_is_one_more_session_of_every_full_handshake() -> None:
    plan = planned(settings(reach("everywhere") | {"tickets": 4}, reach("everywhere")), ams1=10, fra1=10)
    four, one = plan.nodes[0].vips
    assert (four.made_per_s, one.made_per_s) == pytest.approx((2.5 * (0.5 + 0.5 * 4), 2.5))
    assert plan.links[0].sessions_per_s == pytest.approx(10 * (four.made_per_s + one.made_per_s))
    assert plan.nodes[0].taken_per_s == pytest.approx(19 * (four.made_per_s + one.made_per_s))
    full_us = FULL_US.value + 3 / 2 * TICKET_US.value
    assert plan.nodes[0].cpu_handshakes == pytest.approx(5 * (0.5 * RESUMED_US.value + 0.5 * full_us) * 1e-6)


def test_what_stays_on_its_server_costs_the_mesh_nothing() -> None:
    plan = planned(settings(reach("server")), ams1=10, fra1=5)
    assert all(node.taken_per_s == node.sent_per_s == node.cpu_mesh == 0 for node in plan.nodes)
    assert plan.links == ()


def test_between_colos_each_session_crosses_once_and_is_spread_there() -> None:
    plan = planned(settings(reach("everywhere")), rate=120, ams1=8, fra1=4)
    ams, fra = plan.nodes
    assert {(link.source, link.target): round(link.sessions_per_s, 6) for link in plan.links} == {
        ("ams1", "fra1"): 80,
        ("fra1", "ams1"): 40,
    }
    assert ams.taken_per_s == fra.taken_per_s == pytest.approx(110)
    assert ams.sent_per_s == pytest.approx(10 * 7 + 10 + 40 / 8 * 7)
    assert fra.sent_per_s == pytest.approx(10 * 3 + 10 + 80 / 4 * 3)
    total_taken = 8 * ams.taken_per_s + 4 * fra.taken_per_s
    assert 8 * ams.sent_per_s + 4 * fra.sent_per_s == pytest.approx(total_taken), "nothing is sent that isn't taken"


def test_a_list_of_colos_counts_from_both_ends() -> None:
    plan = planned(settings(reach(["ams1", "fra1"])), ams1=2, fra1=2, lon1=2)
    assert {(link.source, link.target) for link in plan.links} == {("ams1", "fra1"), ("fra1", "ams1")}
    assert next(node for node in plan.nodes if node.colo == "lon1").taken_per_s == pytest.approx(100 / 6)


def test_cpu_is_that_of_the_handshakes_and_the_mesh() -> None:
    (node,) = planned(settings(reach("server")), rate=100, resumed=0.25, ams1=1).nodes
    assert node.cpu_handshakes == pytest.approx((25 * RESUMED_US.value + 75 * FULL_US.value) * 1e-6)


def test_busier_vips_send_fuller_batches() -> None:
    slow, fast = (planned(settings(reach("colo")), rate=rate, ams1=20).nodes[0] for rate in (100, 100_000))
    assert fast.bytes_out_per_s / fast.sent_per_s < slow.bytes_out_per_s / slow.sent_per_s
    assert fast.messages_per_s < fast.sent_per_s


class TestFaults:
    def test_a_plan_that_fits_has_none(self) -> None:
        assert planned(settings(reach("everywhere")), ams1=4, fra1=4).faults == ()

    def test_a_cache_that_is_too_small_is_told_with_how_much_is_missing(self) -> None:
        (fault,) = planned(settings(reach("colo"), sessions=100_000), ams1=2).faults
        assert "VIP vip-0 in ams1 meets 360,000 sessions within its lifetime_s, and has room for 100,000" in fault
        assert "kept 1,000 s of 3,600 s" in fault
        assert "3.6 times as large" in fault

    @pytest.mark.parametrize("sessions, fits", [(360_000, True), (359_999, False)])
    def test_the_border_is_exact(self, sessions: int, fits: bool) -> None:
        assert (planned(settings(reach("colo"), sessions=sessions), ams1=2).faults == ()) == fits

    def test_bytes_count_as_well(self) -> None:
        assert "quota" not in str(planned(settings(reach("colo")), ams1=2).faults)
        assert "has room for" in str(planned(settings(reach("colo"), size="1MiB"), ams1=2).faults)

    def test_more_than_a_node_can_take_in_is_refused(self) -> None:
        made = settings({"sharing": {"reach": "everywhere", "lifetime_s": 10}})
        faults = planned(made, rate=30_000, ams1=500, fra1=500).faults
        assert any("sessions/s, over 20,000" in fault for fault in faults)

    def test_more_cpu_than_a_process_has_is_refused_with_how_many_nodes_would_do(self) -> None:
        faults = planned(settings(reach("server")), rate=5000, resumed=0, ams1=2).faults
        enough = ceil(5000 * FULL_US.value / 1e6 / 0.8)
        assert any(f"cores, over 0.8: use {enough} nodes or more" in fault for fault in faults)

    def test_more_peers_than_a_node_can_have_are_refused(self) -> None:
        assert any("peers, over 1,024" in fault for fault in planned(settings(), ams1=2000).faults)
        assert any("more than a mesh can know of" in fault for fault in planned(settings(), ams1=5000).faults)


def test_a_tier_on_disk_says_what_it_needs_and_has_room_for() -> None:
    made = settings(reach("colo"))
    assert planned(made, ams1=10).tiers == ()
    disk = Settings.model_validate({"tier": {"disk": {"max_bytes": "512MiB"}}}).tier
    with_disk = made.model_copy(update={"tier": disk})
    (tier,) = planned(with_disk, ams1=10).tiers
    assert (tier.name, tier.held) == ("disk", 100 * 3600)
    assert 1_400_000 < tier.held_max < 1_500_000
    assert 100_000 < tier.large_max < 130_000


def test_few_copies_are_that_part_of_all() -> None:
    (node,) = planned(settings(reach("colo") | {"copies": 3}), rate=5000, ams1=50).nodes
    (everything,) = planned(settings(reach("colo")), rate=5000, ams1=50).nodes
    assert node.vips[0].held == pytest.approx(everything.vips[0].held * 3 / 50)
    assert node.sent_per_s == pytest.approx(2 * 100)
    far = planned(settings(reach("everywhere") | {"copies": 3}), rate=10_000, ams1=50, fra1=50)
    assert far.nodes[0].vips[0].held == 2 * everything.vips[0].held * 3 // 50
    assert far.links[0].sessions_per_s == pytest.approx(5000)
    home = planned(settings(reach("everywhere") | {"copies": 3, "push": "none"}), rate=10_000, ams1=50, fra1=50)
    assert home.links == ()


def test_as_many_copies_are_recommended_as_there_is_room_for() -> None:
    (fault,) = planned(settings(reach("colo"), sessions=2_000_000, size="8GiB"), rate=5000, ams1=50).faults
    assert "or set copies = 5: then" in fault
    fitting = planned(settings(reach("colo") | {"copies": 5}, sessions=2_000_000, size="8GiB"), rate=5000, ams1=50)
    assert fitting.faults == ()
    over = planned(settings(reach("colo") | {"copies": 6}, sessions=2_000_000, size="8GiB"), rate=5000, ams1=50)
    assert "set copies = 5" in over.faults[0]


def test_no_number_of_copies_is_recommended_where_not_even_two_fit() -> None:
    (fault,) = planned(settings(reach("colo"), sessions=500_000, size="8GiB"), rate=5000, ams1=50).faults
    assert "copies" not in fault


class TestTickets:
    def test_what_clients_keep_costs_the_mesh_nothing(self) -> None:
        tickets = reach("everywhere") | {"resumption": "tickets"}
        plan = planned(settings(tickets, sessions=1), rate=1600, ams1=8, fra1=8)
        quiet = planned(settings(reach("server")), rate=1600, ams1=8, fra1=8)
        assert (plan.faults, plan.links) == ((), ())
        for node, beats_only in zip(plan.nodes, quiet.nodes, strict=True):
            assert (node.vips[0].made_per_s, node.vips[0].held, node.taken_per_s, node.sent_per_s) == (0, 0, 0, 0)
            assert (node.bytes_in_per_s, node.bytes_out_per_s) == (
                beats_only.bytes_in_per_s,
                beats_only.bytes_out_per_s,
            )
            assert (node.cpu_mesh, node.memory_bytes) == (0, 0)
            assert node.cpu_handshakes == beats_only.cpu_handshakes
        (note,) = plan.notes
        assert note.startswith('VIP vip-0: with resumption = "tickets" clients keep their sessions')

    def test_the_other_vips_are_counted_as_if_it_was_elsewhere(self) -> None:
        with_tickets = planned(
            settings(reach("everywhere"), reach("everywhere") | {"resumption": "tickets"}), rate=9000, ams1=9, fra1=2
        )
        alone = planned(settings(reach("everywhere")), rate=4500, ams1=9, fra1=2)
        assert with_tickets.links == alone.links
        for node, other in zip(with_tickets.nodes, alone.nodes, strict=True):
            assert node.cpu_mesh == pytest.approx(other.cpu_mesh)
            assert (node.bytes_in_per_s, node.bytes_out_per_s) == (other.bytes_in_per_s, other.bytes_out_per_s)

    def test_both_is_the_worst_case_and_says_so_where_there_are_tickets(self) -> None:
        sessions, both = (planned(settings({"resumption": kind}), ams1=4) for kind in ("sessions", "both"))
        assert both.nodes == sessions.nodes
        assert sessions.notes == ()
        (note,) = both.notes
        assert "TLS 1.2" in note
        assert planned(settings({"resumption": "both", "min_tls": "1.3"}), ams1=4).notes == ()

    def test_a_tier_on_disk_needs_no_room_for_them(self) -> None:
        made = Settings.model_validate(
            {"tier": {"disk": {"path": "x"}}, "vip": [{"name": "a", "resumption": "tickets"}]}
        )
        assert [tier.held for tier in planned(made, ams1=4).tiers] == [0]
