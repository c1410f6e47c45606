"""Who is to have a session: its audience, its holders where it isn't for everybody, and how those learn of it.

Imports `membership` and below; `replication` moves the sessions. Remembers what it found until a table changes. It
permits nothing: it asks the gates, and chooses among those whom they allow. It never fetches, and files nothing.

`audience` says who gets what is published or relayed here, and `placement` which of those are to hold one session;
`awaiting` says whether it is on its way here. `holding_messages` tell other holders by number what is here,
`relay_retention` keeps for a while what a relay isn't to hold, and tells its holders, and `holdings_readiness` says
when this node was told of all that it is to hold.
"""
