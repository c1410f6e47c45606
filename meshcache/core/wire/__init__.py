"""Messages as values, and bytes to messages and back; the sizes that both ends of the protocol agree on.

Imports `cache` (how a batch lies in memory), `values` and `policy`. Bytes are hostile until `codec` has returned a
message; nothing here believes, keeps or answers what a message says.
"""
