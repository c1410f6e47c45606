"""Questions that go to every node of the mesh, and their answers; no decision is made by either.

How they travel and are counted is `control.mesh_queries`'.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from meshcache.records import record

HELD_MAX = 16
"""Keys of one VIP about which an answer can say that something else holds there; there are seven today."""

HELD_BYTES_MAX = 256
"""Of one of them: a key, what holds, and the reason. A longer list of colos is cut."""


class QueryKind(Enum):
    """What a node can be asked about."""

    POLICY = "policy"
    """Has it version ``number`` of VIP ``name``, with ``digest`` where that is given, and how many copies did it recall
    in the last ``elapsed_s``?"""
    WITHDRAW = "withdraw"
    """Has it the asker's withdraw ``number``, and how many sessions went?"""
    CLOCK = "clock"
    """What time is it there?"""
    FIGURES = "figures"
    """How do the clients there resume, VIP by VIP?"""


@record
class Query:
    """A question to every node of the mesh; each answers to whom it first heard it from, and passes it on.

    (asker, token) names it, so that it is answered once.
    """

    asker: str
    incarnation: int
    token: int
    matter: QueryKind
    number: int
    name: str = ""
    elapsed_s: int = 0
    digest: bytes = b""


class Figures(NamedTuple):
    """One VIP of one node since its start: handshakes by how they ended, and what its cache holds."""

    vip: str
    full: int
    local: int
    remote: int
    hit_not_resumed: int
    entries: int


@record
class QueryReply:
    """What ``node`` says to a question, on its way back: whether it has what was asked for, and how many sessions.

    ``unix_ms`` is its wall clock, ``colo`` and ``figures`` how its clients resume, ``held`` where other values hold
    there than those set live, where that was asked. No decision is made by them: an operator may want to know.
    """

    asker: str
    token: int
    node: str
    has: bool
    sessions: int = 0
    unix_ms: int = 0
    colo: str = ""
    figures: tuple[Figures, ...] = ()
    held: tuple[str, ...] = ()
