"""Decides; does no I/O. Bytes, peers and `now` in; messages, events and the next deadline out.

Imports cbor2 and nothing of meshcache but `records` and `errors`; has no clock, socket, thread or log.

Rooms, each above what it may import; `tests/test_layering.py` holds the order:

    mesh          the facade: what the node and the TLS edge may ask. Start here
    assembly      makes each duty and gives it what it needs
    stats         gives counters their JSON
    repair        what didn't get through: fetch it, compare, catch up, keep copies, ask for one
    replication   sessions on their way: file, publish, take in, pass on, find
    holders       who is to have a session, and how those learn of it
    tickets       session ticket keys: who is in a ring, who makes its next key
    control       what operators change: live policies, VIPs, withdraws, recall, explain
    membership    who belongs and who lives; where messages enter
    state         the tables of one node
    wire          messages, and bytes to messages and back
    cache         where sessions lie
    values        what all rooms speak in
    policy        where a session may go
"""
