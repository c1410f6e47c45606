"""Shows a node's `stats` to Prometheus; counts nothing itself, so `/metrics` and `stats --json` can't disagree.

Names carry their units. Labels are names of VIPs, colos, peers and reasons, all bounded where the numbers come from;
never a session id. Peers' names are a stranger's words: two peers that claim one name share a line, because a repeated
series would make Prometheus refuse the whole page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from meshcache.admin.reading import read

Stats = Mapping[str, Any]
Row = tuple[tuple[str, ...], float]

HANDSHAKE_RESULTS = ("full", "local", "remote", "pulled", "failed")
LOOKUP_RESULTS = ("local", "remote", "pulled", "miss", "foreign", "expired")
_RESULTS = (("done", "written"), ("failed", "failed"))
SCOPES = {"intra": "colo", "inter": "intercolo"}


class NodeCollector(Collector):
    """Reads `stats` once for each scrape."""

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        yield from _node(stats["node"])
        yield from _handshakes(stats["vips"])
        yield from _lookups(stats["vips"])
        yield from _tickets(stats["vips"])
        yield from _sessions(stats["vips"])
        yield from _cache(stats)
        yield from _gossip(stats["gossip"])
        yield from _members(stats)
        yield from _peers(stats["peers"])
        yield _decisions(stats["policy"]["crossings"])
        yield from _edges(stats)
        yield _refusals(stats.get("refusals", ()))
        yield _hooks(stats.get("hooks", ()))
        yield from _exports(stats.get("ticket_exports", ()))
        yield from _tiers(stats.get("tiers", ()))
        if stats.get("front") is not None:
            yield from _front(stats["front"])


def registry_of(stats: Callable[[], Stats]) -> CollectorRegistry:
    """Return a registry with the node's metrics and those of its process (CPU, memory, file descriptors)."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(stats))
    ProcessCollector(registry=registry)
    return registry


class HasStats(Protocol):
    """What is told of."""

    def stats(self) -> dict[str, Any]: ...


def routes(node: HasStats) -> list[web.AbstractRouteDef]:
    """`GET /metrics`, in the text format that the scraper asks for."""
    registry = registry_of(node.stats)

    async def scrape(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=await read(node, encode, registry), headers={"Content-Type": content_type})

    return [web.get("/metrics", scrape)]


def _node(node: Stats) -> Iterator[Metric]:
    build = (node["version"], node.get("hot_path", ""))
    yield _gauge("build_info", "The version that runs, and which hot path.", ("version", "hot_path"), [(build, 1)])
    labels = (node["name"], node["colo"], node.get("mesh", ""))
    yield _gauge("node_info", "What this node calls itself.", ("node", "colo", "mesh"), [(labels, 1)])
    yield _gauge("node_uptime_seconds", "Time since the node started.", (), [((), node["uptime_s"])])


def _handshakes(vips: Stats) -> Iterator[Metric]:
    rows = [((vip, result), of["handshakes"][result]) for vip, of in vips.items() for result in HANDSHAKE_RESULTS]
    help_ = "Handshakes that ended: full, or resumed with a session made here (local) or on a peer (remote, pulled)."
    yield _counter("handshakes", help_, ("vip", "result"), rows)


def _lookups(vips: Stats) -> Iterator[Metric]:
    rows = [((vip, result), of["lookups"][result]) for vip, of in vips.items() for result in LOOKUP_RESULTS]
    rows += [((vip, "refused"), sum(of["lookups"]["refused"].values())) for vip, of in vips.items()]
    yield _counter("session_lookups", "Sessions asked for by returning clients.", ("vip", "result"), rows)
    yield _counter(
        "session_lookups_refused",
        "Sessions found that must not resume on this connection.",
        ("vip", "reason"),
        _by_reason(vips, "lookups"),
    )
    yield _counter(
        "session_hit_not_resumed",
        "Sessions handed to OpenSSL that it then did not resume: settings differ somewhere.",
        ("vip",),
        [((vip,), of["lookups"]["hit_not_resumed"]) for vip, of in vips.items()],
    )


