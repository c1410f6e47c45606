"""What an operator's own policy may add to the gates: asked where the terms allow a crossing, it can only refuse.

The core asks with its lock held and remembers nothing of a refusal's reason; who answers sees to it that an answer
takes no time.
"""

from __future__ import annotations

from typing import Protocol

from meshcache.core.policy.gates import Terms, anything


class OwnPolicy(Protocol):
    """Answers for crossings that the terms of both ends allow: the same answer until `MeshCore.follow`."""

    def may_send(self, source: Terms, target: Terms) -> bool:
        """Return whether this node may give sessions made under `source` to the node that says `target`."""

    def may_accept(self, source: Terms, target: Terms) -> bool:
        """Return whether sessions made under `source` by another node may be kept and used under `target`, here."""


class NoOwnPolicy:
    """The policy of an operator who has none: the terms alone decide."""

    may_send = may_accept = staticmethod(anything)


NO_OWN_POLICY = NoOwnPolicy()
