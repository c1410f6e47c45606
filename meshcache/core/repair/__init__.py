"""How a node gets what didn't reach it, and gives what didn't reach others: fetched, compared, caught up on.

Imports `replication`, `tickets` and below. Nothing comes in but through `replication.intake`, nothing leaves but what
`may_send` allows; each question is bounded by number, rate and time. It publishes nothing and evicts nothing.

The gossip of one stream (what one life of a node publishes for one VIP), as a receiver sees it:

    UNKNOWN --push, fetch reply, vector--> WHOLE           numbers 1..n were seen; evicted still counts as seen
    WHOLE   --push that starts at n+1----> WHOLE           `intake` files it
    WHOLE   --push or heartbeat beyond---> GAP             `repair` waits a moment: messages overtake each other
    GAP     --the numbers arrive---------> WHOLE
    GAP     --the moment is over---------> FETCHING  from the origin, else from who claims to have it, else anyone
    FETCHING--fetch reply----------------> WHOLE or GAP    it says which numbers it covers, also what policy kept back
    any     --origin withdraws, or terms change--> same    `control.recall` takes entries away, numbers stay seen

Nobody needs to be told that a session expired: it does so everywhere by itself. `anti_entropy` finds what no gap
shows (an origin that died, a start of a stream never heard of); `snapshot` is the same from empty, and `hand_over` from
this node's former life. `serving` answers what others ask.

A stream whose origin wants its sessions on a few nodes of each colo has no such states there: a number that isn't here
is another node's, so none counts as seen. Its holders tell each other what they have (`copy_telling`), and fetch
what they lack (`copy_fetching`); `holdings` says when. Only a relay of another colo gets all of it, and sees gaps
(`relay_turns` says where it begins).

`pulling` fetches one session for a handshake that waits, whatever the stream's state. `pull_serving` answers it.
"""
