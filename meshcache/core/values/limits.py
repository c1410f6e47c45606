"""Every time, rate and maximum of the gossip in one place, each with its reason.

Sizes that both ends of the wire must agree on are not tunable and stand in `messages`.
"""

from __future__ import annotations

from itertools import pairwise

from meshcache.records import record


@record
class Limits:
    """Tunables of one core; the defaults suit colos of up to 64 nodes. Times are in seconds.

    Raises ValueError when the times of membership don't follow on one another.
    """

    # --- membership
    heartbeat_s: float = 1.0
    """A tail loss is noticed after one of these. Shorter costs n-1 tiny messages more a second."""
    probe_after_s: float = 1.5
    """Silence after which a peer is asked directly: one lost heartbeat is then no reason for suspicion."""
    probe_s: float = 0.05
    """Between such questions, until the peer is suspect: with half of all messages lost, one of thirty is answered but
    for two cases in ten thousand. Each costs two tiny messages."""
    suspect_s: float = 3.0
    """Silence after which a peer is suspect; stretched up to `loss_stretch` times for a link that is seen to lose."""
    lost_s: float = 8.0
    """Silence after which this node goes on without the peer; stretched in the same way."""
    loss_stretch: float = 3.0
    loss_tolerated: float = 0.1
    """Share of a peer's heartbeats that may get lost before the times above stretch."""
    forget_s: float = 600.0
    """A lost peer is remembered this long, so that a healed partition finds it; then its place is given back."""
    redial_s: float = 5.0
    """Between hellos to a lost peer or a silent candidate at the most; bounds how soon a healed split is noticed."""
    hello_s: float = 0.05
    """Between the first hellos to an address: a link takes milliseconds to come up. It doubles up to `redial_s`."""
    stall_s: float = 0.5
    """Lateness of our own timer after which we doubt ourselves and not the peers (Lifeguard, arXiv 1707.00788)."""
    linger_s: float = 10.0
    """How long a link to a node that nobody needs is kept after its hello, so that both can exchange what they know."""
    ping_s: float = 10.0
    """Between round-trip measurements of a peer that is well."""
    peers_max: int = 1024
    """Nodes that this one talks to directly: a colo, two relays in each other colo, and those that chose this node."""
    roster_max: int = 4096
    """Nodes known by hearsay, in all colos together; about 600 bytes each."""
    candidates_max: int = 256
    """Addresses that were hinted at and not yet matched to a node. mDNS is open to anyone on the LAN."""
    candidate_tries: int = 12
    """Hellos to an address that doesn't answer, over some 40 s; seeds are tried for ever."""
    connections_max: int = 4096
    """Connections whose sender is remembered; the longest silent is forgotten and may name itself anew."""

    # --- push
    collect_s: float = 0.003
    """Under load a VIP's sessions are collected for so long at least, unless the last push is longer ago: then the
    first goes at once. A push costs its receiver about as much for ten sessions as for one. A client that is back on
    another server sooner waits there (``await_ms``); where nothing waits it may have to begin anew."""
    collect_awaited_s: float = 0.025
    """The same, where every receiver's handshakes wait that long for what is on its way: from 40 sessions/s on several
    go in one message, at 2,500/s a full batch. Longer saves little more, and who waits waits for all of it."""
    await_margin_s: float = 0.012
    """Of the time that receivers wait, what is left for the way: on busy cores two threads that have to be woken first.
    With 2 ms six of 1,000 clients that were back at once didn't resume where one didn't before, at a load of 11."""
    ask_margin_s: float = 0.007
    """The same where `busy_per_s` sessions of a VIP and more are made a second and all receivers ask for what they
    await; the first that does so ends it. 15 ms of waiting, the default, are 8 of collecting then, in place of 3: at
    1,000/s eight sessions go in one message, in place of three."""
    busy_per_s: float = 500.0
    busy_s: float = 0.25
    """Over how long that is counted: 400/s, of 200 full handshakes of TLS 1.3 a second, aren't to look like it."""
    asked_for_s: float = 10.0
    """A peer that asks for what is still collected has a client that came back sooner than that: others will too, so
    that it isn't collected any longer than without their waiting until so much later."""
    flush_at_once_peers: int = 3
    """So few add nothing to that."""
    flush_s_per_peer: float = 0.0004
    """Under load a VIP's sessions are collected for this long, times the number of other receivers, plus the next."""
    flush_s_per_peer_cubed: float = 0.000_001
    """Each of n peers pays for what n send, so that in a large colo only fewer and larger messages keep a node's share
    of a core small. 5 peers: 0.9 ms, 15: 8 ms, 31: 41 ms, 63: 0.25 s, with 25 sessions each at 100/s."""
    flush_s_max: float = 0.25
    rest_share: float = 0.125
    """Of the time for which peers collect, that a receiver may let their messages lie, to read several at once:
    15 peers: 1 ms, 31: 5 ms, 63: 31 ms. A lookup that misses doesn't wait for it."""
    rest_s_min: float = 0.002
    """The same at least, and for up to `rest_messages` times as long when so many were read at once: a step costs as
    much for one message as for ten, and only a client that misses is in a hurry, who reads them."""
    rest_messages: int = 3
    outbox_sessions: int = 8192
    """Sessions of one VIP that wait to be pushed; the oldest are dropped, counted, and repaired by the receivers."""
    queue_messages: int = 1024
    """Messages to one peer between two drains; ZeroMQ's own queue behind it is as long by default."""
    queue_bytes: int = 4 * 1024 * 1024
    blocked_s: float = 0.25
    """After the transport refused a message to a peer, no batches are offered to it for this long."""
    origin_sessions_per_s: float = 50_000.0
    """What one origin may push here: ten times a 64-node colo's total at 100/s each. The excess is dropped, counted and
    stays a gap, which this node fetches at its own pace."""
    origin_sessions_burst: float = 100_000.0
    messages_per_s: float = 20_000.0
    """What one connection may send of any kind; beyond it messages are dropped unread."""
    messages_burst: float = 40_000.0

    # --- looking elsewhere, for handshakes that wait
    on_its_way_s: float = 0.5
    """How long a session may be on its way, beside `flush_s_max` and a round trip: what a busy machine, or a message
    that got lost and is repaired, may take. Who waits for one that was evicted meanwhile waits in vain."""

    pulls_max: int = 256
    """Fetches for handshakes under way at a time: at 10 ms each 25,000 a second."""
    pulls_per_s: float = 2000.0
    """Of one node, so that a mesh that just lost its caches isn't busy with asking: a fetch costs either end 0.2 ms."""
    pulls_burst: float = 500.0
    pull_answers_per_s: float = 4000.0
    """What one node answers to all others; beyond it, it has nothing."""
    pull_lies_s: float = 0.0005
    """How long messages may lie unread at most while peers fetch here."""
    pulls_remembered: int = 4096
    """Fetches whose answer may still come, though nobody waits: it is filed then all the same."""
    pulls_vain_max: int = 4096
    pull_again_s: float = 5.0
    """An id that nobody had is asked for again after this long: clients come back with it for hours."""
    pull_silences: int = 3
    """Answers in a row that a peer may miss before it isn't asked for a while."""
    pull_lates: int = 16
    """Answers in a row that may come too late before it isn't asked for a while either."""
    pull_rest_s: float = 1.0
    """That while; it doubles with each further one, up to `pull_rest_s_max`."""
    pull_rest_s_max: float = 30.0

    # --- repair
    gap_grace_s: float = 0.25
    """A gap this young may only be a message that was overtaken."""
    hearsay_grace_s: float = 0.6
    """The same for what a peer says it has of a third node's: that may still be on its way through a relay."""
    fetch_timeout_s: float = 1.0
    fetch_retry_s_max: float = 30.0
    gaps_max: int = 4096
    """Streams with a gap that are kept in mind; others are noticed again by the next heartbeat. Where it is full, one
    makes room that was given up, or the last one of whoever told of the most: a member can invent what it likes."""
    fetch_attempts: int = 10
    """Peers asked for one gap, with growing pauses; then it rests until somebody claims to have it."""
    fetches_max: int = 64
    """Fetches under way at a time."""
    fetches_per_peer: int = 4
    fill_sessions_per_s: float = 40_000.0
    """What this node serves to others in answers, all together: under a third of what a core can encode."""
    fill_sessions_burst: float = 8192.0
    entropy_s: float = 5.0
    """Between comparisons with one peer and the next, give or take a fifth."""
    entropy_hurry_s: float = 0.5
    """The same right after something was learnt that its origin can no longer tell: it spreads like a rumour."""

    # --- copies
    holdings_settle_s: float = 1.0
    """After a change of who is there, before this node tells the others what it holds for them: others see it too."""
    holdings_step: int = 512
    """Sessions looked at in one go, about 3 ms."""
    holdings_pause_s: float = 0.02
    """Between two such steps: 25,000 sessions a second, at 15 % of a core."""
    holdings_s: float = 15.0
    """Between two tellings of everything when nothing has changed, and longer where there is more to tell."""
    holdings_s_per_session: float = 0.004
    """So long for each session that is held: at most one percent of a core, and 400 s for 100,000."""
    holdings_recent_s: float = 3.0
    """Between two tellings of what is new, twice each: a push that got lost is noticed by then."""
    holdings_fetches_max: int = 16
    holdings_queue_max: int = 4096
    """Fetches that wait, an eighth of them for one peer; what finds no room is told again."""
    holdings_wanted_max: int = 262_144
    """Numbers that these fetches are about, half of them of one peer's telling."""
    holdings_vain_max: int = 65_536
    """Numbers that were fetched and aren't here all the same: refused, evicted, or over. They aren't fetched again for
    seconds, longer each time, up to `holdings_vain_s`."""
    holdings_vain_s: float = 300.0
    share_s_max: float = 20.0
    """How long a node that came isn't ready for want of its share of few copies: others tell of 25,000 sessions a
    second each, and it fetches with all of them at once."""
    passed_on_max: int = 65_536
    """Sessions that a relay keeps for half a minute after it passed them on: 2,000 a second from all other colos."""

    # --- snapshot
    snapshot_wait_s: float = 2.0
    """How long a joiner waits for a first peer that is ready to be asked; then it is ready itself."""
    snapshot_busy_s: float = 15.0
    """How long it goes on asking peers that are all taken; then repair has to do."""
    snapshot_ask_s: float = 0.5
    """Between two asks, and how long an answer is waited for."""
    snapshot_lease_s: float = 5.0
    """A source keeps its one place for a joiner that asked for something within this time."""
    snapshot_s_max: float = 120.0
    """A joiner gives up after this time and leaves the rest to repair."""
    snapshot_sessions_per_s: float = 30_000.0
    """100,000 sessions, about 25 MB, take some 3 s, at a quarter of a core of the source."""

    # --- withdraws, quarantine
    withdraws_max: int = 256
    """Withdraws remembered, of each scope the newest; where there is no room for another, everything is withdrawn."""
    withdraws_per_s: float = 2.0
    """From one issuer; an operator's drill needs a handful."""
    withdraws_burst: float = 20.0
    quarantine_max: int = 1024
    quarantine_s: float = 3600.0
    """An entry that the TLS side found unusable is not taken again for this long."""

    consumed_max: int = 131_072
    """Ids remembered that were used up (``single_use``), here or elsewhere; above it the older half goes, before its
    time. 1,000 a second in the whole mesh are 30,000 to 60,000."""
    consumed_s: float = 30.0
    """How long at least: longer than a push, a repair or a fetch is on its way, or a peer silent and not lost."""

    # --- ticket keys
    ticket_spread_s: float = 60.0
    """How long a new key waits for living nodes that don't have it yet, before it encrypts all the same."""
    ticket_step_s: float = 2.0
    """The second in line makes a key that is due so much later than the first, if nobody has; the third twice that."""
    ticket_step_s_max: float = 120.0
    ticket_overrun_s: float = 300.0
    """How long beyond its time a key may encrypt while no next one is made or known to all: both waits above, and what
    clocks run apart. Every key opens so much longer."""
    ticket_first_s: float = 3.0
    """What a node that comes into a ring with others waits for their keys before it makes one."""
    ticket_status_s: float = 10.0
    """Between two tellings of what one has; a tenth of it while a key is on its way."""
    ticket_quiet_s: float = 8.0
    """After a withdraw, before a ring has keys again: on no clock may those look older than it."""
    ticket_keys_per_s: float = 20.0
    ticket_keys_burst: float = 1024.0
    """Keys taken in from one node, of all rings together: a joiner of many rings gets all at once."""

    # --- housekeeping
    sweep_s: float = 1.0
    sweep_entries: int = 4096
    """Entries looked at for expiry each time: 100,000 take 25 s."""

    def __post_init__(self) -> None:
        times = (self.heartbeat_s, self.probe_after_s, self.suspect_s, self.lost_s, self.forget_s)
        if not all(earlier < later for earlier, later in pairwise(times)) or self.heartbeat_s <= 0:
            raise ValueError("heartbeat_s < probe_after_s < suspect_s < lost_s < forget_s must hold")

    def flush_s(self, receivers: int, awaited_s: float = 0.0, *, asks: bool = False) -> float:
        """Return how long to collect sessions under load when a flush goes to this many receivers, each of whom lets
        clients wait for at least `awaited_s`. With `asks` they ask for what is late, and there is much of it.
        """
        if not receivers:
            return 0.0
        others = max(receivers - self.flush_at_once_peers, 0)
        collected_s = others * self.flush_s_per_peer + receivers**3 * self.flush_s_per_peer_cubed
        margin_s = self.ask_margin_s if asks else self.await_margin_s
        waited_s = min(awaited_s - margin_s, self.collect_awaited_s)
        return min(max(collected_s, self.collect_s, waited_s), self.flush_s_max)

    def rest_s(self, peers: int, received: int) -> float:
        """Return how long messages from so many peers may lie unread, when there were so many the last time."""
        least_s = self.rest_s_min * min(received, self.rest_messages)
        return max(self.flush_s(peers) * self.rest_share, least_s) if received else 0.0
