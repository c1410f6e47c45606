"""Runs what others wrote: hooks, each on a thread of its own, within its budget, with its faults counted by name.

`hooks.py` says what a hook is; here is how it is loaded, asked and watched. Imports `hooks`, `config`, `edges`,
`runtime`, and `core.policy` and `core.values`. Decides nothing: what a policy answers the core takes through
`core/policy/own_policy.py`, which can only refuse.
"""
