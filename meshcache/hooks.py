"""What you may add to a node: a sharing policy of your own, ways to find peers, observers. Subclass, and name it.

A hook is an object of a subclass of `SharingPolicy`, `Discovery` or `Observer`. Hand it to the node in code,
``MeshNode(settings, hooks=[EuropeOnly()])``, or name its class in the file, as an entry point of the group
``meshcache.hooks`` or as ``"module:Class"``; an entry point that nobody names is never loaded.

No hook can break a handshake. Each runs on a thread of its own. What it raises is caught and counted by name, what
takes longer than its budget is no longer waited for; both are told as an event (`HookFaulted`), in ``stats`` under
``hooks``, in the metrics and by ``meshcache doctor``. A policy that doesn't answer refuses: it fails closed. Without
the others the node goes on as if they weren't there: they fail open. No hook is ever given a session id, DER or key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

ENTRY_POINTS = "meshcache.hooks"
"""The group of entry points in which packages offer hooks by name."""

BUDGET_S_MAX = 5.0
"""Of `SharingPolicy.budget_s`: for so long a handshake may have to wait for an answer."""

ANSWERS_MAX = 65_536
"""Answers of one policy that are remembered; when there are more, all are forgotten and asked for again."""

FOUND_MAX = 1024
"""Addresses that one `Discovery` may have found and not lost; more are counted as faults and left out."""

EVENTS_WAITING_MAX = 1000
"""Events that wait for one `Observer`; while it is that far behind, newer ones are counted as missed."""


COUNTS: Mapping[str, str] = {
    "calls": "calls of the hook",
    "refused_send": "crossings that a policy kept here, or couldn't be asked about",
    "refused_accept": "crossings that a policy kept out, or couldn't be asked about",
    "refused_resume": "sessions that a policy let nobody resume, or couldn't be asked about",
    "found": "addresses that a discovery found",
    "lost": "addresses that a discovery lost",
    "missed": "events that an observer was too far behind for",
    "raised": "exceptions that left the hook",
    "slow": "answers that didn't come within the budget, or calls of an observer that took longer",
    "wrong_answer": "answers of a policy that weren't True or False",
    "bad_address": "what a discovery found and is no IP address with a port, or one too many",
    "not_loaded": "1 for a hook that is named and couldn't be had",
}
"""In ``stats`` each of ``hooks`` has ``kind``, ``name``, ``resting`` (a policy that isn't asked just now),
``last_fault`` in words, and these ``counts``; the metric ``meshcache_hook_outcomes_total`` has them by ``kind``,
``hook`` and ``what``."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Sessions that one node made for one VIP, on their way to one VIP of another node."""

    vip: str
    """The VIP that they were made for."""
    group: str
    """The share group of both VIPs."""
    origin: str
    """The node that made them."""
    origin_colo: str
    """Its colo."""
    node: str
    """The node that would have them."""
    colo: str
    """Its colo."""
    to_vip: str
    """The VIP that they would resume on there."""


@dataclass(frozen=True, slots=True)
class Resuming:
    """A session that a client has brought, and that would resume now."""

    vip: str
    """The VIP of the connection."""
    made_for: str
    """The VIP that it was made for: the same, or another of its share group."""
    origin: str
    """The node that made it."""
    made_here: bool
    """Whether that was this process."""
    age_s: float
    """Seconds since the full handshake of its lineage."""
    remaining_s: float
    """Seconds until it ends."""
    client_certificate: bool
    """Whether the client had shown a certificate when it was made."""


class Hook:
    """What all hooks have in common; subclass one of the three below."""

    name: str = ""
    """Under which it is counted; by default its name in the file, or that of its class."""

    def close(self) -> None:
        """Let go of what the hook holds: the node has ended. Waited for a second at most."""


class SharingPolicy(Hook):
    """Narrows what the VIPs' policies allow. It is only asked about what they allow, so it can't widen anything.

    Define those of the three questions that you need; True leaves it at what the VIPs' policies say. False, an
    exception, anything that isn't a bool, or no answer within the budget refuses. After a fault the hook rests, for a
    second, twice as long each time, a minute at most: whatever it isn't known to allow is refused meanwhile. Several
    policies must all agree. Each is called on one thread, one question at a time, so it needs no lock of its own.

    Tickets that clients keep are good wherever their key is, and nobody is asked: a node with a policy starts only when
    all its VIPs have ``resumption = "sessions"``.

    It holds on the nodes that have it, and a session that was sent is out of its hands: give the same policy to all
    nodes, and take back with ``meshcache sessions withdraw``. Names of nodes and colos are what members say of
    themselves; whoever mustn't have sessions at all must not have the mesh key.
    """

    budget_s: float = 0.2
    """Seconds that a question may take, `BUDGET_S_MAX` at most: a handshake may wait so long, once before it rests."""

    def may_send(self, crossing: Crossing) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether this node may give these sessions to that node: its own, and others' that it passes on.

        Asked once for each crossing; the answer holds until `ask_again`.
        """
        return True

    def may_accept(self, crossing: Crossing) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether this node may keep these sessions of another one, and let them resume on ``to_vip``.

        Asked once for each crossing; the answer holds until `ask_again`.
        """
        return True

    def may_resume(self, resuming: Resuming) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether this session may resume on this connection; if not, the client makes a full handshake.

        Asked at every lookup that finds a session, this node's own too, while OpenSSL waits. So a policy that defines
        it takes the compiled lookup away from all VIPs of the node, and a hit waits for another thread: 80 us more on
        a machine with nothing else to do, and milliseconds on one whose processors are all busy.
        """
        return True

    def ask_again(self) -> None:
        """Call it, from any thread, when answers have changed. Does nothing before the node has started.

        All crossings are asked about anew, away from handshakes, and the old answers hold until then. What is here and
        no longer allowed is removed and counted.
        """
        self._ask_again()

    _ask_again: Callable[[], object] = staticmethod(lambda: None)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a `Discovery` may know of its node, and how it tells what it finds."""

    node: str
    """The node's name."""
    colo: str
    """Its colo."""
    mesh: str
    """The name of its mesh."""
    address: str
    """Where it tells peers to connect, ``IP:port``."""
    found: Callable[[str], None]
    """Call it with the ``IP:port`` where a member may listen, from any thread; again does no harm. Returns at once.

    The address is tried until it is `lost`, also when nobody answers there.
    """
    lost: Callable[[str], None]
    """Call it with an address that was found and is one no longer: it isn't tried any more. Linked peers stay so."""


class Discovery(Hook):
    """Finds addresses where members may listen, beside seeds and mDNS. They are hints: the mesh key decides."""

    def run(self, here: Surroundings) -> None:
        """Look for peers: call ``here.found`` and ``here.lost``, for as long as you like: the thread is yours.

        What it raises is counted, and it is run again after a second, twice as long each time, a minute at most; what
        it had found stays found. When it returns it isn't run again. Let `close` make it return.
        """


class Observer(Hook):
    """Sees what happens. It changes nothing, and nothing waits for it."""

    counters_every_s: float = 10.0
    """Seconds between two calls of `counters`, 1 at least."""

    budget_s: ClassVar[float] = 1.0
    """Seconds after which a call is counted as slow."""

    def event(self, event: dict[str, Any]) -> None:
        """Take one event soon after it happened, in order: an object of ``/v1/events`` (docs/watching.md).

        Those that come while `EVENTS_WAITING_MAX` are waiting are counted as ``missed`` and not told.
        """

    def counters(self, stats: dict[str, Any]) -> None:
        """Take the object of ``meshcache stats --json`` (docs/watching.md): plain values, no secrets."""
