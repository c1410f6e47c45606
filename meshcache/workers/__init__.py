"""Several processes of one server on one host: names that can't collide, how they find each other, how they end.

May import `config`, `edges` and `errors`; `MeshNode.for_worker` is built on it.
"""