def _tickets(vips: Stats) -> Iterator[Metric]:
    given = {vip: of["tickets"] for vip, of in vips.items() if of["tickets"]["given"]}
    for what, help_ in (
        ("issued", "Tickets given to clients."),
        ("unknown_key", "Tickets that no key here opens: another border's, withdrawn, or over."),
    ):
        yield _counter(f"tickets_{what}", help_, ("vip",), [((vip,), of[what]) for vip, of in given.items()])
    opened = [((vip, age), count) for vip, of in given.items() for age, count in of["opened"].items()]
    yield _counter(
        "tickets_opened", "Tickets that clients resumed with, by the age of the key.", ("vip", "key_age"), opened
    )
    refused = [((vip, reason), count) for vip, of in given.items() for reason, count in of["refused"].items()]
    yield _counter("tickets_refused", "Tickets of a known key that may not be used.", ("vip", "reason"), refused)


def _exports(exports: Sequence[Stats]) -> Iterator[Metric]:
    """Return how other servers are kept in ticket keys; without any there is nothing to tell."""
    if exports:
        each = [((of["vip"], of["format"], of["path"]), of) for of in exports]
        rows = [((*place, result), of[key]) for place, of in each for result, key in _RESULTS]
        help_ = "Times that another server was given ticket keys, and times that this failed."
        yield _counter("ticket_exports", help_, ("vip", "format", "path", "result"), rows)
        stale = [(place, of["stale_s"]) for place, of in each]
        help_ = "For how long another server hasn't had the ticket keys that it should have."
        yield _gauge("ticket_export_stale_seconds", help_, ("vip", "format", "path"), stale)


def _sessions(vips: Stats) -> Iterator[Metric]:
    for what, help_ in (
        ("made", "Sessions made by handshakes on this node."),
        ("pushed", "Sessions of this node that were sent to at least one peer."),
        ("received", "Sessions accepted from peers."),
        ("repaired", "Of those, fetched to fill a gap."),
        ("restored", "Sessions that came back from a tier."),
        ("duplicate", "Sessions that came once more."),
        ("recalled", "Copies removed because today's policy doesn't allow them here."),
        ("withdrawn", "Sessions removed because somebody withdrew them."),
        ("consumed", "Sessions that a handshake here used up, where single_use says so."),
        ("consumed_elsewhere", "Copies removed because a handshake elsewhere used the session up."),
        ("consumed_twice", "Sessions that resumed twice all the same; each of two nodes counts it."),
    ):
        yield _counter(
            f"sessions_{what}", help_, ("vip",), [((vip,), of["sessions"][what]) for vip, of in vips.items()]
        )
    help_ = "Sessions that a gate kept from being sent or accepted."
    yield _counter("sessions_refused", help_, ("vip", "reason"), _by_reason(vips, "sessions"))
    unkept = [((vip, why), n) for vip, of in vips.items() for why, n in of["sessions"]["passed_on_unkept"].items()]
    help_ = "Sessions of other colos passed on in this one without being kept for those who missed them."
    yield _counter("sessions_passed_on_unkept", help_, ("vip", "reason"), unkept)
    evicted = [((vip, "evicted"), of["sessions"]["evicted"]) for vip, of in vips.items()]
    yield _counter("session_removals", "Sessions that left before their time.", ("vip", "reason"), evicted)


def _cache(stats: Stats) -> Iterator[Metric]:
    for name, key, help_ in (
        ("cache_entries", "entries", "Sessions in the cache."),
        ("cache_bytes", "bytes", "Memory that they take."),
        ("cache_quota_bytes", "quota_bytes", "Memory that the VIP may take."),
    ):
        yield _gauge(name, help_, ("vip",), [((vip,), of[key]) for vip, of in stats["vips"].items()])
    yield _gauge("cache_max_bytes", "Memory that all VIPs may take.", (), [((), stats["cache"]["max_bytes"])])
    yield _gauge("cache_max_sessions", "Sessions that all VIPs may hold.", (), [((), stats["cache"]["max_sessions"])])


def _gossip(gossip: Stats) -> Iterator[Metric]:
    ways = {way: gossip[way] for way in ("sent", "received")}
    messages = [((way, kind), n) for way, of in ways.items() for kind, n in of["kinds"].items()]
    yield _counter("gossip_messages", "Messages by kind.", ("direction", "type"), messages)
    for what, help_ in (("sessions", "Sessions in messages."), ("bytes", "Bytes of messages, before encryption.")):
        rows = [((way,), of[what]) for way, of in ways.items()]
        yield _counter(f"gossip_{what}", help_, ("direction",), rows)
    help_ = "Sessions of other colos passed on inside this one."
    yield _counter("gossip_relayed_sessions", help_, (), [((), gossip["relayed"])])
    dropped = [((reason,), n) for reason, n in gossip["dropped"].items()]
    yield _counter("gossip_dropped", "Messages or sessions not sent or not taken, by reason.", ("reason",), dropped)
    yield _lag(gossip["lag_ms"])


