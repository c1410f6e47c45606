"""How sessions get from one node to another: pushed, repaired, compared, caught up on; and filed and found here.

Imports `holders`, `tickets` and below. Every way in passes `may_accept`, every way out `may_send`, every lookup
`may_resume`.

The gossip of one stream (what one life of a node publishes for one VIP), as a receiver sees it:

    UNKNOWN --push, fetch reply, vector--> WHOLE           numbers 1..n were seen; evicted still counts as seen
    WHOLE   --push that starts at n+1----> WHOLE           `intake` files it
    WHOLE   --push or heartbeat beyond---> GAP             `repair` waits a moment: messages overtake each other
    GAP     --the numbers arrive---------> WHOLE
    GAP     --the moment is over---------> FETCHING  from the origin, else from who claims to have it, else anyone
    FETCHING--fetch reply----------------> WHOLE or GAP    it says which numbers it covers, also what policy kept back
    any     --origin withdraws, or terms change--> same    `control.recall` takes entries away, numbers stay seen

Nobody needs to be told that a session expired: it does so everywhere by itself. `anti_entropy` finds what no gap
shows (an origin that died, a start of a stream never heard of); `snapshot` is the same from empty.
"""
