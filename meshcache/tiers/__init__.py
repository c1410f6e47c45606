"""Tiers behind memory: what seals sessions for them, asks them and writes to them, and the two that meshcache brings.

`hooks.py` says what a tier is; `disk.py` and `valkey.py` are two, and import their libraries only where one is
configured. `node_tiers.py` joins them to a node. Imports `plugins`, `runtime` and below, and of the core `wire` for
records, `replication` for what leaves memory and comes back, and `control`. Whatever they do wrong is counted and never
breaks a handshake; no session leaves here unsealed.
"""
