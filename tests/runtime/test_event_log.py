import logging

import pytest

from meshcache.core.values import events as core
from meshcache.runtime import event_log as module
from meshcache.runtime.event_log import EventList

ALL: dict[core.Event, str] = {
    core.PeerJoined(12.0, "edge-2", "fra1", "10.0.0.5:7946", 7): "edge-2 (fra1) joined at 10.0.0.5:7946",
    core.PeerSuspect(12.0, "edge-2"): "edge-2 (fra1) suspect: nothing heard",
    core.PeerRecovered(12.0, "edge-2"): "edge-2 (fra1) heard again",
    core.PeerLost(12.0, "edge-2"): "edge-2 (fra1) lost",
    core.PeerLeft(12.0, "edge-2"): "edge-2 (fra1) left",
    core.PeerRefused(
        12.0, "edge-9", "10.0.0.9:1", "other_mesh"
    ): "edge-9 (at 10.0.0.9:1) isn't heard here: it is in a mesh of another name",
    core.RefusedByPeer(
        12.0, "edge-2", "10.0.0.9:1", "name_taken"
    ): "edge-2 doesn't hear this node, which bears the name of another node that lives (at 10.0.0.9:1)",
    core.NameContested(
        12.0, "edge-9", "10.0.0.9:1", "10.0.0.10:1"
    ): "two processes say that they are edge-9: one at 10.0.0.9:1, which is heard, and one at 10.0.0.10:1",
    core.IncarnationRaised(12.0, 8, "edge-2 knows of a later one"): "this node goes on as life 8 of its name: edge-2",
    core.IslandFound(
        12.0, "edge-2", "pay", "the policy epoch (0 here, 7 there)"
    ): "edge-2 (fra1) is an island for group pay: its settings differ, so its sessions stay apart: the policy epoch (0",
    core.IslandGone(12.0, "edge-2", "pay"): "edge-2 (fra1) is no island for group pay any more",
    core.LoopStalled(12.0, 1.25): "this node stalled for 1.2 s",
    core.SnapshotFinished(12.0, "edge-2", 5, complete=True): "caught up with edge-2: 5 sessions",
    core.SessionsRecalled(12.0, "shop", 5): "5 sessions of VIP shop removed",
    core.SessionsWithdrawn(12.0, "edge-2", "vip shop", 5): "5 sessions withdrawn (vip shop) by edge-2",
    core.PolicyChanged(
        12.0, "vip", "shop", 7, "edge-2", "reach=colo"
    ): "policy of vip shop is now version 7: reach=colo",
    core.TicketKeyMade(12.0, "shop", 4): "made ticket key 4 of group shop",
    core.TicketKeyInUse(
        12.0, "shop", 4, "edge-3"
    ): "ticket key 4 of group shop encrypts from now on, though it isn't known that these have it: edge-3",
    core.TicketKeysWiped(12.0, "shop", 2, "withdrawn"): "2 ticket keys of group shop wiped: withdrawn",
    core.TicketKeysExported(
        12.0, "shop", "nginx (/run/shop)", "0a1b2c3d"
    ): "ticket keys of VIP shop given to nginx (/run/shop): 0a1b2c3d",
    core.TicketExportFailed(
        12.0, "shop", "nginx (/run/shop)", "nginx: exit status 1"
    ): "ticket keys of VIP shop are not with nginx (/run/shop): nginx: exit status 1",
    core.HookFaulted(
        12.0, "europe_only", "policy", "slow", "no answer within 0.05 s"
    ): "policy hook europe_only: slow: no answer within 0.05 s",
    core.ContextChanged(
        12.0, "shop", "verify_mode"
    ): "verify_mode of a context of VIP shop was changed after it joined",
    core.PeerForgotten(12.0, "edge-2"): "edge-2 (fra1) forgotten",
}


def events() -> EventList:
    return EventList("edge-1", "ams1", started_at=10.0)


def test_every_kind_of_event_has_its_words_and_its_log_line(caplog: pytest.LogCaptureFixture) -> None:
    made = events()
    with caplog.at_level(logging.INFO, "meshcache"):
        made.take(list(ALL))
    kept = made.since(0)
    assert {type(event).__name__ for event in ALL} == set(module._TEXTS)
    for entry, expected, record in zip(kept, ALL.values(), caplog.records, strict=True):
        assert entry["text"].startswith(expected)
        assert record.getMessage() == entry["text"]
        assert (record.levelno == logging.WARNING) == (entry["level"] == "warning")


def test_an_event_says_when_in_the_nodes_life_and_about_whom() -> None:
    made = events()
    made.take([core.PeerJoined(12.5, "edge-2", "fra1", "10.0.0.5:7946", 7), core.LoopStalled(13.0, 1.0)])
    joined, stalled = made.since(0)
    assert (joined["seq"], joined["at_s"], joined["kind"]) == (1, 2.5, "PeerJoined")
    assert (joined["node"], joined["colo"]) == ("edge-2", "fra1")
    assert (stalled["node"], stalled["colo"], stalled["level"]) == ("edge-1", "ams1", "warning")


def test_a_reader_gets_only_what_is_new_to_it() -> None:
    made = events()
    made.take([core.PeerLost(11.0, "a"), core.PeerLost(11.0, "b")])
    assert [entry["node"] for entry in made.since(1)] == ["b"]
    assert made.since(2) == []


def test_the_oldest_events_go_and_numbers_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 3)
    made = events()
    made.take([core.PeerLost(11.0, str(number)) for number in range(10)])
    assert [entry["seq"] for entry in made.since(0)] == [8, 9, 10]


def test_colos_are_remembered_for_a_bounded_number_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COLOS_MAX", 1)
    made = events()
    made.take([core.PeerJoined(11.0, name, "fra1", "10.0.0.5:7946", 7) for name in ("a", "b")])
    made.take([core.PeerLost(12.0, "a"), core.PeerLost(12.0, "b"), core.PeerForgotten(13.0, "a")])
    made.take([core.PeerJoined(14.0, "b", "fra1", "10.0.0.5:7946", 7), core.PeerLost(15.0, "b")])
    assert [entry["colo"] for entry in made.since(2)] == ["fra1", "unknown", "fra1", "fra1", "fra1"]


def test_a_peers_words_can_not_forge_lines_or_move_a_terminals_cursor(caplog: pytest.LogCaptureFixture) -> None:
    made = events()
    with caplog.at_level(logging.INFO, "meshcache"):
        made.take([core.PeerRefused(11.0, "x\n\x1b[2J{reason}", "10.0.0.9:1\r", "another mesh")])
    text = made.since(0)[0]["text"]
    assert text == "x??[2J{reason} (at 10.0.0.9:1?) isn't heard here: it another mesh"
