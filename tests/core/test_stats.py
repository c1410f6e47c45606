"""The names that programs rely on, and numbers that are right."""

from __future__ import annotations

import json
from typing import Any

from meshcache.core.policy.gates import Verdict
from meshcache.core.wire.queries import QueryKind
from tests.core.net import Host, Net, has, make, mesh


def world() -> tuple[Net, list[Host]]:
    net = Net()
    hosts = mesh(net, ["a", "b", "c"])
    net.run(3)
    return net, hosts


def test_the_object_has_the_names_that_were_promised() -> None:
    net, (a, *_) = world()
    made = make(net, a, 1)
    net.run(1)
    assert has(net, a, made)
    found = a.core.stats(net.now)
    assert found.keys() >= {"node", "vips", "cache", "gossip", "peers"}
    assert found["node"].keys() >= {"name", "colo", "version"}
    shop = found["vips"]["shop"]
    assert shop.keys() >= {"handshakes", "lookups", "sessions", "entries", "bytes", "quota_bytes"}
    assert shop["handshakes"].keys() >= {"full", "local", "remote", "pulled", "failed"}
    assert shop["lookups"].keys() >= {"local", "remote", "pulled", "miss", "expired", "refused", "hit_not_resumed"}
    assert shop["sessions"].keys() >= {"made", "pushed", "received", "refused", "evicted"}
    assert found["cache"].keys() >= {"entries", "bytes", "max_sessions", "max_bytes"}
    assert found["gossip"].keys() >= {"lag_ms", "sent", "received", "repaired", "dropped"}
    assert found["gossip"]["lag_ms"].keys() >= {"p50", "p99"}
    assert found["peers"][0].keys() >= {"name", "colo", "state", "rtt_ms", "queue", "last_seen_s"}


def test_one_made_one_pushed_one_remote_hit() -> None:
    net, (a, b, _) = world()
    made = make(net, a, 1)
    net.run(1)
    assert has(net, b, made)
    first, second = a.core.stats(net.now)["vips"]["shop"], b.core.stats(net.now)["vips"]["shop"]
    assert (first["sessions"]["made"], first["sessions"]["pushed"]) == (1, 1)
    assert (second["sessions"]["received"], second["lookups"]["remote"]) == (1, 1)


def test_handshakes_and_what_came_of_hits_are_counted_as_told() -> None:
    net, (a, *_) = world()
    for result in ("full", "full", "remote", "failed"):
        a.core.handshake("shop", result)  # type: ignore[arg-type]
    a.core.hit_not_resumed("shop")
    shop = a.core.stats(net.now)["vips"]["shop"]
    assert shop["handshakes"] == {"full": 2, "local": 0, "remote": 1, "pulled": 0, "failed": 1}
    assert shop["lookups"]["hit_not_resumed"] == 1


def test_traffic_adds_up_on_both_sides() -> None:
    net, hosts = world()
    for number in range(50):
        make(net, hosts[number % 3], number)
        net.run(0.01)
    net.run(1)
    sent = [host.core.stats(net.now)["gossip"]["sent"] for host in hosts]
    received = [host.core.stats(net.now)["gossip"]["received"] for host in hosts]

    def total(found: list[dict[str, Any]], name: str) -> int:
        return sum(direction[name] for direction in found)

    assert total(sent, "sessions") == total(received, "sessions") == 100
    assert total(sent, "messages") == total(received, "messages")
    assert total(sent, "bytes") == total(received, "bytes")
    assert sum(sent[0]["kinds"].values()) == sent[0]["messages"]


def test_it_is_json_and_holds_no_secret() -> None:
    net, (a, b, _) = world()
    made = make(net, a, 1)
    net.run(1)
    b.core.session_unusable("shop", made, Verdict.DER, net.now)
    shown = json.dumps([a.core.stats(net.now), b.core.stats(net.now), a.core.peers(net.now)])
    assert made.hex() not in shown
    assert "0101010101" not in shown


def test_a_peer_is_shown_with_what_is_thought_of_it() -> None:
    net, (a, *_) = world()
    net.stop("c")
    net.run(4)
    peers = {peer["name"]: peer for peer in a.core.peers(net.now)}
    assert (peers["b"]["state"], peers["c"]["state"]) == ("alive", "suspect")
    assert peers["b"]["address"] == "b:7946"
    assert peers["c"]["last_seen_s"] > 3
    assert [served["name"] for served in peers["b"]["vips"]] == ["shop"]


def test_kinds_of_messages_keep_the_words_that_programs_rely_on() -> None:
    net, (a, *_) = world()
    make(net, a, 1)
    a.core.queries.ask(QueryKind.CLOCK, 0, net.now)
    net.run(3)
    sent, received = (a.core.stats(net.now)["gossip"][way]["kinds"] for way in ("sent", "received"))
    assert sent.keys() >= {"hello", "beat", "push", "ask"}
    assert received.keys() >= {"beat", "answer", "digest"}
    assert not {"heartbeat", "query", "queryreply", "fetchreply", "livepolicyupdate"} & (sent.keys() | received.keys())
