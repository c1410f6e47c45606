"""What makes a node run: the pump's thread, what OpenSSL's callbacks call, attached contexts, discovery, events.

`node` owns one of each and is all that others use. This room imports the core, `hot`, `tls`, `edges`, `config` and a
worker's slot; it decides nothing about sharing or membership, and nothing here blocks a handshake.
"""
