"""`meshcache demo`: a whole mesh on this machine, real clients, a verdict. Shows what the rest does.

Imports `admin` to ask the servers that it starts as programs of their own, and `edges` for their keys: what it shows is
what anybody can see. `cli` alone imports it.
"""

from meshcache.demo.story import run

__all__ = ["run"]