def _lag(lag_ms: Stats) -> Metric:
    help_ = "From the end of the handshake on the origin to when the session can resume here."
    family = HistogramMetricFamily("meshcache_gossip_propagation_seconds", help_, labels=["scope"])
    for key, scope in SCOPES.items():
        lag = lag_ms[key]
        buckets = [(f"{le / 1000:.6g}", float(count)) for le, count in lag["buckets"]]
        family.add_metric([scope], [*buckets, ("+Inf", float(lag["count"]))], lag["sum"] / 1000)
    return family


def _members(stats: Stats) -> Iterator[Metric]:
    """This node counts itself as alive: a mesh of six shows six on each of them."""
    states = [("alive", stats["node"]["colo"]), *((peer["state"], peer["colo"]) for peer in stats["peers"])]
    yield _gauge("members", "Members as this node sees them.", ("state", "colo"), [(state, 1) for state in states], sum)


def _peers(peers: Sequence[Stats]) -> Iterator[Metric]:
    def rows(key: str, scale: float = 1) -> list[Row]:
        return [((peer["name"],), peer[key] * scale) for peer in peers if peer.get(key) is not None]

    yield _gauge("peer_rtt_seconds", "Round trip of a message.", ("peer",), rows("rtt_ms", 0.001))
    yield _gauge("peer_last_seen_seconds", "Time since the peer was heard.", ("peer",), rows("last_seen_s"))
    yield _gauge("gossip_queue_depth", "Messages that wait for the peer.", ("peer",), rows("queue"), sum)
    yield _counter("member_flaps", "Times that the peer was silent and came back.", ("peer",), rows("flaps"))
    islands = [((peer["name"],), len(peer["islands"])) for peer in peers]
    yield _gauge("peer_islands", "Share groups whose settings differ from the peer's.", ("peer",), islands, sum)


def _decisions(crossings: Iterable[Stats]) -> Metric:
    labels = ("from_vip", "from_colo", "to_vip", "to_colo", "verdict")
    rows = [(tuple(crossing[label] for label in labels), crossing["sessions"]) for crossing in crossings]
    return _counter(
        "policy_decisions", "Sessions that the gates let pass (allowed) or kept back, by way.", labels, rows
    )


def _edges(stats: Stats) -> Iterator[Metric]:
    """Yield what the transport turned away, and what went wrong in OpenSSL's callbacks."""
    refused = [((reason,), n) for reason, n in stats["transport"]["refused"].items()]
    yield _counter("connections_refused", "Connections that were not let in.", ("reason",), refused)
    faults = [((vip, callback), n) for vip, of in stats["faults"].items() for callback, n in of.items()]
    yield _counter("faults", "Exceptions at the TLS edge; each was a miss.", ("vip", "callback"), faults)


def _refusals(refusals: Iterable[Stats]) -> Metric:
    """Return a gauge: who is heard again is gone from the page ten minutes later."""
    rows = [
        ((each["node"], each["reason"], "there" if each["by_peer"] else "here"), each["count"]) for each in refusals
    ]
    help_ = "Times that a node wasn't heard here, or this node wasn't there; of those that go on."
    return _gauge("peer_refusals", help_, ("peer", "reason", "side"), rows, sum)


def _hooks(hooks: Sequence[Stats]) -> Metric:
    rows = [((hook["kind"], hook["name"], what), n) for hook in hooks for what, n in hook["counts"].items()]
    help_ = "Calls of the operator's own hooks, what they refused, and how they failed."
    return _counter("hook_outcomes", help_, ("kind", "hook", "what"), rows)


