"""What you may add to a node: a sharing policy of your own, ways to find peers, observers, tiers behind memory.

A hook is an object of a subclass of `SharingPolicy`, `Discovery`, `Observer` or `Tier`. Hand it to the node in code,
``MeshNode(settings, hooks=[EuropeOnly()])``, or name its class in the file, as an entry point of the group
``meshcache.hooks`` or as ``"module:Class"``; an entry point that nobody names is never loaded.

No hook can break a handshake. Each runs on a thread of its own. What it raises is caught and counted by name, what
takes longer than its budget is no longer waited for; both are told as an event (`HookFaulted`), in ``stats`` under
``hooks`` (tiers: ``tiers``), in the metrics and by ``meshcache doctor``. A policy that doesn't answer refuses: it fails
closed. Without the others the node goes on as if they weren't there: they fail open. No hook is ever given a session
id, DER or key: what a tier keeps is sealed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

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

TIER_KEY_BYTES = 16
"""Of a `TierEntry.key`: a hash of mesh, share group, settings and session id."""

TIER_VALUE_BYTES_MAX = 9216
"""Of a `TierEntry.value`; with short names and no client certificate it has about 250."""

TIER_BATCH_MAX = 512
"""Entries of one `Tier.put`, and keys of one `Tier.get` or `Tier.remove`."""

TIER_WAITING_MAX = 16_384
"""Entries that wait for one `Tier.put`; while it is that far behind, newer ones are counted as skipped."""


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
    "hits": "sessions that a tier had when it was asked",
    "misses": "sessions that it was asked for and didn't have",
    "written": "sessions that it took",
    "skipped": "sessions that weren't given to it, since too many waited or it rested",
    "loaded": "sessions that came from it at the start",
    "removed": "sessions that were taken out of it",
    "removals_lost": "sessions that were to be taken out of it, and of which too many waited: they may be found again",
    "begun_anew": "times that a tier had to begin empty, since what it had couldn't be used",
    "refused_version": "values of a tier in a form that this version doesn't know: removed",
    "refused_key": "values sealed with a key that isn't in the keyring: removed",
    "refused_border": "values for another mesh, share group, other settings or another epoch: removed",
    "refused_forged": "values that aren't what was sealed for this key: changed, or another one's: removed",
    "refused_record": "values that are no session, or not the one that was asked for: removed",
    "refused_clock": "values from a time that hasn't come yet by this machine's clock: removed",
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
    """What all hooks have in common; subclass one of the four below."""

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
    all its VIPs have ``resumption = "sessions"``. Who will read what lies in a tier that isn't `Tier.private`, such as
    a store, isn't known when it is written: a node with one doesn't start with a policy that defines `may_send`. Say
    it in `may_accept` there, on every node.

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
        no longer allowed is removed and counted. A crossing that there is no answer to is refused until the hook has
        rested, and is asked about once more then.
        """
        self._ask_again()

    def when_asked_again(self, call: Callable[[], object]) -> None:
        """Have `ask_again` call this from now on. For whoever drives the policy, as a node does when it starts; don't
        define it.
        """
        self._ask_again = call

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


class TierEntry(NamedTuple):
    """What a tier keeps: opaque bytes under an opaque key, until it ends. ``repr`` shows neither."""

    key: bytes
    """`TIER_KEY_BYTES`. It hashes mesh, share group, settings, epoch and session id, so none of those collide."""
    value: bytes
    """A sealed session, `TIER_VALUE_BYTES_MAX` at most. It can't be read, changed or moved to another key unnoticed."""
    lasts_s: float
    """Seconds from now until it is worth nothing; it may be forgotten then, and also before."""

    def __repr__(self) -> str:
        return f"<TierEntry of {len(self.value)} bytes>"


class TierError(Exception):
    """A fault of a tier whose text may be told to operators. Of other exceptions only kind and place are: texts of
    strangers may hold a secret.
    """


class BeginsEmptyError(TierError):
    """Raise it from `Tier.open` when what a tier had can't be used: it is told, and the tier goes on, empty."""


class Tier(Hook):
    """Keeps sessions that memory has no room for, or that have to outlive the process: docs/tiers.md.

    `get` is called on one thread and all else on another, so two calls may run at once. Each method may also be a
    coroutine function: all of a tier's then run on one event loop of its own. What raises, or takes longer than
    `budget_s`, lets the tier rest, for a second, twice as long each time, a minute at most; no handshake asks it
    meanwhile, and the first question afterwards is nobody's. It may lose whatever it likes.
    """

    budget_s: float = 0.02
    """Seconds that a handshake waits for `get` at most."""

    everything: bool = False
    """Whether it is given all sessions soon after they were filed, so that a restart finds them; else it is given what
    memory evicts."""

    private: bool = False
    """Whether nobody but this node, in this life or former ones, writes to it or reads it. Then its own sessions come
    back whatever their reach is. What isn't private is given none whose reach is "server", and no node starts with it
    and a policy that defines `SharingPolicy.may_send`, which couldn't be asked who reads there."""

    def open(self) -> Awaitable[None] | None:
        """Get ready. Called before all else, and again after a rest until it doesn't raise."""

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes] | Awaitable[Mapping[bytes, bytes]]:
        """Return the values of those keys that are here."""
        raise NotImplementedError

    def put(self, entries: Sequence[TierEntry]) -> Awaitable[None] | None:
        """Keep these. One that is here already counts as used; its value may be replaced by the new one."""
        raise NotImplementedError

    def remove(self, keys: Sequence[bytes]) -> Awaitable[None] | None:
        """Forget these; not all of them need be here."""
        raise NotImplementedError

    def newest(self, entries_max: int) -> Iterable[tuple[bytes, bytes]]:  # noqa: ARG002 - for subclasses
        """Yield keys with values, those last used last, of the newest so many: for a start. By default none."""
        return ()

    def tend(self) -> Awaitable[None] | None:
        """Do what has to be done now and then; called every few seconds."""

    def figures(self) -> Mapping[str, int]:
        """Return numbers for ``stats``, such as ``entries`` and ``bytes``. Called on any thread, at any time."""
        return {}
