"""The contexts that are attached to VIPs: what each is, under which terms its sessions travel, and what changed since.

Imports `runtime.lookups` and the rooms below it, `config` and `tls`. Nothing here runs in a handshake; settings of a
context are read and set, its keys never. In order of reading: `attaching` turns facts and settings into terms,
`attached_vips` has what is attached, `tls_side` is what a node is asked about it.
"""
