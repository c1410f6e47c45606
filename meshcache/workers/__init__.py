"""Several processes of one server on one host: names that can't collide, how they find each other, how they end.

Imports `config`, `edges` and `tls`; `MeshNode.for_worker` is built on it. It shares no memory: workers are nodes like
any others, on one machine.
"""
