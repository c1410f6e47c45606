"""The admin interface of a node: HTTP and JSON on a Unix socket, and read-only on a port.

`server.AdminServer` answers for a node, `client.AdminClient` asks one. Nothing is imported here, so that asking doesn't
load what answering needs. Its files import `config`, `edges`, `runtime` and `ticket_files`: the node is given to them.
It counts and decides nothing, and shows no secret but ticket keys, on the socket, to whoever may have them.
"""
