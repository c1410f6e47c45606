"""Where a session is looked for that isn't in memory, while the handshake that wants it is paused.

Imports `runtime.vip_ports`, `runtime.pump`, the core, `config` and `edges`. Each step is bounded and counted, and a
handshake that finds its session in memory waits for none. It never says what may resume: the core does. `asking` has
the order, `awaiting` is the first step, `fetching` the last; between them stand the tiers (`tiers/`).
"""
