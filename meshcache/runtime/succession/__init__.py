"""What a node has from its earlier lives, and leaves to the next one: its number, its peers, its sessions.

Imports `runtime.pump`, `runtime.state_file`, the core, `hot`, `edges` and `config`. Files are small and bounded; no
session is ever written to one (`bequest` carries them from process to process). In order of reading: `incarnations`,
`new_core`, `remembered_peers`, `warming`, `bequest`.
"""
