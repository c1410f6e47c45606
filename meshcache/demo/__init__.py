"""`meshcache demo`: a whole mesh on this machine, real clients, a verdict. Shows what the rest does."""

from meshcache.demo.story import run

__all__ = ["run"]
