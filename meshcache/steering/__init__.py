"""Policies that are set while nodes run: what may be set, what then holds, where it is kept, and what it has done.

`steering` is the door; `core.live` spreads what comes through it.
"""
