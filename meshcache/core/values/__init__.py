"""The values that every other room speaks in: sessions, nodes and VIPs, ranges of numbers, limits, events.

Imports `policy` (terms are part of what a node says of itself) and nothing else. Values are frozen or have no duty
beyond themselves (a set of ranges, a token bucket); nothing here decides, sends or counts.
"""
