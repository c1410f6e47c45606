"""How a server takes the place of another one without a client noticing: its sockets, its sessions, its moment.

Imports `connections` and what lies beside the rooms. Only a process of the same user is talked to, by a socket in the
state folder or an inherited one; what it says is bounded. In order of reading: `link`, `succession`, `inheritance`,
`warming`.
"""
