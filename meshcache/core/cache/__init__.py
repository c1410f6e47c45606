"""Where sessions lie: entries packed as bytes, a bounded part for each VIP, an index by stream, a quarantine.

Imports `values` and `policy`. It evicts by use and expires by time; it never asks a gate and never sends: whether an
entry may resume or travel is asked above, at each use.
"""
