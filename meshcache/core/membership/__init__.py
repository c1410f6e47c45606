"""Who belongs to the mesh and who lives: hellos, heartbeats, links, rosters, and the way in for every message.

Imports `state` and below. `inbox` is where a peer's bytes enter the core; what arrives there is hostile until
`wire.codec` has read it and `connections` has let its sender speak. An opinion about a peer stays here; it is never
passed on.
"""
