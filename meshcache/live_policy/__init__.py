"""Policies that operators set while nodes run: what may be set, what then holds, where it is kept, what it has done.

`controller` is the way in, for the admin interface and for embedders (`node.policies`); `core.control.live_policies`
spreads what comes through it. Imports the core, `config`, `checks`, `edges` and `runtime`; no gate is asked or answered
here.
"""
