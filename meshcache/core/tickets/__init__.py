"""Session ticket keys: who is in a ring, who makes its next key, who has it, and from when on it encrypts.

A ring is the border within which one set of keys is good (`policy.ring_id`). Keys go to nodes of their ring alone and
live in memory alone. Imports every room below; of those above, `repair` gives keys to this node's next life. It never
writes a key to a file (`meshcache.ticket_files` does) and encrypts nothing itself.

In order of reading: `ring` keeps the keys of one border, `rings` those of all that are served here, `peers_keys` notes
what others have, `ring_nodes` says who is in a ring and has what, `ticket_duty` makes, spreads, takes in and ends keys,
`view` shows them.
"""