def _tiers(tiers: Sequence[Stats]) -> Iterator[Metric]:
    rows = [((tier["name"], what), n) for tier in tiers for what, n in tier["counts"].items()]
    yield _counter("tier_outcomes", "What tiers were asked, had, took and refused.", ("tier", "what"), rows)
    up = [((tier["name"],), float(tier["open"] and not tier["resting"])) for tier in tiers]
    yield _gauge("tier_up", "1 for a tier that can be asked.", ("tier",), up)
    for name, help_ in (("entries", "Sessions in a tier."), ("bytes", "Bytes that it takes for them.")):
        held = [((tier["name"],), tier[name]) for tier in tiers if name in tier]
        yield _gauge(f"tier_{name}", help_, ("tier",), held)


def _front(front: Stats) -> Iterator[Metric]:
    """Yield the server around the node: what stands before it and behind it."""
    yield _gauge("connections_open", "Client connections that are open.", (), [((), front["connections"]["open"])])
    yield _gauge("connections_max", "As many as there may be.", (), [((), front["connections"]["max"])])
    yield _counter(
        "connections_ended_badly",
        "Connections that went wrong, by what went wrong.",
        ("kind",),
        [((kind,), n) for kind, n in front["ended_badly"].items()],
    )
    yield _counter(
        "handshake_failures",
        "Handshakes that didn't end well, by what went wrong.",
        ("vip", "kind"),
        [((each["vip"], each["kind"]), each["count"]) for each in front.get("handshake_failures", ())],
    )
    yield _counter(
        "vip_connections_ended_badly",
        "Connections that went wrong, by VIP, backend where it was one's, and what went wrong.",
        ("vip", "backend", "kind"),
        [((each["vip"], each["backend"], each["kind"]), each["count"]) for each in front.get("ended_badly_by", ())],
    )
    ways = [((vip, way), n) for vip, of in front["bytes"].items() for way, n in of.items()]
    yield _counter("relayed_bytes", "Plain bytes received from clients and sent to them.", ("vip", "direction"), ways)
    backends = front["backends"]

    def rows(key: str) -> list[Row]:
        return [((each["vip"], each["backend"]), float(each[key])) for each in backends]

    both = ("vip", "backend")
    drained = {(each["vip"], each["backend"]) for each in backends if each.get("weight") == 0}
    up = [row for row in rows("up") if row[0] not in drained]  # nobody is to be woken for one that may go
    yield _gauge("backend_up", "Whether a backend gets connections; not of those that are drained.", both, up)
    yield _gauge("backend_connections_open", "Connections to a backend that are open.", both, rows("open"))
    yield _counter("backend_connects", "Connects to a backend that succeeded.", both, rows("connects"))
    yield _counter("backend_connect_failures", "Connects to a backend that failed.", both, rows("failures"))
    yield _counter("backend_connect_seconds", "Time that successful connects took.", both, rows("connect_s"))
    ends = [((each["vip"], each["name"]), each["ends_in_s"]) for each in front["certificates"]]
    yield _gauge("certificate_ends_seconds", "Time until a certificate ends.", ("vip", "name"), ends, min)
    last = front["reload"]
    if last is not None:
        yield _gauge(
            "last_reload_ok", "Whether the last reload succeeded; if not, nothing changed.", (), [((), last["ok"])]
        )
        yield _gauge("last_reload_seconds", "Time since the last reload.", (), [((), last["age_s"])])


def _by_reason(vips: Stats, where: str) -> list[Row]:
    return [((vip, reason), n) for vip, of in vips.items() for reason, n in of[where]["refused"].items()]


def _counter(name: str, help_: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = CounterMetricFamily(f"meshcache_{name}", help_, labels=labels)
    for values, number in _merged(rows, sum):
        family.add_metric(values, number)
    return family


def _gauge(
    name: str,
    help_: str,
    labels: Sequence[str],
    rows: Iterable[Row],
    merge: Callable[[Iterable[float]], float] = max,
) -> Metric:
    family = GaugeMetricFamily(f"meshcache_{name}", help_, labels=labels)
    for values, number in _merged(rows, merge):
        family.add_metric(values, number)
    return family


def _merged(rows: Iterable[Row], merge: Callable[[Iterable[float]], float]) -> Iterator[Row]:
    groups: dict[tuple[str, ...], list[float]] = {}
    for values, number in rows:
        groups.setdefault(tuple(map(_clean, values)), []).append(number)
    return ((values, merge(numbers)) for values, numbers in groups.items())


def _clean(value: str) -> str:
    """Replace lone surrogates, which can't be encoded and would end the scrape."""
    return value.encode(errors="replace").decode()
