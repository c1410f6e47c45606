"""What makes a node run: the pump's thread, what OpenSSL's callbacks call, attached contexts, discovery, events.

`node` owns one of each and is all that others use. This room imports the core, `hot`, `tls`, `edges`, `config` and a
worker's slot; it decides nothing about sharing or membership, and nothing here blocks a handshake. Its own rooms, each
above what it may import; `tests/test_layering.py` holds the order:

    contexts      what is attached to VIPs, under which terms its sessions travel
    lookups       where a session is looked for that isn't in memory
    vip_ports     what OpenSSL's callbacks call, for one VIP
    succession    what a node has from its earlier lives, and leaves to the next
    pump          the thread that moves messages

Beside them `internals` names the parts, `finders`, `forks`, `front` and `event_log` each join the node to something
outside it, and `state_file` and `tracing` are for all.
"""
